//go:build unix

package conn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestCanPass fails on a release of Go whose net/http reads in another way: connections are then drained, not passed
// on, and pass.go has to learn the new way.
func TestCanPass(t *testing.T) {
	if !CanPass() {
		t.Error("net/http of this release of Go does not read as pass.go expects")
	}
}

// TestPassRefused: what nobody takes stays, is served here, and nobody else is tried.
func TestPassRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := NewGate(ln, "tcp x")
	g.Resume()
	draining := make(chan struct{})
	s := NewServer(g, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })}, nil, draining, func(string) {})
	s.Serve(func(err error) { t.Error(err) })
	var conns []net.Conn
	var answers [100]byte
	ask := func(c net.Conn) string {
		t.Helper()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(answers[:])
		if err != nil {
			t.Fatal(err)
		}
		return string(answers[:n])
	}
	for range 5 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
		ask(c)
	}
	g.Release()
	var tries atomic.Int64
	done := make(chan []string, 1)
	go func() {
		ctx := t.Context()
		done <- s.Drain(ctx, time.Minute, func(syscall.Conn) error { tries.Add(1); return errors.New("full") }, nil)
	}()
	for s.t.moving() || !s.lame.Load() {
		time.Sleep(time.Millisecond)
	}
	for _, c := range conns {
		if got := ask(c); !strings.Contains(got, "Connection: close") {
			t.Errorf("after a refusal the answer is %q, want one that says goodbye", got)
		}
	}
	if cut := <-done; cut != nil {
		t.Errorf("cut %v", cut)
	}
	if n := tries.Load(); n == 0 || n > int64(len(conns)) {
		t.Errorf("%d tries", n)
	}
}

// TestReadDeadlineSurvivesAPoke: the server's own time limits hold for a connection that was to be moved and was not.
func TestReadDeadlineSurvivesAPoke(t *testing.T) {
	theirs, ours := net.Pipe()
	defer theirs.Close()
	tr := newTracker(ours.LocalAddr())
	c := &movable{Conn: ours, t: tr}
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	reading := make(chan error, 1)
	go func() {
		b := make([]byte, readBuffer)
		_, err := c.Read(b) // "a"
		if err == nil {
			_, err = c.Read(b) // nothing more: the limit
		}
		reading <- err
	}()
	theirs.Write([]byte("a"))
	c.poke() // in the second Read, which may not be interrupted: a request has begun
	if err := <-reading; !errors.Is(err, os.ErrDeadlineExceeded) || c.leaves.Load() {
		t.Errorf("%v, leaves: %v", err, c.leaves.Load())
	}
}

// TestHijackedIsAnyConnection: a program may use what it has hijacked from several goroutines at once. The race detector is
// what looks here.
func TestHijackedIsAnyConnection(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := NewGate(ln, "tcp x")
	g.Resume()
	done := make(chan error, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		nc, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			done <- err
			return
		}
		go func() {
			for range 100 {
				nc.SetReadDeadline(time.Now().Add(5 * time.Second))
			}
		}()
		_, err = io.CopyN(io.Discard, buf, 1000)
		done <- errors.Join(err, nc.Close())
	})}
	s := NewServer(g, srv, nil, nil, func(string) {})
	s.Serve(func(err error) { t.Error(err) })
	defer srv.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 1000 {
		c.Write([]byte("x"))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWrappersCostNoAllocation: what every request passes allocates nothing.
func TestWrappersCostNoAllocation(t *testing.T) {
	tr := newTracker(&net.TCPAddr{})
	hook := tr.hook(nil)
	c := &movable{Conn: nothing{}, t: tr}
	p := make([]byte, readBuffer)
	if n := testing.AllocsPerRun(100, func() { oneRequest(c, hook, p) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
