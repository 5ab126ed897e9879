package restart

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Passing on a connection that net/http serves. An HTTP/1 connection can move to another process when no byte of a
// request has left the kernel that net/http has not answered. Then nothing is lost, and nothing is noticed:
//
//   - net/http reads through a bufio.Reader of readBuffer bytes. A Read that is offered the whole buffer means that
//     nothing of a next request is buffered above us.
//   - After StateIdle net/http sets the read deadline, waits for bytes, and sets the deadline again before it parses
//     them. A Read after exactly one of these calls means that nothing of a next request was consumed either: a
//     pipelined request whose first line has come and been parsed leaves the buffer as empty as none at all.
//   - Such a Read is woken by a deadline, or never begun. net/http takes the error for a client that timed out: it
//     writes nothing and closes. Our Close sends the descriptor to the other process instead.
//   - What the client has sent meanwhile is in the kernel, and the other process reads it.
//
// These are internals of net/http, so canPass tries them on the net/http of this build before anything relies on them.

// readBuffer is the size of net/http's read buffer.
const readBuffer = 4096

// A sink takes a connection away, or says why not.
type sink func(syscall.Conn) error

// A tracker knows the connections of one server, from Accept on, so that there is no moment in which a connection is
// accepted and not counted.
type tracker struct {
	mu      sync.Mutex
	conns   map[net.Conn]*track
	sink    atomic.Pointer[sink] // set: connections leave through it when they are idle
	home    *home                // for connections that come from another process, or back
	moved   atomic.Int64
	changed chan struct{} // one place: something has happened that a drain waits for
}

type track struct {
	conn  net.Conn // as the server knows it: over TLS, if ServeTLS has put that on what Accept gave
	state http.ConnState
	http2 bool
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

// trackedListener counts what it accepts; with pass, connections become ones that can leave.
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
		c = &conn{Conn: c, t: l.t}
	}
	l.t.mu.Lock()
	l.t.conns[c] = &track{conn: c}
	l.t.mu.Unlock()
	if l.Listener == net.Listener(l.t.home) {
		l.t.home.coming.Add(-1) // counted here from now on
	}
	return c, nil
}

// hook follows the connections' states, before the caller's own hook.
func (t *tracker) hook(next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(nc net.Conn, state http.ConnState) {
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
		t.follow(nc, state, h2)
		if next != nil {
			next(unwrapped(nc), state)
		}
	}
}

// unwrapped is the connection that the program would see without us: its hooks ask a *net.UnixConn who is at the other
// end, or set options of a *net.TCPConn.
func unwrapped(nc net.Conn) net.Conn {
	for {
		w, ok := nc.(interface{ below() net.Conn })
		if !ok {
			return nc
		}
		nc = w.below()
	}
}

func (t *tracker) follow(nc net.Conn, state http.ConnState, h2 bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := nc
	if c, ok := nc.(*tls.Conn); ok && t.conns[key] == nil {
		key = c.NetConn()
	}
	k := t.conns[key]
	if k == nil {
		return
	}
	k.conn, k.state = nc, state
	switch state {
	case http.StateIdle:
		if c, ok := key.(*conn); ok {
			c.idle()
		}
	case http.StateClosed, http.StateHijacked:
		delete(t.conns, key)
		t.notify()
	}
	if h2 && !k.http2 {
		k.http2 = true
		t.notify()
	}
}

// move lets the connections leave through out, those that are idle now and the others as they become so.
func (t *tracker) move(out sink) {
	t.sink.Store(&out)
	t.mu.Lock()
	defer t.mu.Unlock()
	for nc := range t.conns {
		if c, ok := nc.(*conn); ok {
			c.poke()
		}
	}
}

// moving says whether connections leave; it ends when one was refused.
func (t *tracker) moving() bool { return t.sink.Load() != nil }

// http1 counts the HTTP/1 connections.
func (t *tracker) http1() (n int) {
	n = int(t.home.coming.Load()) // first: who arrives is counted twice rather than not at all
	t.mu.Lock()
	defer t.mu.Unlock()
	for nc, k := range t.conns {
		if c, ok := nc.(*conn); ok && c.http2() {
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

// expire closes the HTTP/1 connections that are idle: the end of the lame duck.
func (t *tracker) expire() {
	t.mu.Lock()
	var idle []net.Conn
	for nc, k := range t.conns {
		if _, ok := nc.(*conn); !ok && !k.http2 && (k.state == http.StateIdle || k.state == http.StateNew) {
			idle = append(idle, k.conn)
		}
	}
	t.mu.Unlock()
	for _, nc := range idle {
		nc.Close()
	}
	t.move(func(syscall.Conn) error { return errExpired })
}

// errExpired makes Close close.
var errExpired = errors.New("idle for the whole grace")

// home is a listener of connections that arrive ready made: from the predecessor, from a successor that gives back,
// or from our own Close when nobody would take them.
type home struct {
	addr   net.Addr
	conns  chan net.Conn
	coming atomic.Int64
	done   chan struct{}
	once   sync.Once
}

// adopt gives the server a connection; it waits until the server takes it.
func (h *home) adopt(c net.Conn) {
	h.coming.Add(1)
	select {
	case h.conns <- c:
	case <-h.done:
		h.coming.Add(-1)
		c.Close()
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

// conn is a connection that can leave.
type conn struct {
	net.Conn
	t *tracker

	mu       sync.Mutex
	head     []byte    // the first bytes, until they show the protocol
	h2       bool      // HTTP/2: cannot move
	started  bool      // a byte was read
	active   bool      // a request has begun and is not answered
	blocked  bool      // in a Read that may be interrupted
	poked    bool      // that Read was interrupted by us
	leaves   bool      // net/http was told of a time-out, so that it closes: Close is a move
	closed   bool      //
	deadline time.Time // for reads, as net/http set it
	calls    int       // of SetReadDeadline since the last answer
}

// preface is how a client begins to speak HTTP/2; no method of HTTP/1 is PRI.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func (c *conn) http2() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h2
}

// poke wakes the Read that waits for a request, if it is the one that may be interrupted.
func (c *conn) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocked && !c.poked {
		c.poked = true
		c.Conn.SetReadDeadline(past)
	}
}

// idle is called by the server's ConnState hook: the answer is written.
func (c *conn) idle() {
	c.mu.Lock()
	c.active, c.calls = false, 0
	c.mu.Unlock()
}

func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	free := !c.h2 && !c.active && (!c.started || len(p) == readBuffer && c.calls == 1)
	if free && (c.leaves || c.t.sink.Load() != nil) {
		c.leaves = true
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	c.blocked = free
	c.mu.Unlock()
	if free && c.t.sink.Load() != nil { // move came in between, and its poke found nobody
		c.poke()
	}

	n, err := c.Conn.Read(p)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = false
	if c.poked {
		c.poked = false
		c.Conn.SetReadDeadline(c.deadline)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			c.leaves = true
		}
	}
	if n > 0 {
		if !c.started || c.head != nil {
			c.look(p[:n])
		}
		c.started, c.active = true, true
	}
	return n, err
}

// look finds out the protocol from the first bytes.
func (c *conn) look(p []byte) {
	c.head = append(c.head, p[:min(len(p), 4-len(c.head))]...)
	if !bytes.HasPrefix([]byte(preface), c.head) {
		c.head = nil
	} else if len(c.head) == 4 {
		c.h2, c.head = true, nil
	}
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.deadline = t; c.poked {
		return nil // Read restores it
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// ReadFrom keeps sendfile and splice.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(*net.TCPConn); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// CloseWrite lets net/http end an answer in order while a request body is still on its way.
func (c *conn) CloseWrite() error {
	if to, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return to.CloseWrite()
	}
	return errors.ErrUnsupported
}

// NetConn returns the connection below, as (*tls.Conn).NetConn does, for those who hijack.
func (c *conn) NetConn() net.Conn { return c.Conn }

func (c *conn) below() net.Conn { return c.Conn }

var _ syscall.Conn = (*conn)(nil)

// SyscallConn gives raw access, for those who hijack.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if to, ok := c.Conn.(syscall.Conn); ok {
		return to.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func (c *conn) Close() error {
	c.mu.Lock()
	was, leaves := c.closed, c.leaves
	c.closed = true
	c.mu.Unlock() // before the tracker's: move locks the other way round
	if was {
		return nil
	}
	if !leaves {
		return c.Conn.Close()
	}
	out := c.t.sink.Load()
	err := errors.New("nobody takes connections any more")
	if raw, ok := c.Conn.(syscall.Conn); ok && out != nil {
		err = (*out)(raw)
	}
	switch {
	case err == nil:
		c.t.moved.Add(1)
	case errors.Is(err, errExpired):
	default: // nobody takes it: serve it here, and all the others
		c.t.sink.CompareAndSwap(out, nil)
		c.t.notify()
		c.Conn.SetDeadline(time.Time{})
		c.t.home.adopt(c.Conn)
		return nil
	}
	return c.Conn.Close()
}

// canPass tries what passing relies on, on the net/http that is linked in. It takes about a millisecond.
var canPass = sync.OnceValue(func() bool {
	// Half a request is buffered; or exactly its first line, which is parsed and gone from the buffer.
	return tryPass(10) && tryPass(len(tryLine))
})

const tryLine = "GET / HTTP/1.1\r\n"

// tryPass sends two requests over a pipe, of which the first read takes one and the first half bytes of the other, and
// checks before, between and after them whether the connection would leave.
func tryPass(half int) bool {
	const request = tryLine + "Host: self-test\r\n\r\n"
	theirs, ours := net.Pipe()
	defer theirs.Close()
	theirs.SetDeadline(time.Now().Add(2 * time.Second))
	below := &watched{Conn: ours, reads: make(chan struct{}, 16)}
	t := newTracker(ours.LocalAddr())
	srv := &http.Server{
		ConnState: t.hook(nil),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
	}
	defer srv.Close()
	defer t.home.Close()
	go srv.Serve(trackedListener{t.home, t, true})
	go t.home.adopt(below)

	answers := bufio.NewReader(theirs)
	exchange := func(text string) bool {
		if _, err := io.WriteString(theirs, text); err != nil {
			return false
		}
		res, err := http.ReadResponse(answers, nil)
		return err == nil && res.StatusCode == http.StatusNoContent
	}
	// waits says that net/http waits for bytes, and whether the connection could leave now.
	waits := func() (could, ok bool) {
		select {
		case <-below.reads:
		case <-time.After(time.Second):
			return false, false
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		for nc := range t.conns {
			c := nc.(*conn)
			c.mu.Lock()
			could, ok = c.blocked, true
			c.mu.Unlock()
		}
		return could, ok
	}
	if could, ok := waits(); !ok || !could || !exchange(request+request[:half]) {
		return false
	}
	if could, ok := waits(); !ok || could || !exchange(request[half:]) {
		return false
	}
	if could, ok := waits(); !ok || !could {
		return false
	}
	var left atomic.Bool
	t.move(func(syscall.Conn) error { left.Store(true); return nil })
	n, err := answers.Read(make([]byte, 1)) // nothing is written to a connection that leaves
	return n == 0 && err == io.EOF && left.Load()
}

// watched tells of every Read but those of the single byte with which net/http watches a connection while a handler
// runs.
type watched struct {
	net.Conn
	reads chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	if len(p) != 1 {
		w.reads <- struct{}{}
	}
	return w.Conn.Read(p)
}

// SyscallConn makes it look like a connection that can be sent; nothing is.
func (w *watched) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }
