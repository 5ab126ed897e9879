package restart

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A door is what Accept, or a read of packets, waits at while this process stands by. A call that waits does not return,
// so that code which ends the program when Serve returns does not.
type door struct {
	mu     sync.Mutex
	open   chan struct{} // closed while the door is open; a new one each time that it is shut
	done   chan struct{}
	closed bool // for good: done is closed
}

func newDoor() door { return door{open: make(chan struct{}), done: make(chan struct{})} }

// shutLocked and openLocked want mu to be held, because a deadline has to change with the door.
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

// closeLocked says whether the door was not closed before.
func (d *door) closeLocked() bool {
	if d.closed {
		return false
	}
	d.closed = true
	close(d.done)
	return true
}

// pass waits until the door is open, or closed for good. What it returns is for shutSince.
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

// shutSince wants mu to be held.
func (d *door) shutSince(open chan struct{}) bool { return d.open != open }

// A gate is a listener whose Accept can be parked without an error and without closing anything: the process stands
// by, its descriptor stays open, connections queue in the kernel for whoever accepts them, which is the other process.
// Because parking lives here and not in a server, whatever accepts from it can stand by: net/http, gRPC, raw TCP.
type gate struct {
	net.Listener
	door
	wake     func(time.Time) error // SetDeadline: wakes a blocked Accept. Poller state of this process, not of the socket
	key      string                // network and address as given to Listen
	released bool                  // the descriptor is closed
}

func newGate(ln net.Listener, key string) *gate {
	g := &gate{Listener: ln, door: newDoor(), key: key}
	g.wake = func(time.Time) error { return errors.ErrUnsupported }
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
		g.wake = d.SetDeadline
	}
	return g
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

func (g *gate) park() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
	g.wake(past)
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wake(time.Time{})
	g.openLocked()
}

// release closes the descriptor and leaves Accept parked until Close: another process serves the socket now, and for
// those who call Accept nothing has gone wrong.
func (g *gate) release() {
	g.park()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.released = true
	g.Listener.Close()
}

func (g *gate) Accept() (net.Conn, error) {
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

// Close ends Accept. The socket of an inherited or passed listener lives on in the other process. It gives no error for
// what was closed here already: some servers take one for a reason not to wait for their requests.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closeLocked() || g.released {
		return nil
	}
	return g.Listener.Close()
}

// A packetGate does the same for reads of a packet connection; writes are never parked, because answers are written
// by the process that read the question.
type packetGate struct {
	packetConn
	door
	deadline time.Time // the caller's
}

// packetConn is what net.ListenPacket's types have in common and callers use.
type packetConn interface {
	net.PacketConn
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

func newPacketGate(c packetConn) *packetGate { return &packetGate{packetConn: c, door: newDoor()} }

func (g *packetGate) park() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
	g.packetConn.SetReadDeadline(past)
}

func (g *packetGate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.packetConn.SetReadDeadline(g.deadline)
	g.openLocked()
}

// release parks for good. The descriptor stays, because answers may still have to be written.
func (g *packetGate) release() { g.park() }

func (g *packetGate) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		open, err := g.pass()
		if err != nil {
			return 0, nil, err
		}
		n, addr, err := g.packetConn.ReadFrom(p)
		g.mu.Lock()
		parked := g.shutSince(open)
		expired := !g.deadline.IsZero() && !time.Now().Before(g.deadline)
		g.mu.Unlock()
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && (parked || !expired) {
			continue
		}
		return n, addr, err
	}
}

func (g *packetGate) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = t
	select {
	case <-g.open:
		return g.packetConn.SetReadDeadline(t)
	default:
		return nil // parked: it counts again on resume
	}
}

func (g *packetGate) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.packetConn.SetWriteDeadline(t))
}

func (g *packetGate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closeLocked() {
		return nil
	}
	return g.packetConn.Close()
}
