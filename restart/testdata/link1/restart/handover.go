package restart

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// homes are the servers of the other process that adopt connections.
type homes struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (h *homes) add(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil {
		h.keys = map[string]bool{}
	}
	h.keys[key] = true
}

func (h *homes) take() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := h.keys
	h.keys = nil
	return keys
}

// commit: this process is the one.
func (r *Restarter) commit() {
	r.writePIDFile()
	r.tellInit()
	if r.upg != nil {
		// An error means that the predecessor is gone, and then nobody has to be told.
		if err := r.upg.Ready(); err != nil && !r.state.alone {
			r.opts.Logger.Warn("restart: telling the process before this one", "error", err)
		}
	}
	r.event(Event{Name: EventProved, PID: os.Getpid(), Text: "this process is in service"})
}

func (r *Restarter) writePIDFile() {
	if r.opts.PIDFile == "" {
		return
	}
	if err := writePIDFile(r.opts.PIDFile); err != nil {
		r.event(Event{Name: EventDowngrade, Err: err, Text: "without a PID file"})
	}
}

// upgrade starts a successor.
func (r *Restarter) upgrade() {
	r.attempt++
	attempt := r.attempt
	failed := func(err error) { go r.postFor(attempt, event{kind: evUpgraded, err: err}) }
	r.down, r.ours = nil, homes{}
	if err := checkSurroundings(); err != nil {
		failed(err)
		return
	}
	down, theirs, err := newLink()
	if err == nil {
		err = r.upg.AddFile(linkName, theirs)
		theirs.Close()
	}
	if err != nil {
		failed(calledOff(err))
		return
	}
	r.down = down
	down.say(msgTerms, milliseconds(r.opts.Probation))
	r.sayHomes(down)
	heard, serving := make(chan struct{}), make(chan struct{})
	serves := sync.OnceFunc(func() { close(serving) })
	go func() {
		defer close(heard)
		down.listen(func(kind byte, text string) {
			r.hearSuccessor(attempt, kind, text)
			if kind == msgServing {
				serves()
			}
		}, r.adopt)
	}()
	go func() {
		err := r.upg.Upgrade()
		for i := 0; i < 1000 && tooEarly(err); i++ {
			time.Sleep(time.Millisecond)
			err = r.upg.Upgrade()
		}
		// What it has said and sent on the link comes first.
		if err != nil {
			err = blame(err)
			down.finish()
			<-heard
			down.Close()
		} else {
			select {
			case <-serving:
			case <-heard:
			}
		}
		r.postFor(attempt, event{kind: evUpgraded, err: err})
	}()
}

// tooEarly says that tableflip would not upgrade yet. It learns in a goroutine of its own that this process is ready and
// that its predecessor has ended, a moment after we know it: the first is chosen at random beside a request to upgrade
// if it has not run since (v1.2.3, upgrader.go, run).
func tooEarly(err error) bool {
	return err != nil && (err.Error() == "process is not ready yet" || err.Error() == "parent hasn't exited")
}

func (r *Restarter) sayHomes(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		if s.plain {
			l.say(msgHome, s.key)
		}
	}
}

func (r *Restarter) hearSuccessor(attempt int, kind byte, text string) {
	e := event{}
	switch kind {
	case msgHello:
		pid, err := strconv.Atoi(text)
		if err != nil || !isChild(pid) { // it may have to be killed
			return
		}
		e.kind, e.pid = evHello, pid
	case msgServing:
		e.kind = evServing
	case msgWell:
		e.kind = evWell
	case msgBack:
		e.kind = evBack
		if text != "" {
			e.err = errors.New(text)
		}
	case msgHome:
		r.ours.add(text)
		return
	default: // from a later version: not for us
		return
	}
	r.postFor(attempt, e)
}

func (r *Restarter) hearPredecessor(kind byte, text string) {
	switch kind {
	case msgTerms:
		ms, _ := strconv.Atoi(text)
		select {
		case r.terms <- time.Duration(ms) * time.Millisecond:
		default:
		}
	case msgHome:
		r.upHomes.add(text)
	case msgFree:
		r.post(event{kind: evFree})
	case msgStop:
		r.post(event{kind: evTold})
	case msgRecall:
		r.post(event{kind: evRecall})
	case msgHangup:
		r.post(event{kind: evHangup})
	}
}

// adopt gives a connection from another process to the server it belongs to.
func (r *Restarter) adopt(key string, c net.Conn) {
	r.mu.Lock()
	var to *server
	for _, s := range r.servers {
		if s.plain && s.key == key {
			to = s
		}
	}
	r.mu.Unlock()
	if to == nil {
		c.Close()
		return
	}
	to.t.home.adopt(c)
}

func (r *Restarter) kill() {
	pid := r.state.child
	if pid == 0 && r.down != nil {
		pid = findSuccessor(r.down)
	}
	switch {
	case pid > 0:
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
	case r.state.stop: // it has not even said hello: tableflip knows it
		r.upg.Stop()
	}
}

// undo runs the functions of OnFailure, one after the other, in the order of their registration.
func (r *Restarter) undo(cause error) {
	r.mu.Lock()
	undos := r.undos
	r.mu.Unlock()
	r.undoing.Add(1)
	go func() {
		var errs []error
		for _, f := range undos {
			errs = append(errs, f(context.Background(), cause))
		}
		if len(undos) > 0 {
			e := Event{Name: EventUndone, Err: errors.Join(errs...), Text: "the update is undone"}
			if e.Err != nil {
				e.Text = "the update could not be undone: what failed may still be installed"
			}
			r.event(e)
		}
		r.undoing.Done()
		r.post(event{kind: evUndone})
	}()
}
