package conn

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
)

// A tracker counts the connections of one server. It begins at Accept, so that no accepted connection is ever missing.
type tracker struct {
	mu      sync.Mutex
	conns   map[net.Conn]*track
	sink    atomic.Pointer[Sink] // set: connections leave through it when they are idle
	home    *home                // accepts connections that come from another process, or back
	moved   atomic.Int64
	changed chan struct{} // holds a token when something happened that a drain waits for

	hijacked map[net.Conn]*track // and perhaps closed since
	sweep    int                 // look for those that are, when there are so many
}

type track struct {
	conn    net.Conn // as the server knows it: the tls.Conn, if ServeTLS made one
	state   http.ConnState
	http2   bool
	goodbye atomic.Bool // somebody wants to say goodbye on it when a drain begins
}

func newTracker(addr net.Addr) *tracker {
	return &tracker{
		conns:   map[net.Conn]*track{},
		home:    &home{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})},
		changed: make(chan struct{}, 1),
	}
}

func (t *tracker) notify() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// A trackedListener counts what it accepts; with pass, it makes connections movable.
type trackedListener struct {
	net.Listener
	t    *tracker
	pass bool
}

func (l trackedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.pass {
		c = &movable{Conn: c, t: l.t}
	}
	l.t.mu.Lock()
	l.t.conns[c] = &track{conn: c}
	l.t.mu.Unlock()
	if l.Listener == net.Listener(l.t.home) {
		l.t.home.coming.Add(-1) // counted here from now on
	}
	return c, nil
}

// hook returns a ConnState hook that follows the connections' states and then calls next.
func (t *tracker) hook(next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return hook(t.follow, next)
}

func hook(follow func(nc net.Conn, state http.ConnState, h2 bool) bool, next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(nc net.Conn, state http.ConnState) {
		if c, ok := nc.(*movable); ok && (state == http.StateActive || state == http.StateIdle) { // at every request
			if state == http.StateIdle {
				c.idle()
			}
			if next != nil {
				next(c.Conn, state)
			}
			return
		}
		h2 := false
		switch c := nc.(type) {
		case interface {
			speaksHTTP2() bool
			below() net.Conn
		}:
			h2, nc = c.speaksHTTP2(), c.below()
		case *tls.Conn:
			h2 = c.ConnectionState().NegotiatedProtocol == "h2"
		}
		follow(nc, state, h2)
		if next != nil {
			next(unwrapped(nc), state)
		}
	}
}

// unwrapped returns the connection that the program would see without this package. Its hooks may ask a *net.UnixConn
// for the peer's credentials, or set options of a *net.TCPConn.
func unwrapped(nc net.Conn) net.Conn {
	for {
		w, ok := nc.(interface{ below() net.Conn })
		if !ok {
			return nc
		}
		nc = w.below()
	}
}

// find returns what is known of a connection, and the key by which it is.
func (t *tracker) find(nc net.Conn) (key net.Conn, k *track) {
	if c, ok := nc.(*tls.Conn); ok && t.conns[nc] == nil {
		nc = c.NetConn()
	}
	return nc, t.conns[nc]
}

// lookup returns what is known of a connection that net/http shows to a hook, or nil.
func (t *tracker) lookup(nc net.Conn) *track {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, k := t.find(nc)
	return k
}

// follow notes the state of a connection. It returns false for one of another tracker.
func (t *tracker) follow(nc net.Conn, state http.ConnState, h2 bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key, k := t.find(nc)
	if k == nil {
		return false
	}
	k.conn, k.state = nc, state
	if c, ok := key.(*movable); ok && state == http.StateHijacked {
		c.stays.Store(true)
	}
	if state == http.StateClosed || state == http.StateHijacked {
		delete(t.conns, key)
		t.notify()
	}
	if state == http.StateHijacked {
		if t.hijacked == nil {
			t.hijacked = map[net.Conn]*track{}
		}
		if t.hijacked[key] = k; len(t.hijacked) > t.sweep {
			t.sweepLocked()
			t.sweep = 2*len(t.hijacked) + 16
		}
	}
	if h2 && !k.http2 {
		k.http2 = true
		t.notify()
	}
	return true
}

// sweepLocked forgets hijacked connections that were closed since. Nothing tells when that happens.
func (t *tracker) sweepLocked() {
	for nc := range t.hijacked {
		if isClosed(nc) {
			delete(t.hijacked, nc)
		}
	}
}

func isClosed(nc net.Conn) bool {
	c, ok := nc.(syscall.Conn)
	if !ok {
		return true // nothing can be known of it
	}
	raw, err := c.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// goodbyes counts the hijacked connections that are open, and on which somebody wants to say goodbye.
func (t *tracker) goodbyes() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweepLocked()
	for _, k := range t.hijacked {
		if k.goodbye.Load() {
			n++
		}
	}
	return n
}

// move sends the connections out: idle ones now, the others as they become idle.
func (t *tracker) move(out Sink) {
	t.sink.Store(&out)
	t.mu.Lock()
	defer t.mu.Unlock()
	for nc := range t.conns {
		if c, ok := nc.(*movable); ok {
			c.poke()
		}
	}
}

// moving reports whether connections leave. The first refusal ends it.
func (t *tracker) moving() bool { return t.sink.Load() != nil }

// http1 counts the HTTP/1 connections.
func (t *tracker) http1() (n int) {
	n = int(t.home.coming.Load()) // first, so that an arrival is counted twice rather than not at all
	t.mu.Lock()
	defer t.mu.Unlock()
	for nc, k := range t.conns {
		if c, ok := nc.(*movable); ok && c.http2() {
			k.http2 = true
		}
		if !k.http2 {
			n++
		}
	}
	return n
}

func (t *tracker) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// expire closes idle HTTP/1 connections, now and as they become idle.
func (t *tracker) expire() {
	t.mu.Lock()
	var idle []net.Conn
	for nc, k := range t.conns {
		if _, ok := nc.(*movable); !ok && !k.http2 && (k.state == http.StateIdle || k.state == http.StateNew) {
			idle = append(idle, k.conn)
		}
	}
	t.mu.Unlock()
	for _, nc := range idle {
		nc.Close()
	}
	t.move(func(syscall.Conn) error { return errExpired })
}

// errExpired tells Close to close.
var errExpired = errors.New("idle for the whole grace")

// errHeld tells Close to leave the connection to the home, which holds it.
var errHeld = errors.New("held until another process can take it")

// A home is a listener for connections that were accepted elsewhere: by the other process, or here when the other process
// would not take them.
type home struct {
	addr   net.Addr
	conns  chan net.Conn
	coming atomic.Int64
	done   chan struct{}
	once   sync.Once

	mu      sync.Mutex
	holding bool
	held    []net.Conn // nobody has read from them here
}

// adopt gives the server a connection, and waits until it takes it. It returns false if the server has ended.
func (h *home) adopt(c net.Conn) bool {
	h.mu.Lock()
	if h.holding {
		h.held = append(h.held, c)
		h.mu.Unlock()
		return true
	}
	h.mu.Unlock()
	h.coming.Add(1)
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		h.coming.Add(-1)
		return false
	}
}

// hold keeps the connections that come, unread, until resume or release.
func (h *home) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holding = true
}

// take returns the connections that were held, and holds on.
func (h *home) take() []net.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	held := h.held
	h.held = nil
	return held
}

// release ends hold, and closes what is still held.
func (h *home) release() {
	h.mu.Lock()
	h.holding = false
	h.mu.Unlock()
	for _, c := range h.take() {
		c.Close()
	}
}

// resume ends hold, and serves what was held.
func (h *home) resume() {
	h.mu.Lock()
	h.holding = false
	h.mu.Unlock()
	for _, c := range h.take() {
		go func() {
			if !h.adopt(c) {
				c.Close()
			}
		}()
	}
}

func (h *home) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}
func (h *home) Close() error   { h.once.Do(func() { close(h.done) }); return nil }
func (h *home) Addr() net.Addr { return h.addr }
