package restart

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// A predecessor is the process before this one, and this process's end of the link to it.
type predecessor struct {
	*link
	servers   serverKeys
	sockets   sockets            // that it passes
	states    states             // that it hands on
	named     chan struct{}      // closed when all of these are known
	probation chan time.Duration // gets the probation that it asks for, once
}

// findPredecessor opens the link to the process before this one, and listens to it.
func (r *Restarter) findPredecessor() error {
	if r.upg == nil || !r.upg.HasParent() {
		r.state.free = true
		return nil
	}
	r.state.older = 1
	go func() {
		<-r.relay.gone
		r.post(event{kind: evParentGone})
	}()
	f, err := r.upg.File(linkName)
	if err != nil {
		return fmt.Errorf("restart: taking over the control socket of the process before this one: %w", err)
	}
	if f == nil { // it lets go for good when we call Ready, and never says anything
		r.state.alone = true
		r.event(Event{Kind: EventDowngrade, Text: "the process before this one was built with tableflip alone: no probation, and no way back to it"})
		return nil
	}
	l, err := openLink(f, false)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	r.predecessor = &predecessor{link: l, named: make(chan struct{}), probation: make(chan time.Duration, 1)}
	r.state.successor = true
	l.say(msgVersion, ourAbilities)
	l.say(msgHello, strconv.Itoa(os.Getpid()))
	go func() {
		l.listen(r.hearPredecessor, r.adopt)
		// Only a predecessor that is gone may be replaced unasked. One that lives takes service back when we leave.
		select {
		case <-r.relay.gone:
			r.post(event{kind: evOrphan})
		case <-time.After(orphanAfter):
			r.post(event{kind: evLinkLost})
		}
	}()
	return nil
}

// orphanAfter is how long after the end of the link the predecessor's exit may be noticed; the kernel closes both at once.
const orphanAfter = time.Second

func (r *Restarter) hearPredecessor(kind byte, text string) {
	switch kind {
	case msgTerms:
		ms, _ := strconv.Atoi(text)
		select {
		case <-r.predecessor.named:
		default:
			close(r.predecessor.named) // the sockets come before
		}
		select {
		case r.predecessor.probation <- time.Duration(ms) * time.Millisecond:
		default:
		}
	case msgSocket:
		if id, addr, ok := parseSocket(text); ok {
			r.predecessor.sockets.add(id, addr)
		}
	case msgTicket:
		if key, ok := parseTicketKey(text); ok {
			r.tickets.add(key)
		}
	case msgState:
		r.predecessor.states.add(text)
	case msgServer:
		r.predecessor.servers.add(text)
	case msgOlder:
		if n, err := strconv.Atoi(text); err == nil && n >= 0 {
			r.post(event{kind: evOlder, n: n})
		}
	case msgFree:
		r.post(event{kind: evFree})
	case msgStop:
		r.post(event{kind: evTold})
	case msgRecall:
		r.post(event{kind: evRecall})
	case msgYours:
		r.post(event{kind: evYours})
	case msgGranted:
		r.post(event{kind: evGranted})
	case msgHangup:
		r.post(event{kind: evHangup})
	}
}

// answers reports whether the predecessor has an ability. It waits until that has said so.
func (p *predecessor) answers(ability string) bool {
	if p == nil {
		return false
	}
	select {
	case <-p.named:
	case <-time.After(namedWithin):
	}
	return p.can(ability)
}
