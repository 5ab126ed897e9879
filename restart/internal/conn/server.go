package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Server is one listener of an http.Server that can leave without losing a request.
type Server struct {
	*site
	ln     net.Listener
	key    string // the key of its listener
	passes bool   // its connections may leave
	t      *tracker
}

// A site is an http.Server with all its listeners.
type site struct {
	srv       *http.Server
	tls       bool
	downgrade func(string)
	h2        farewells
	attach    sync.Once
	hooks     sync.Once    // those of RegisterOnShutdown
	lame      atomic.Bool  // HTTP/1 answers say "Connection: close"
	handlers  atomic.Int64 // HTTP/1 handlers that have not returned, including those that hijacked their connection

	mu      sync.Mutex
	servers []*Server
	left    int           // of them have finished their own part of the drain
	all     chan struct{} // closed when all have
}

// farewellLimit is how long HTTP/2 clients may take to acknowledge the farewell; then they get net/http's single GOAWAY.
const farewellLimit = 3 * time.Second

type (
	drainingKey struct{}
	trackKey    struct{}
)

// DrainStarted returns the channel that [NewServer] was given, for the context of one of that server's requests. If the
// request's connection is hijacked, a drain waits for that to be closed.
func DrainStarted(ctx context.Context) <-chan struct{} {
	if k, ok := ctx.Value(trackKey{}).(*track); ok {
		k.goodbye.Store(true)
	}
	c, _ := ctx.Value(drainingKey{}).(<-chan struct{})
	return c
}

func hasCertificates(srv *http.Server) bool {
	c := srv.TLSConfig
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

// NewServer wraps srv, which serves ln once Serve is called. One of the others may serve another listener by the same srv.
// downgrade is told which mechanism does not work with this release of Go.
func NewServer(ln net.Listener, srv *http.Server, others []*Server, draining <-chan struct{}, downgrade func(string)) *Server {
	s := &Server{
		ln:  ln,
		key: ln.Addr().Network() + " " + ln.Addr().String(),
		t:   newTracker(ln.Addr()),
	}
	for _, o := range others {
		if o.srv == srv {
			s.site = o.site
		}
	}
	if s.site == nil {
		s.site = newSite(srv, draining, downgrade)
	}
	if g, ok := ln.(interface{ gate() *Gate }); ok {
		s.key, s.passes = g.gate().key, !s.tls
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers = append(s.servers, s)
	return s
}

func newSite(srv *http.Server, draining <-chan struct{}, downgrade func(string)) *site {
	s := &site{srv: srv, tls: hasCertificates(srv), downgrade: downgrade, all: make(chan struct{})}
	handler := srv.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		preface := r.Method == "PRI" && r.ProtoMajor == 2 // of HTTP/2, to a handler that understands it (x/net's h2c)
		if r.ProtoMajor == 1 || preface {                 // in HTTP/2 the header would cause the single GOAWAY that loses streams
			s.handlers.Add(1)
			defer func() {
				if s.handlers.Add(-1) == 0 {
					s.notify()
				}
			}()
			switch upgrade := r.Header["Upgrade"]; {
			case preface || upgrade != nil && strings.Contains(strings.ToLower(upgrade[0]), "h2c"):
				w = &h2cWriter{ResponseWriter: w, of: &s.h2, preface: preface}
			case upgrade != nil: // a proxy copies the header of its backend beside ours
			case s.lame.Load():
				w.Header().Set("Connection", "close")
			}
		}
		handler.ServeHTTP(w, r)
	})
	base := srv.BaseContext
	srv.BaseContext = func(l net.Listener) context.Context {
		s.attach.Do(func() {
			if !s.h2.attach(srv) && (s.tls || srv.Protocols != nil && srv.Protocols.UnencryptedHTTP2()) {
				downgrade("this release of Go does not hand HTTP/2 connections over as expected: they end with a single GOAWAY")
			}
		})
		ctx := context.Background()
		if base != nil {
			ctx = base(l)
		}
		return context.WithValue(ctx, drainingKey{}, draining)
	}
	srv.ConnState = hook(s.follow, srv.ConnState)
	next := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if k := s.lookup(nc); k != nil {
			ctx = context.WithValue(ctx, trackKey{}, k)
		}
		if next != nil {
			ctx = next(ctx, unwrapped(nc))
		}
		return ctx
	}
	return s
}

func (s *site) each() []*Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers
}

// notify wakes whoever drains.
func (s *site) notify() {
	for _, o := range s.each() {
		o.t.notify()
	}
}

func (s *site) follow(nc net.Conn, state http.ConnState, h2 bool) bool {
	return slices.ContainsFunc(s.each(), func(o *Server) bool { return o.t.follow(nc, state, h2) })
}

func (s *site) lookup(nc net.Conn) *track {
	if c, ok := nc.(*movable); ok {
		return c.t.lookup(nc)
	}
	for _, o := range s.each() {
		if k := o.t.lookup(nc); k != nil {
			return k
		}
	}
	return nil
}

// leave notes that one listener of the server has nothing left to do, and waits for the others.
func (s *site) leave(ctx context.Context) {
	s.mu.Lock()
	if s.left++; s.left == len(s.servers) {
		close(s.all)
	}
	s.mu.Unlock()
	select {
	case <-s.all:
	case <-ctx.Done():
	}
}

// Key names the socket that the server listens on. Connections pass between servers with equal keys.
func (s *Server) Key() string { return s.key }

// Passes reports whether connections of this server can leave for another process.
func (s *Server) Passes() bool { return s.passes }

// Adopt makes the server serve a connection that another process accepted. It waits until the server takes it, and
// returns false if the server has ended and does not.
func (s *Server) Adopt(c net.Conn) bool { return s.t.home.adopt(c) }

// IdleTimeout returns how long the server keeps an idle connection, as net/http does; 0 means without limit.
func (s *Server) IdleTimeout() time.Duration {
	if s.srv.IdleTimeout != 0 {
		return s.srv.IdleTimeout
	}
	return s.srv.ReadTimeout
}

// Serve starts serving and returns at once. broken is told when serving ends for any reason other than Drain.
func (s *Server) Serve(broken func(error)) {
	if s.passes && !CanPass() {
		s.passes = false
		s.downgrade("this release of Go does not read connections as expected: they are drained, not passed on")
	}
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
	go run(trackedListener{s.ln, s.t, s.passes})
	if s.passes {
		go run(trackedListener{s.t.home, s.t, true})
	}
}

// Quiesce returns when no request runs and no connection is left that could bring one, or when ctx ends. Idle connections are
// held back, unread, if hold is set and they could leave; the others end as with Drain. So do connections that come from
// other processes meanwhile. PassHeld lets another process have them, Resume undoes everything.
func (s *Server) Quiesce(ctx context.Context, grace time.Duration, hold bool) {
	s.t.home.hold()
	var out Sink
	if hold {
		out = func(syscall.Conn) error { return errHeld }
	}
	s.empty(ctx, grace, out, nil)
	for ctx.Err() == nil && (s.t.count() > 0 || s.handlers.Load() > 0) {
		select {
		case <-s.t.changed:
		case <-ctx.Done():
		}
	}
}

// Resume serves what was held, and undoes Quiesce.
func (s *Server) Resume() {
	s.t.sink.Store(nil)
	s.lame.Store(false)
	s.h2.resume()
	s.t.home.resume()
}

// PassHeld sends out what Quiesce holds back. What is not taken is held on.
func (s *Server) PassHeld(out Sink) {
	h := s.t.home
	held := h.take()
	h.coming.Add(int64(len(held))) // a drain waits for them
	for _, c := range held {
		raw, ok := c.(syscall.Conn)
		if ok && out(raw) == nil {
			c.Close()
		} else if !h.adopt(c) {
			c.Close()
		}
		h.coming.Add(-1)
	}
	s.t.notify()
}

// goodbyeTick is how often a drain looks whether hijacked connections are closed, which nothing tells.
const goodbyeTick = 20 * time.Millisecond

// Drain finishes what was begun, and returns a description of what it cut when ctx ended. The listener has to be parked
// or released before.
//
// Connections leave through out, if it is not nil and they can. The others are answered once more, with
// "Connection: close", and closed after they were idle for grace. http.Server.Shutdown comes last, because it makes
// net/http drop requests that it has read already (golang/go#75591).
//
// Until arriving is closed, other processes may still give connections to Adopt, which go on through out. It may be nil.
func (s *Server) Drain(ctx context.Context, grace time.Duration, out Sink, arriving <-chan struct{}) (cut []string) {
	if out != nil {
		s.PassHeld(out)
	}
	s.t.home.release()
	s.hooks.Do(func() { runOnShutdown(s.srv) })
	s.empty(ctx, grace, out, arriving)
	s.leave(ctx)
	if ctx.Err() == nil && s.srv.Shutdown(ctx) == nil {
		tick := time.NewTicker(goodbyeTick)
		defer tick.Stop()
		for ctx.Err() == nil && (s.handlers.Load() > 0 || s.t.goodbyes() > 0) { // hijacked connections
			select {
			case <-s.t.changed:
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
	left := max(s.t.count()+s.t.goodbyes(), int(s.handlers.Load()))
	s.t.home.Close()
	s.srv.Close()
	if left > 0 {
		return []string{fmt.Sprintf("%d connections of %s", left, s.ln.Addr())}
	}
	return nil
}

// empty makes connections leave, or say goodbye, and returns when no HTTP/1 connection is left and the HTTP/2 clients have
// understood, or when ctx ends.
func (s *Server) empty(ctx context.Context, grace time.Duration, out Sink, arriving <-chan struct{}) {
	passing := out != nil && s.passes
	if passing {
		s.t.move(out)
	} else {
		s.lame.Store(true)
	}
	s.h2.begin()
	graceOver := time.NewTimer(grace)
	defer graceOver.Stop()
	over := false
	if !passing {
		arriving = nil
	}
	for ctx.Err() == nil && (arriving != nil || s.t.http1() > 0) {
		select {
		case <-s.t.changed:
		case <-arriving:
			arriving = nil
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
}
