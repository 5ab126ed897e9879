//go:build unix

package conn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A bench is one http.Server on some listeners.
type bench struct {
	t        *testing.T
	servers  []*Server
	gates    []*Gate
	draining chan struct{}
}

func newBench(t *testing.T, listeners int, srv *http.Server) *bench {
	b := &bench{t: t, draining: make(chan struct{})}
	for range listeners {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		g := NewGate(ln, "tcp "+ln.Addr().String())
		g.Resume()
		b.gates = append(b.gates, g)
		b.servers = append(b.servers, NewServer(g, srv, b.servers, b.draining, func(text string) { t.Error(text) }))
	}
	for _, s := range b.servers {
		s.Serve(func(err error) { t.Error(err) })
	}
	t.Cleanup(func() {
		srv.Close()
		for _, g := range b.gates {
			g.Close()
		}
	})
	return b
}

func (b *bench) dial(i int) net.Conn {
	b.t.Helper()
	c, err := net.Dial("tcp", b.gates[i].Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// drain begins a drain, and returns what was cut when it has ended.
func (b *bench) drain(limit time.Duration, out func(i int) Sink) <-chan []string {
	close(b.draining)
	ended := make(chan []string, 1)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	go func() {
		defer cancel()
		var wg sync.WaitGroup
		var mu sync.Mutex
		var cut []string
		for i, s := range b.servers {
			b.gates[i].Release()
			wg.Go(func() {
				c := s.Drain(ctx, 100*time.Millisecond, out(i), nil)
				mu.Lock()
				cut = append(cut, c...)
				mu.Unlock()
			})
		}
		wg.Wait()
		ended <- cut
	}()
	return ended
}

func nowhere(int) Sink { return nil }

func ask(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	return res
}

// TestOneServerOnSeveralListeners: what is idle leaves from each, what was closed is forgotten, and a request in flight on
// one is finished while the other has nothing left to do.
func TestOneServerOnSeveralListeners(t *testing.T) {
	var slow atomic.Bool
	began, goOn := make(chan struct{}), make(chan struct{})
	b := newBench(t, 3, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slow.Swap(false) {
			close(began)
			<-goOn
		}
	})})
	for i := range b.servers {
		for range 20 {
			c := b.dial(i)
			ask(t, c)
			c.Close()
		}
	}
	for i := range b.servers {
		c := b.dial(i)
		ask(t, c)
	}
	for i, s := range b.servers { // a client's close is noticed a moment later
		for end := time.Now().Add(5 * time.Second); s.t.count() != 1; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("listener %d remembers %d connections, and one is open", i, s.t.count())
			}
		}
	}
	slow.Store(true)
	answered := make(chan error, 1)
	busy := b.dial(2)
	go func() {
		io.WriteString(busy, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err := http.ReadResponse(bufio.NewReader(busy), nil)
		answered <- err
	}()
	<-began
	var left [3]atomic.Int64
	ended := b.drain(10*time.Second, func(i int) Sink {
		return func(syscall.Conn) error { left[i].Add(1); return nil }
	})
	for i := range left {
		for end := time.Now().Add(5 * time.Second); left[i].Load() != 1; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d connections have left listener %d, want 1", left[i].Load(), i)
			}
		}
	}
	close(goOn)
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if cut := <-ended; cut != nil {
		t.Errorf("cut %v", cut)
	}
}

// TestRegisterOnShutdown: an event stream that ends by it ends when the drain begins, not when it is over.
func TestRegisterOnShutdown(t *testing.T) {
	ending := make(chan struct{})
	var calls atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello\n")
		http.NewResponseController(w).Flush()
		<-ending
		io.WriteString(w, "goodbye\n")
	})}
	b := newBench(t, 2, srv)
	srv.RegisterOnShutdown(func() {
		if calls.Add(1) == 1 {
			close(ending)
		}
	})
	c := b.dial(0)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := b.drain(5*time.Second, nowhere)
	text, err := io.ReadAll(res.Body)
	if err != nil || string(text) != "hello\ngoodbye\n" {
		t.Errorf("the stream was %q, %v", text, err)
	}
	if cut := <-ended; cut != nil || calls.Load() != 1 {
		t.Errorf("cut %v after %d calls", cut, calls.Load())
	}
}

// TestHijackedSaysGoodbye: a connection whose handler has returned is waited for if its handler has asked for the channel,
// and not otherwise, as by net/http.
func TestHijackedSaysGoodbye(t *testing.T) {
	for _, asks := range []bool{true, false} {
		t.Run(fmt.Sprint(asks), func(t *testing.T) {
			b := newBench(t, 1, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
				if asks {
					goodbye := DrainStarted(r.Context())
					go func() {
						<-goodbye
						time.Sleep(50 * time.Millisecond)
						io.WriteString(c, "goodbye")
						c.Close()
					}()
				}
			})})
			c := b.dial(0)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			answer := bufio.NewReader(c)
			if _, err := http.ReadResponse(answer, nil); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			cut := <-b.drain(5*time.Second, nowhere)
			took := time.Since(begun)
			if cut != nil || took > 3*time.Second || asks && took < 50*time.Millisecond {
				t.Errorf("cut %v after %v", cut, took)
			}
			if asks {
				if text, err := io.ReadAll(answer); err != nil || string(text) != "goodbye" {
					t.Errorf("heard %q, %v", text, err)
				}
			}
		})
	}
}

// TestHijackedIsWhole: a tunnel closes each direction on its own, and whoever asks for the descriptor gets it.
func TestHijackedIsWhole(t *testing.T) {
	got := make(chan error, 1)
	b := newBench(t, 1, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			got <- err
			return
		}
		tcp, ok := c.(interface {
			net.Conn
			io.ReaderFrom
			io.WriterTo
			syscall.Conn
			CloseRead() error
			CloseWrite() error
			File() (*os.File, error)
			SetKeepAlive(bool) error
			SetKeepAliveConfig(net.KeepAliveConfig) error
			SetKeepAlivePeriod(time.Duration) error
			SetLinger(int) error
			SetNoDelay(bool) error
			SetReadBuffer(int) error
			SetWriteBuffer(int) error
		})
		if !ok {
			got <- fmt.Errorf("a %T lacks methods of a *net.TCPConn", c)
			return
		}
		f, err := tcp.File()
		if err == nil {
			f.Close()
			err = tcp.SetNoDelay(false)
		}
		if err == nil {
			var all []byte
			if all, err = io.ReadAll(rw); err == nil && string(all) != "to the end" {
				err = fmt.Errorf("read %q", all)
			}
		}
		if err == nil {
			_, err = io.WriteString(c, "answered after the end")
		}
		tcp.CloseWrite()
		c.Close()
		got <- err
	})})
	c := b.dial(0)
	io.WriteString(c, "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\nto the end")
	c.(*net.TCPConn).CloseWrite()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(c); err != nil || !strings.Contains(string(text), "after the end") {
		t.Errorf("read %q, %v", text, err)
	}
}
