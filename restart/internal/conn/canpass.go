package conn

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// CanPass reports whether the linked net/http reads connections as movable expects. The first call tries it out, which
// takes about a millisecond.
var CanPass = sync.OnceValue(func() bool {
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
	// waits waits until net/http reads, and reports whether the connection could leave now.
	waits := func() (could, ok bool) {
		select {
		case <-below.reads:
		case <-time.After(time.Second):
			return false, false
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		for nc := range t.conns {
			c := nc.(*movable)
			could, ok = c.wait.Load() == blocked, true
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

// A watched connection reports every Read, except the one-byte reads by which net/http notices a client that goes away
// while a handler runs.
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
