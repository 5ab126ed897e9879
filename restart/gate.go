package restart

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A gate is a listener whose Accept can be parked without an error and without closing anything: the process stands
// by, its descriptor stays open, connections queue in the kernel for whoever accepts them, which is the other process.
// Because parking lives here and not in a server, whatever accepts from it can stand by: net/http, gRPC, raw TCP.
//
// A parked Accept waits; it does not return, so that code that ends the program when Serve returns does not.
type gate struct {
	net.Listener
	wake func(time.Time) error // SetDeadline: wakes a blocked Accept. Poller state of this process, not of the socket
	key  string                // network and address as given to Listen

	mu       sync.Mutex
	open     chan struct{} // closed while accepting
	done     chan struct{}
	closed   bool
	released bool // the descriptor is closed
}

func newGate(ln net.Listener, key string) *gate {
	g := &gate{Listener: ln, key: key, open: make(chan struct{}), done: make(chan struct{})}
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
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default:
	}
	g.wake(past)
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wake(time.Time{})
	select {
	case <-g.open:
	default:
		close(g.open)
	}
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
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-g.done:
			return nil, net.ErrClosed
		default:
		}
		select {
		case <-open:
		case <-g.done:
			return nil, net.ErrClosed
		}
		c, err := g.Listener.Accept()
		if err == nil {
			return c, nil
		}
		g.mu.Lock()
		parked := open != g.open
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
	if g.closed {
		return nil
	}
	g.closed = true
	close(g.done)
	if g.released {
		return nil
	}
	return g.Listener.Close()
}

// A packetGate does the same for reads of a packet connection; writes are never parked, because answers are written
// by the process that read the question.
type packetGate struct {
	packetConn
	mu       sync.Mutex
	open     chan struct{}
	done     chan struct{}
	deadline time.Time // the caller's
	closed   bool
}

// packetConn is what net.ListenPacket's types have in common and callers use.
type packetConn interface {
	net.PacketConn
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

func newPacketGate(c packetConn) *packetGate {
	return &packetGate{packetConn: c, open: make(chan struct{}), done: make(chan struct{})}
}

func (g *packetGate) park() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default:
	}
	g.packetConn.SetReadDeadline(past)
}

func (g *packetGate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.packetConn.SetReadDeadline(g.deadline)
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// release parks for good. The descriptor stays, because answers may still have to be written.
func (g *packetGate) release() { g.park() }

func (g *packetGate) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		select {
		case <-g.done:
			return 0, nil, net.ErrClosed
		default:
		}
		select {
		case <-open:
		case <-g.done:
			return 0, nil, net.ErrClosed
		}
		n, addr, err := g.packetConn.ReadFrom(p)
		g.mu.Lock()
		parked := open != g.open
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
	if g.closed {
		return nil
	}
	g.closed = true
	close(g.done)
	return g.packetConn.Close()
}
