package conn

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A door blocks Accept, or a read of packets, while this process stands by. A blocked call does not return, because many
// programs end when their Serve returns; but the deadline that a caller has set holds, and ends it.
type door struct {
	mu       sync.Mutex
	open     chan struct{} // closed while the door is open; a new one each time that it is shut
	done     chan struct{}
	closed   bool          // for good: done is closed
	deadline time.Time     // as the caller set it
	moved    chan struct{} // closed when the deadline changes, and made anew
}

func newDoor() door {
	return door{open: make(chan struct{}), done: make(chan struct{}), moved: make(chan struct{})}
}

// The functions whose names end in Locked need mu, because a deadline has to change together with the door.
func (d *door) shutLocked() {
	if d.isOpenLocked() {
		d.open = make(chan struct{})
	}
}

func (d *door) openLocked() {
	if !d.isOpenLocked() {
		close(d.open)
	}
}

func (d *door) isOpenLocked() bool {
	select {
	case <-d.open:
		return true
	default:
		return false
	}
}

func (d *door) setDeadlineLocked(t time.Time) {
	d.deadline = t
	close(d.moved)
	d.moved = make(chan struct{})
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

// pass waits until the door is open or closed for good, or until the deadline. Its result is an argument for again.
func (d *door) pass() (open chan struct{}, err error) {
	for {
		d.mu.Lock()
		open, deadline, moved := d.open, d.deadline, d.moved
		d.mu.Unlock()
		select {
		case <-d.done:
			return nil, net.ErrClosed
		default:
		}
		select {
		case <-open:
			return open, nil
		default:
		}
		var late <-chan time.Time
		stop := func() bool { return true }
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return nil, os.ErrDeadlineExceeded
			}
			timer := time.NewTimer(left)
			late, stop = timer.C, timer.Stop
		}
		select {
		case <-open:
		case <-d.done:
		case <-moved:
		case <-late:
		}
		stop()
	}
}

// again reports whether a call that began when pass returned open has failed with err only because of the door.
func (d *door) again(open chan struct{}, err error) bool {
	if err == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != open {
		return true
	}
	expired := !d.deadline.IsZero() && !time.Now().Before(d.deadline)
	return errors.Is(err, os.ErrDeadlineExceeded) && !expired
}

// through calls f when the door is open, and again when it has failed only because the door was shut.
func (d *door) through(f func() error) error {
	for {
		open, err := d.pass()
		if err != nil {
			return err
		}
		if err := f(); !d.again(open, err) {
			return err
		}
	}
}

// A guarded gives raw access to a descriptor, whose reads pass through the door.
type guarded struct {
	syscall.RawConn
	d *door
}

func (g guarded) Read(f func(fd uintptr) bool) error {
	return g.d.through(func() error { return g.RawConn.Read(f) })
}

// raw returns guarded access to c, if it has any.
func (d *door) raw(c any) (syscall.RawConn, error) {
	to, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	r, err := to.SyscallConn()
	if err != nil {
		return nil, err
	}
	return guarded{r, d}, nil
}

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

	// Accepted is called for each connection, if it is not nil. It is to be set before Resume.
	Accepted func(net.Conn)
	// Closed is called by the first Close, if it is not nil. It is to be set before Resume.
	Closed func()
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

// Typed returns the gate with the methods that the wrapped listener has beyond a Gate's.
func (g *Gate) Typed() net.Listener {
	switch g.Listener.(type) {
	case *net.TCPListener:
		return &TCPGate{g}
	case *net.UnixListener:
		return &UnixGate{g}
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
	g.wake(g.deadline)
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
func (g *Gate) Accept() (c net.Conn, err error) {
	err = g.through(func() (err error) { c, err = g.Listener.Accept(); return err })
	if err == nil && g.Accepted != nil {
		g.Accepted(c)
	}
	return c, g.opError(err)
}

// opError gives an error of the door the form that package net's have.
func (g *Gate) opError(err error) error {
	if err == os.ErrDeadlineExceeded {
		return &net.OpError{Op: "accept", Net: g.Addr().Network(), Addr: g.Addr(), Err: err}
	}
	return err
}

// SetDeadline limits Accept, parked or not.
func (g *Gate) SetDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.setDeadlineLocked(t)
	if g.released || !g.isOpenLocked() {
		return nil // Resume sets it
	}
	return g.wake(t)
}

// SyscallConn gives raw access; a raw read waits like Accept.
func (g *Gate) SyscallConn() (syscall.RawConn, error) { return g.raw(g.Listener) }

// File returns a duplicate of the descriptor. Whoever accepts from it does so in standby too.
func (g *Gate) File() (*os.File, error) {
	if to, ok := g.Listener.(interface{ File() (*os.File, error) }); ok {
		return to.File()
	}
	return nil, errors.ErrUnsupported
}

// Close makes Accept return net.ErrClosed. The socket stays open in other processes that have it. A second Close, or one
// after Release, returns nil: some servers do not wait for their requests if closing the listener fails.
func (g *Gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closeLocked() || g.released {
		return nil
	}
	err := g.Listener.Close()
	if g.Closed != nil {
		g.Closed()
	}
	return err
}

// A TCPGate is a Gate of a *net.TCPListener.
type TCPGate struct{ *Gate }

// AcceptTCP is Accept.
func (g *TCPGate) AcceptTCP() (*net.TCPConn, error) {
	c, err := g.Accept()
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// A UnixGate is a Gate of a *net.UnixListener.
type UnixGate struct{ *Gate }

// AcceptUnix is Accept.
func (g *UnixGate) AcceptUnix() (*net.UnixConn, error) {
	c, err := g.Accept()
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// SetUnlinkOnClose says whether Close removes the path of the socket.
func (g *UnixGate) SetUnlinkOnClose(unlink bool) {
	g.Listener.(*net.UnixListener).SetUnlinkOnClose(unlink)
}
