package conn

import (
	"bytes"
	"errors"
	"io"
	"net"
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
// These are internals of net/http, so CanPass tries them on the net/http of this build before anything relies on them.

// readBuffer is the size of net/http's read buffer.
const readBuffer = 4096

// A Sink takes a connection over, or returns why it does not. The caller still owns the connection, and closes it.
type Sink func(syscall.Conn) error

// A movable is a connection that can leave for another process. Every request passes through it several times, so that it
// costs no lock, and two atomic writes a request.
type movable struct {
	net.Conn
	t *tracker

	// Owned by net/http, which has one goroutine at a time that reads, sets read deadlines and changes the state; where
	// it has another one read while a handler runs, it synchronises the two.
	head     []byte    // the first bytes, until they show the protocol
	started  bool      // a byte was read
	active   bool      // a request has begun and is not answered
	calls    int       // of SetReadDeadline since the last answer
	deadline time.Time // for reads

	h2     atomic.Bool  // HTTP/2
	stays  atomic.Bool  // HTTP/2, or hijacked: cannot move, and may be used by several goroutines
	wait   atomic.Int32 // busy, blocked or poked
	leaves atomic.Bool  // net/http was told of a timeout, so it will call Close, which then moves the connection

	mu     sync.Mutex // held by a poke, and to restore the deadline after it
	closed bool
}

// States of a movable's Read.
const (
	busy    int32 = iota // does not run, or must not be interrupted
	blocked              // may be interrupted
	poked                // has been
)

// preface opens every HTTP/2 connection; no HTTP/1 method is called PRI.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func (c *movable) http2() bool { return c.h2.Load() }

// poke interrupts Read if it waits for the first byte of a request.
func (c *movable) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait.CompareAndSwap(blocked, poked) {
		c.Conn.SetReadDeadline(past)
	}
}

// idle records that the answer is written; the server's ConnState hook calls it.
func (c *movable) idle() {
	if !c.stays.Load() {
		c.active, c.calls = false, 0
	}
}

// Read stores blocked before it loads sink, and move stores sink before it looks for reads that are blocked: one of them
// sees the other.
func (c *movable) Read(p []byte) (int, error) {
	if c.stays.Load() {
		return c.Conn.Read(p)
	}
	free := (!c.started || len(p) == readBuffer && c.calls == 1) && !c.active
	if free {
		if c.leaves.Load() || c.t.moving() {
			c.leaves.Store(true)
			return 0, os.ErrDeadlineExceeded
		}
		c.wait.Store(blocked)
		if c.t.moving() { // move came in between, and its poke found nobody
			c.poke()
		}
	}

	n, err := c.Conn.Read(p)

	if free && !c.wait.CompareAndSwap(blocked, busy) {
		c.mu.Lock()
		c.wait.Store(busy)
		c.Conn.SetReadDeadline(c.deadline)
		c.mu.Unlock()
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			c.leaves.Store(true)
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

// look detects HTTP/2 from the first bytes.
func (c *movable) look(p []byte) {
	c.head = append(c.head, p[:min(len(p), 4-len(c.head))]...)
	if !bytes.HasPrefix([]byte(preface), c.head) {
		c.head = nil
	} else if len(c.head) == 4 {
		c.h2.Store(true)
		c.stays.Store(true)
		c.head = nil
	}
}

func (c *movable) SetReadDeadline(t time.Time) error {
	if c.stays.Load() {
		return c.Conn.SetReadDeadline(t)
	}
	c.calls++
	c.deadline = t
	if c.wait.Load() == busy { // nobody pokes
		return c.Conn.SetReadDeadline(t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wait.Load() == poked {
		return nil // Read restores it
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *movable) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// ReadFrom keeps sendfile and splice.
func (c *movable) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(*net.TCPConn); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// NetConn returns the wrapped connection, as (*tls.Conn).NetConn does, for handlers that hijack.
func (c *movable) NetConn() net.Conn { return c.Conn }

func (c *movable) below() net.Conn { return c.Conn }

var _ syscall.Conn = (*movable)(nil)

// SyscallConn returns raw access, for handlers that hijack.
func (c *movable) SyscallConn() (syscall.RawConn, error) {
	if to, ok := c.Conn.(syscall.Conn); ok {
		return to.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func (c *movable) Close() error {
	c.mu.Lock()
	was, leaves := c.closed, c.leaves.Load()
	c.closed = true
	c.mu.Unlock() // move locks the tracker first
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
	case errors.Is(err, errHeld):
		c.Conn.SetDeadline(time.Time{})
		if c.t.home.adopt(c.Conn) {
			return nil
		}
	default: // nobody takes it: keep serving it here, and all the others
		c.t.sink.CompareAndSwap(out, nil)
		c.t.notify()
		c.Conn.SetDeadline(time.Time{})
		if c.t.home.adopt(c.Conn) {
			return nil
		}
	}
	return c.Conn.Close()
}
