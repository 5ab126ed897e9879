package restart

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/blame"
)

// A successor is the process that this one has started, and this process's end of the link to it. Each handover has a
// new one.
type successor struct {
	*link
	servers serverKeys
	sockets sockets // that it has taken over
}

// serverKeys are the keys of the other process's servers that adopt connections.
type serverKeys struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (k *serverKeys) add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]bool{}
	}
	k.keys[key] = true
}

func (k *serverKeys) all() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.keys)
}

func (k *serverKeys) take() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := k.keys
	k.keys = nil
	return keys
}

// startSuccessor starts what is on disk now. evUpgraded tells how it ended, at the latest after probation.
func (r *Restarter) startSuccessor() {
	r.attempt++
	attempt := r.attempt
	failed := func(err error) { go r.postFor(attempt, event{kind: evUpgraded, err: err}) }
	r.successor = nil
	oomKills := blame.OOMKills()
	if err := checkSurroundings(); err != nil {
		failed(err)
		return
	}
	ours, theirs, err := newLink()
	if err == nil {
		err = r.upg.AddFile(linkName, theirs)
		theirs.Close()
	}
	if err != nil {
		failed(calledOff(err))
		return
	}
	next := &successor{link: ours}
	r.successor = next
	next.say(msgVersion, ourAbilities)
	for id, addr := range r.sockets.all() {
		next.say(msgSocket, describe(id, addr))
	}
	for _, key := range r.tickets.all() {
		next.say(msgTicket, key)
	}
	r.sayStates(next.link)
	next.say(msgOlder, strconv.Itoa(r.state.older))
	next.say(msgTerms, strconv.FormatInt(r.opts.Probation.Milliseconds(), 10))
	r.sayServers(next.link)
	heard, serving := make(chan struct{}), make(chan struct{})
	serves := sync.OnceFunc(func() { close(serving) })
	go func() {
		defer close(heard)
		next.listen(func(kind byte, text string) {
			r.hearSuccessor(next, attempt, kind, text)
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
			err = ended(err, oomKills)
			next.finish()
			<-heard
			next.Close()
			r.postFor(attempt, event{kind: evUpgraded, err: err})
			return
		}
		pid := 0
		select {
		case <-serving:
		case <-heard:
			select {
			case <-serving:
			default: // it has closed the link without a word
				if pid = youngestSuccessor(os.Getpid()); pid != 0 {
					r.tellAnchor(pid) // it does not say so itself
				}
				r.event(Event{Kind: EventDowngrade, PID: pid, Text: "the new process was built with tableflip alone: it was not on probation"})
			}
		}
		r.postFor(attempt, event{kind: evUpgraded, pid: pid})
	}()
}

// tooEarly reports whether tableflip would not upgrade yet. It learns in a goroutine of its own that this process is ready
// and that its predecessor has ended, a moment after we know it: the first is chosen at random beside a request to upgrade
// if it has not run since (v1.2.3, upgrader.go, run).
func tooEarly(err error) bool {
	return err != nil && (err.Error() == "process is not ready yet" || err.Error() == "parent hasn't exited")
}

// ended returns tableflip's error of an upgrade, which has no type, as a cause. A new process that was killed while the
// kernel killed one of this cgroup for want of memory has used it up.
func ended(err error, oomKills int64) error {
	if strings.HasSuffix(err.Error(), "signal: killed") && blame.OOMKills() > oomKills {
		return blame.As(blame.Release, fmt.Errorf("%w, by the kernel, for want of memory", err))
	}
	return err
}

func (r *Restarter) hearSuccessor(from *successor, attempt int, kind byte, text string) {
	e := event{}
	switch kind {
	case msgHello:
		from.release()
		pid, err := strconv.Atoi(text)
		if err != nil || !isChild(pid) { // it may have to be killed
			return
		}
		e.kind, e.pid = evHello, pid
	case msgWaiting:
		e.kind = evWaiting
	case msgServing:
		e.kind = evServing
	case msgWell:
		e.kind = evWell
	case msgProved:
		e.kind = evProved
	case msgBack:
		e.kind = evBack
		if text != "" {
			e.err = errors.New(text)
		}
	case msgServer:
		from.servers.add(text)
		return
	case msgSocket:
		if id, _, ok := parseSocket(text); ok {
			from.sockets.add(id, nil)
		}
		return
	default: // from a later version, not for us
		return
	}
	r.postFor(attempt, e)
}

// killSuccessor kills the successor, or ends the attempt to start it.
func (r *Restarter) killSuccessor() {
	pid := r.state.child
	if pid == 0 && r.successor != nil {
		pid = findSuccessor(r.successor.link)
	}
	if pid == 0 {
		pid = youngestSuccessor(os.Getpid())
	}
	switch {
	case pid > 0:
		if p, err := os.FindProcess(pid); err == nil && isChild(pid) {
			p.Kill()
		}
	case r.state.stop: // it has not even said hello: only tableflip knows it
		r.upg.Stop()
	}
}

// sayServers names the servers of this process that adopt connections.
func (r *Restarter) sayServers(to *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		if s.Passes() {
			to.say(msgServer, s.Key())
		}
	}
}

// adopt gives a connection from another process to the server that it belongs to. It returns false if that server does
// not take it.
func (r *Restarter) adopt(key string, c net.Conn) bool {
	r.mu.Lock()
	servers := r.servers
	r.mu.Unlock()
	for _, s := range servers {
		if s.Passes() && s.Key() == key {
			return s.Adopt(c)
		}
	}
	return false
}
