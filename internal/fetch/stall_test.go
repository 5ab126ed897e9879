package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theseus-go/theseus/verify"
)

// A11 runs on synthetic time over in-memory connections, so that the real 30 s and hours of trickle are tested.
func TestA11SlowRetrieval(t *testing.T) {
	send := func(c net.Conn, text string) { io.WriteString(c, text) }
	trickle := func(c net.Conn, every time.Duration, text string) {
		for {
			time.Sleep(every)
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
	for _, test := range []struct {
		name   string
		serve  func(c net.Conn)
		rate   int64         // MinRate
		cancel time.Duration // 0: never
		err    error
		took   time.Duration
	}{
		{name: "A11 no answer", serve: func(net.Conn) {}, err: ErrStalled, took: 30 * time.Second},
		{name: "A11 headers never end", serve: func(c net.Conn) {
			send(c, "HTTP/1.1 200 OK\r\n")
			trickle(c, time.Second, "X: y\r\n")
		}, err: ErrStalled, took: 30 * time.Second},
		{name: "A11 1 B/s for ever", serve: func(c net.Conn) {
			time.Sleep(20 * time.Second)
			send(c, head)
			trickle(c, time.Second, "x")
		}, err: ErrStalled, took: 50 * time.Second},
		{name: "A11 just below the minimum", serve: func(c net.Conn) {
			send(c, head)
			trickle(c, 10*time.Second, strings.Repeat("x", 10*defaultMinRate-1))
		}, err: ErrStalled, took: 30 * time.Second},
		{name: "R19 3 kB/s, for hours if it were allowed", serve: func(c net.Conn) {
			send(c, head)
			trickle(c, time.Second, strings.Repeat("x", 3000))
		}, err: ErrStalled, took: 30 * time.Second},
		{name: "R19 3 kB/s on a line that is known to be slow", rate: 2 << 10, serve: func(c net.Conn) {
			send(c, head)
			trickle(c, time.Second, strings.Repeat("x", 3125))
		}, took: 320 * time.Second},
		{name: "A11 half of it, then silence", serve: func(c net.Conn) {
			send(c, head+strings.Repeat("x", 500_000))
		}, err: ErrStalled, took: 30 * time.Second},
		{name: "slow but steady: no total timeout", serve: func(c net.Conn) {
			send(c, head)
			trickle(c, 20*time.Second, strings.Repeat("x", 125_000)) // 6.1 KiB/s
		}, took: 8 * 20 * time.Second},
		{name: "A11 cancelled while waiting for headers", serve: func(net.Conn) {}, cancel: 5 * time.Second, err: context.Canceled, took: 5 * time.Second},
		{name: "A11 cancelled in a trickle", serve: func(c net.Conn) { send(c, head); trickle(c, time.Second, "x") }, cancel: 5 * time.Second, err: context.Canceled, took: 5 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Client{Sources: []string{"http://127.0.0.1"}, MinRate: test.rate}
				if err := c.Check(); err != nil {
					t.Fatal(err)
				}
				transport := c.sources[0].(*site).web.client.Transport.(*http.Transport)
				var served sync.WaitGroup
				transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
					client, server := net.Pipe()
					served.Go(func() {
						if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
							test.serve(server)
						}
					})
					return client, nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				if test.cancel > 0 {
					time.AfterFunc(test.cancel, cancel)
				}
				start := time.Now()
				_, err := c.Document(ctx, "stable", 1_000_000, nil, func([]byte) error { return nil })
				if took := time.Since(start); !errors.Is(err, test.err) || took != test.took {
					t.Errorf("%v after %v, want %v after %v", err, took, test.err, test.took)
				}
				cancel()
				transport.CloseIdleConnections()
				served.Wait()
			})
		})
	}
}

// Time that the receiver's disk takes does not count.
func TestStallCountsWaitingOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s := watch(t.Context(), 30*time.Second, defaultMinRate)
		s.wait()
		s.answered()
		w := &watched{ctx, s, io.NopCloser(strings.NewReader("abcdef"))}
		defer w.Close()
		for range 6 {
			if n, err := w.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			time.Sleep(time.Minute)
		}
		if ctx.Err() != nil {
			t.Error(context.Cause(ctx))
		}
	})
}

// A11: a source that stalls loses its turn, not what it has sent.
func TestA11NextMirror(t *testing.T) {
	t.Parallel()
	good := randomBytes(1000)
	asked := ""
	c := &Client{Stall: time.Second, Sources: []string{
		serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write(good[:600])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}),
		serve(t, func(w http.ResponseWriter, r *http.Request) { asked = r.Header.Get("Range"); ranges(good)(w, r) }),
	}}
	res, err := c.File(t.Context(), "files/a", verify.IDOf(good), target(t, nil), nil)
	if err != nil || len(res.Failed) != 1 || !errors.Is(res.Failed[0].Err, ErrStalled) || asked != "bytes=600-" {
		t.Errorf("asked for %q: %+v, %v", asked, res, err)
	}
}

// A11 over HTTP/2, where one connection carries many streams.
func TestA11HTTP2(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("protocol is %s", r.Proto)
		}
		w.(http.Flusher).Flush()
		fmt.Fprint(w, "x")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c := &Client{Stall: time.Second, Sources: []string{s.URL}, CAFile: caFile(t, s.Certificate().Raw)}
	if err := get(t, c); !errors.Is(err, ErrStalled) {
		t.Errorf("error is %v", err)
	}
}
