package conn

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A door blocks Accept, or a read of packets, while this process stands by. A blocked call does not return, because many
// programs end when their Serve returns.
type door struct {
	mu     sync.Mutex
	open   chan struct{} // closed while the door is open; a new one each time that it is shut
	done   chan struct{}
	closed bool // for good: done is closed
}

func newDoor() door { return door{open: make(chan struct{}), done: make(chan struct{})} }

// shutLocked and openLocked need mu, because a deadline has to change together with the door.
func (d *door) shutLocked() {
	select {
	case <-d.open:
		d.open = make(chan struct{})
	default:
	}
}

func (d *door) openLocked() {
	select {
	case <-d.open:
	default:
		close(d.open)
	}
}

// closeLocked reports whether this call closed the door for good.
func (d *door) closeLocked() bool {
	if d.closed {
		return false
	}
	d.closed = true
	close(d.done)
	return true
}

// pass waits until the door is open or closed for good. Its result is an argument for shutSince.
func (d *door) pass() (open chan struct{}, err error) {
	d.mu.Lock()
	open = d.open
	d.mu.Unlock()
	select {
	case <-d.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case <-open:
		return open, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

// shutSince reports whether the door was shut after pass returned open. It needs mu.
func (d *door) shutSince(open chan struct{}) bool { return d.open != open }

// A Gate is a listener whose Accept can be parked without an error and without closing anything: the descriptor stays
// open, and the kernel queues connections for the other process that accepts from the same socket. Since parking lives
// here and not in a server, everything that accepts connections can stand by: net/http, gRPC, raw TCP. A new Gate is
// parked.
type Gate struct {
	net.Listener
	door
	wake     func(time.Time) error // SetDeadline wakes a blocked Accept; it belongs to this process, not to the socket
	key      string                // network and address as given to Listen
	released bool                  // the descriptor is closed
}

// NewGate returns a Gate for ln. key names its socket to [Server.Key].
func NewGate(ln net.Listener, key string) *Gate {
	g := &Gate{Listener: ln, door: newDoor(), key: key}
	g.wake = func(time.Time) error { return errors.ErrUnsupported }
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
		g.wake = d.SetDeadline
	}
	return g
}

func (g *Gate) gate() *Gate { return g }

// past is a deadline that makes blocked calls return.
var past = time.Unix(1, 0)

// Park makes Accept wait.
func (g *Gate) Park() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
	g.wake(past)
}

// Resume lets Accept continue.
func (g *Gate) Resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wake(time.Time{})
	g.openLocked()
}

// Release closes the descriptor and leaves Accept parked until Close: another process serves the socket now, and callers
// of Accept must not see an error.
func (g *Gate) Release() {
	g.Park()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.released = true
	g.Listener.Close()
}

// Accept waits for a connection, and while the gate is parked.
func (g *Gate) Accept() (net.Conn, error) {
	for {
		open, err := g.pass()
		if err != nil {
			return nil, err
		}
		c, err := g.Listener.Accept()
		if err == nil {
			return c, nil
		}
		g.mu.Lock()
		parked := g.shutSince(open)
		g.mu.Unlock()
		if !parked && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
}

// Close makes Accept return net.ErrClosed. The socket stays open in other processes that have it. A second Close, or one
// after Release, returns nil: some servers do not wait for their requests if closing the listener fails.
func (g *Gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closeLocked() || g.released {
		return nil
	}
	return g.Listener.Close()
}
