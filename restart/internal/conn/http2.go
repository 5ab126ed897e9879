package conn

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// HTTP/2 connections cannot move, and net/http ends them in one step: a GOAWAY with the last stream that it has seen.
// A stream that the client opens before it reads that is lost, unless the client can send it again. RFC 9113, section
// 6.8, has the remedy: first a GOAWAY with the greatest id, which only means "open no more streams here", and at least a
// round trip later the one with the true last id. net/http does not do this and has no hook for it, so a wrapper between
// its HTTP/2 code and the connection (above TLS) adds two frames at frame boundaries, where they are legal:
//
//  1. GOAWAY(2^31-1).
//  2. After goAwayPause, PING with a random payload. When the client acknowledges it, everything that it had opened before
//     it read the GOAWAY has been read by us.
//  3. That acknowledgement (17 bytes) is handed to net/http rewritten as a GOAWAY(0) of the client (17 bytes), to which
//     net/http answers by its graceful shutdown of this one connection, with the true last id.
//
// In steady state the wrapper follows frame headers: nothing is buffered, nothing allocated.

const (
	frameHead     = 9
	frameHeaders  = 1
	framePush     = 5
	framePing     = 6
	frameGoAway   = 7
	frameContinue = 9
	flagAck       = 1
	flagEndHeader = 4
)

// A small frame is one of ours, and the acknowledgement that becomes one: a head and eight bytes.
type smallFrame [frameHead + 8]byte

// goAwayPause separates the first GOAWAY from the PING. A Go client may take a stream id, read the GOAWAY, answer the PING,
// and only then write the stream's HEADERS; without a pause that loses one stream in 200,000.
const goAwayPause = 100 * time.Millisecond

// A boundary follows the frames of one direction.
type boundary struct {
	left  int // bytes of payload left in the current frame
	n     int // bytes of the next head that have passed
	head  [frameHead]byte
	block bool // between HEADERS and its last CONTINUATION
	begun bool // a frame has passed: the first has to be SETTINGS
}

// step follows p to the end of the current frame and returns how much of it that is.
func (b *boundary) step(p []byte) int {
	k := 0
	if b.left == 0 {
		k = copy(b.head[b.n:], p)
		if b.n += k; b.n < frameHead {
			return k
		}
		b.n, b.begun = 0, true
		b.left = frameSize(b.head[:])
		switch b.head[3] {
		case frameHeaders, framePush, frameContinue:
			b.block = b.head[4]&flagEndHeader == 0
		}
	}
	m := min(b.left, len(p)-k)
	b.left -= m
	return k + m
}

func frameSize(head []byte) int { return int(head[0])<<16 | int(head[1])<<8 | int(head[2]) }

// free reports whether a frame of ours may be inserted here.
func (b *boundary) free() bool { return b.begun && b.left == 0 && b.n == 0 && !b.block }

// farewells are the HTTP/2 connections of one server.
type farewells struct {
	mu    sync.Mutex
	conns map[*http2Conn]struct{}
	begun bool
}

func (f *farewells) add(c *http2Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-c.done: // closed meanwhile
		return
	default:
	}
	if f.conns == nil {
		f.conns = map[*http2Conn]struct{}{}
	}
	f.conns[c] = struct{}{}
	if f.begun {
		go c.farewell()
	}
}

func (f *farewells) remove(c *http2Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// begin asks every client to open its next stream elsewhere.
func (f *farewells) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun {
		return
	}
	f.begun = true
	for c := range f.conns {
		go c.farewell()
	}
}

// resume ends begin for connections to come.
func (f *farewells) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = false
}

// wait returns when all clients have acknowledged, or are gone. Their streams go on; Shutdown waits for them.
func (f *farewells) wait(ctx context.Context) {
	for {
		var open *http2Conn
		f.mu.Lock()
		for c := range f.conns {
			select {
			case <-c.done:
			default:
				open = c
			}
		}
		f.mu.Unlock()
		if open == nil {
			return
		}
		select {
		case <-open.done:
		case <-ctx.Done():
			return
		}
	}
}

// The protocol of a connection.
const (
	unknownProtocol int32 = iota // the client's preface has not come whole
	speaksHTTP2
	speaksHTTP1
)

// An http2Conn follows the frames between net/http's HTTP/2 code and the connection. One goroutine reads; writes are
// locked.
type http2Conn struct {
	net.Conn
	of    *farewells
	speak atomic.Int32

	seen  int    // bytes of the preface
	left  int    // bytes of payload left in the frame that is being read
	hold  []byte // read, and not yet by net/http
	frame smallFrame

	mu      sync.Mutex
	out     boundary
	pending []byte // frames of ours that wait for a boundary

	nonce [8]byte     // of our PING
	armed atomic.Bool // our PING may be on its way
	once  sync.Once
	done  chan struct{} // closed: acknowledged, or the connection is gone
}

func newHTTP2Conn(c net.Conn, of *farewells, speak int32) *http2Conn {
	w := &http2Conn{Conn: c, of: of, done: make(chan struct{})}
	w.speak.Store(speak)
	if speak == speaksHTTP2 {
		of.add(w)
	}
	return w
}

// NetConn returns the wrapped connection.
func (c *http2Conn) NetConn() net.Conn { return c.Conn }

func (c *http2Conn) below() net.Conn { return c.Conn }

func (c *http2Conn) speaksHTTP2() bool { return c.speak.Load() == speaksHTTP2 }

func (c *http2Conn) finish() { c.once.Do(func() { close(c.done) }) }

func (c *http2Conn) Close() error {
	c.finish()
	c.of.remove(c)
	return c.Conn.Close()
}

func (c *http2Conn) CloseWrite() error {
	if to, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return to.CloseWrite()
	}
	return c.Conn.Close()
}

func (c *http2Conn) Write(p []byte) (n int, err error) {
	if c.speak.Load() == speaksHTTP1 {
		return c.Conn.Write(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 { // up to the next boundary, then ours
		if c.out.free() {
			if err := c.flush(); err != nil {
				return n, err
			}
			break
		}
		if n == len(p) {
			return n, nil
		}
		ahead := c.out
		if err := c.write(p[n:n+ahead.step(p[n:])], &n); err != nil {
			return n, err
		}
	}
	if n < len(p) || len(p) == 0 {
		err = c.write(p[n:], &n)
	}
	return n, err
}

func (c *http2Conn) write(p []byte, n *int) error {
	k, err := c.Conn.Write(p)
	*n += k
	for p = p[:k]; len(p) > 0; {
		p = p[c.out.step(p):]
	}
	return err
}

// flush writes pending; what a deadline leaves over stays for the next try.
func (c *http2Conn) flush() error {
	k, err := c.Conn.Write(c.pending)
	c.pending = c.pending[k:]
	return err
}

// ReadFrom keeps sendfile for HTTP/1; HTTP/2 does not call it.
func (c *http2Conn) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok && c.speak.Load() == speaksHTTP1 {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (c *http2Conn) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0 || c.speak.Load() == speaksHTTP1:
		return c.Conn.Read(p)
	case c.speak.Load() == unknownProtocol:
		n, err := c.Conn.Read(p[:min(len(p), len(preface)-c.seen)])
		if string(p[:n]) != preface[c.seen:c.seen+n] {
			c.speak.Store(speaksHTTP1)
		} else if c.seen += n; c.seen == len(preface) {
			c.speak.Store(speaksHTTP2)
			c.of.add(c)
		}
		return n, err
	case len(c.hold) > 0:
	case c.left > 0:
		n, err := c.Conn.Read(p[:min(len(p), c.left)])
		c.left -= n
		return n, err
	default: // at the head of a frame, which net/http reads on its own too
		n, err := io.ReadFull(c.Conn, c.frame[:frameHead])
		if err == nil {
			c.left = frameSize(c.frame[:])
			if c.armed.Load() && c.left == 8 && c.frame[3] == framePing && c.frame[4]&flagAck != 0 {
				n, err = c.readAck()
			}
		}
		if c.hold = c.frame[:n]; err != nil {
			k := copy(p, c.hold)
			c.hold = nil
			return k, err
		}
	}
	n := copy(p, c.hold)
	c.hold = c.hold[n:]
	return n, nil
}

// readAck reads the rest of a PING's acknowledgement. That of our own PING becomes the client's GOAWAY(0).
func (c *http2Conn) readAck() (int, error) {
	n, err := io.ReadFull(c.Conn, c.frame[frameHead:])
	c.left -= n
	if err == nil && [8]byte(c.frame[frameHead:]) == c.nonce {
		c.armed.Store(false)
		c.frame = smallFrame{2: 8, 3: frameGoAway}
		c.finish()
	}
	return frameHead + n, err
}

// send inserts a frame of ours, now or at the next boundary.
func (c *http2Conn) send(f smallFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending = append(c.pending, f[:]...); c.out.free() {
		c.flush() // net/http will see the error at its next call
	}
}

func (c *http2Conn) farewell() {
	c.send(smallFrame{2: 8, 3: frameGoAway, 9: 0x7f, 10: 0xff, 11: 0xff, 12: 0xff})
	select {
	case <-time.After(goAwayPause):
	case <-c.done:
		return
	}
	rand.Read(c.nonce[:])
	ping := smallFrame{2: 8, 3: framePing}
	copy(ping[frameHead:], c.nonce[:])
	c.armed.Store(true)
	c.send(ping)
}

// http2TLS is an http2Conn over TLS that net/http can ask about it.
type http2TLS struct {
	*http2Conn
	tls *tls.Conn
}

func (c http2TLS) ConnectionState() tls.ConnectionState       { return c.tls.ConnectionState() }
func (c http2TLS) HandshakeContext(ctx context.Context) error { return c.tls.HandshakeContext(ctx) }
