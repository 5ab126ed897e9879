package restart

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// What a program hands on besides its sockets.

const (
	stateMax = 1 << 20 // bytes of one state
	nameMax  = 100     // bytes of its name
)

// stateRecords splits a state into texts of messages; the first may be empty, so that an empty state is one too.
func stateRecords(name string, data []byte) (texts []string) {
	for {
		n := min(len(data), maxText-len(name)-1)
		texts = append(texts, name+"\x00"+string(data[:n]))
		if data = data[n:]; len(data) == 0 {
			return texts
		}
	}
}

// states are what a predecessor has handed on.
type states struct {
	mu   sync.Mutex
	data map[string][]byte
}

func (s *states) add(text string) {
	name, data, ok := strings.Cut(text, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || len(s.data[name])+len(data) > stateMax {
		return
	}
	if s.data == nil {
		s.data = map[string][]byte{}
	}
	s.data[name] = append(s.data[name], data...)
}

// InheritFile returns the file that the process before this one has handed on under that name, or nil if there is none.
// The caller closes it. It is handed on to the next process too, whatever becomes of it here.
func (r *Restarter) InheritFile(name string) (*os.File, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	if r.upg == nil {
		return nil, nil
	}
	f, err := r.upg.File(name)
	if err != nil {
		return nil, fmt.Errorf("restart: inheriting the file %s: %w", name, err)
	}
	return f, nil
}

// HandFile hands f on to each process that is started from now on, which gets it by InheritFile. The caller still owns f
// and may close it. The file of that name from an earlier call is replaced.
func (r *Restarter) HandFile(name string, f *os.File) error {
	if err := r.start(); err != nil {
		return err
	}
	if r.upg == nil {
		return nil
	}
	if strings.HasPrefix(name, "theseus-") {
		return fmt.Errorf("restart: handing on a file: names that begin with theseus- are taken")
	}
	if err := r.upg.AddFile(name, f); err != nil {
		return fmt.Errorf("restart: handing on the file %s: %w", name, err)
	}
	return nil
}

// InheritState returns what the process before this one has handed on under that name, or nil if there is nothing.
func (r *Restarter) InheritState(name string) ([]byte, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	if r.predecessor == nil {
		return nil, nil
	}
	select {
	case <-r.predecessor.named:
	case <-time.After(namedWithin):
		return nil, errors.New("restart: the process before this one does not answer")
	}
	s := &r.predecessor.states
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[name], nil
}

// HandState calls state whenever a new process is started, and hands what it returns on to it, at most 1 MiB. The new
// process gets it by InheritState. This process serves on after the call, so it is what was true at the beginning of the
// handover. state must return soon, because the decisions of this process wait for it.
func (r *Restarter) HandState(name string, state func() []byte) error {
	if len(name) > nameMax || strings.Contains(name, "\x00") {
		return fmt.Errorf("restart: the name of a state has at most %d bytes, none of them zero", nameMax)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handed == nil {
		r.handed = map[string]func() []byte{}
	}
	r.handed[name] = state
	return nil
}

// sayStates tells a successor the states.
func (r *Restarter) sayStates(to *link) {
	r.mu.Lock()
	handed := make(map[string]func() []byte, len(r.handed))
	for name, state := range r.handed {
		handed[name] = state
	}
	r.mu.Unlock()
	for name, state := range handed {
		data := state()
		if len(data) > stateMax {
			r.event(Event{Kind: EventDowngrade, Text: fmt.Sprintf("the state %s has %d bytes, more than %d, and is not handed on", name, len(data), stateMax)})
			continue
		}
		for _, text := range stateRecords(name, data) {
			to.say(msgState, text)
		}
	}
}
