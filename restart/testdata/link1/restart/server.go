package restart

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// server is an http.Server that can leave without losing a request.
type server struct {
	ln       net.Listener
	srv      *http.Server
	key      string // of its listener; connections are passed between servers of one key
	tls      bool
	plain    bool // its connections may be passed on
	t        *tracker
	h2       farewells
	attach   sync.Once
	lame     atomic.Bool  // answers of HTTP/1 say that they are the last
	handlers atomic.Int64 // of HTTP/1 that have not returned, those that have hijacked their connection too
}

// farewellLimit is how long HTTP/2 clients may take to understand that they should go; then they get what net/http has.
const farewellLimit = 3 * time.Second

type drainingKey struct{}

// DrainStarted returns a channel that is closed when the process that serves the request with this context begins to
// drain: a WebSocket or an event stream should say goodbye then. It is nil, and blocks for ever, for a context that
// does not come from a server given to Serve.
func DrainStarted(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(drainingKey{}).(<-chan struct{})
	return c
}

func hasCertificates(srv *http.Server) bool {
	c := srv.TLSConfig
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

// newServer wraps srv; downgrade is told of what does not work with this release of Go.
func newServer(ln net.Listener, srv *http.Server, draining <-chan struct{}, downgrade func(string)) *server {
	s := &server{ln: ln, srv: srv, key: ln.Addr().Network() + " " + ln.Addr().String(), t: newTracker(ln.Addr())}
	s.tls = hasCertificates(srv)
	if g, ok := ln.(*gate); ok {
		s.key, s.plain = g.key, !s.tls
	}

	handler := srv.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 { // HTTP/2 is Shutdown's business; there the header would be the GOAWAY that loses streams
			s.handlers.Add(1)
			defer func() {
				if s.handlers.Add(-1) == 0 {
					s.t.notify()
				}
			}()
			if s.lame.Load() {
				w.Header().Set("Connection", "close")
			}
		}
		handler.ServeHTTP(w, r)
	})
	base := srv.BaseContext
	srv.BaseContext = func(l net.Listener) context.Context {
		s.attach.Do(func() {
			if !s.h2.attach(srv) {
				downgrade("this release of Go does not hand HTTP/2 connections over as expected: they end with a single GOAWAY")
			}
		})
		ctx := context.Background()
		if base != nil {
			ctx = base(l)
		}
		return context.WithValue(ctx, drainingKey{}, draining)
	}
	srv.ConnState = s.t.hook(srv.ConnState)
	if next := srv.ConnContext; next != nil {
		srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context { return next(ctx, unwrapped(nc)) }
	}
	return s
}

// serve runs until the server is shut down; broken is told of any other end.
func (s *server) serve(broken func(error)) {
	run := func(ln net.Listener) {
		serve := s.srv.Serve
		ln, secured := s.h2.listener(ln, s.srv)
		if s.tls && !secured {
			serve = func(ln net.Listener) error { return s.srv.ServeTLS(ln, "", "") }
		}
		if err := serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			broken(fmt.Errorf("restart: serving on %s: %w", s.ln.Addr(), err))
		}
	}
	go run(trackedListener{s.ln, s.t, s.plain})
	if s.plain {
		go run(trackedListener{s.t.home, s.t, true})
	}
}

// drain finishes what was begun. The listener is parked or released already. With out, connections that can are passed
// on; the others, or all, are answered once more with "Connection: close", and closed when they were idle for grace.
// Shutdown comes after them, because it makes net/http drop requests that it has read (golang/go#75591). drain returns
// what it cut when ctx ended.
func (s *server) drain(ctx context.Context, grace time.Duration, out sink) (cut []string) {
	passing := out != nil && s.plain
	if passing {
		s.t.move(out)
	} else {
		s.lame.Store(true)
	}
	s.h2.begin()
	graceOver := time.NewTimer(grace)
	defer graceOver.Stop()
	over := false
	for ctx.Err() == nil && s.t.http1() > 0 {
		select {
		case <-s.t.changed:
		case <-graceOver.C:
			over = true
			s.lame.Store(true)
		case <-ctx.Done():
		}
		if passing && !s.t.moving() { // one was refused, so all stay
			passing = false
			s.lame.Store(true)
		}
		if over && !passing {
			s.t.expire()
		}
	}
	understood, cancel := context.WithTimeout(ctx, farewellLimit)
	s.h2.wait(understood)
	cancel()
	if ctx.Err() == nil && s.srv.Shutdown(ctx) == nil {
		for ctx.Err() == nil && s.handlers.Load() > 0 { // of connections that were hijacked
			select {
			case <-s.t.changed:
			case <-ctx.Done():
			}
		}
	}
	left := max(s.t.count(), int(s.handlers.Load()))
	s.t.home.Close()
	s.srv.Close()
	if left > 0 {
		return []string{fmt.Sprintf("%d connections of %s", left, s.ln.Addr())}
	}
	return nil
}
