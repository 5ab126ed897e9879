package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/fleet"
	"github.com/theseus-go/theseus/restart"
)

// server is what serve was asked for.
type server struct {
	listen, groups, tokens, cert, key, audit string
	data, nats, etcd                         string
	replicas                                 int
	plain                                    bool

	access  fleet.Access
	all     []fleet.Group
	log     *slog.Logger
	journal *journal
	now     atomic.Pointer[service]
}

// service is what a process has while it serves.
type service struct {
	coordinator *fleet.Coordinator
	handler     http.Handler
	close       func()
}

func serveCommand() *cobra.Command {
	s := &server{}
	c := &cobra.Command{
		Use: "serve", Short: "Serve a coordinator", Args: cobra.NoArgs,
		Long: `Serve a coordinator.

Documents are kept in an embedded NATS server in the folder --data, unless --nats or --etcd names servers; then any number of
coordinators may serve side by side. SIGHUP hands over to a new process of the program, which reads the files of groups,
tokens and certificates anew; if it cannot, this one serves on. No ask is lost.`,
		Example: `  echo 'web: canary 5, soak 1h, then 10 %, then all; max 5 % at once; halt after 3 failures' > groups
  echo "operator $(openssl rand -hex 32)" > tokens
  theseus-fleet serve --groups groups --tokens tokens --listen :8443 --tls-cert cert.pem --tls-key key.pem`,
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&s.listen, "listen", "127.0.0.1:8090", "address to serve on")
	f.StringVar(&s.groups, "groups", "", "file of groups and policies, one a line: NAME: POLICY, or APP/NAME: POLICY (required)")
	f.StringVar(&s.tokens, "tokens", "", "file of tokens, one a line: operator, reader or host, and the token")
	f.StringVar(&s.cert, "tls-cert", "", "PEM file of the certificate and its chain")
	f.StringVar(&s.key, "tls-key", "", "PEM file of its key")
	f.BoolVar(&s.plain, "plain-http", false, "serve plain http to other machines too: a proxy in front has the certificate")
	f.StringVar(&s.audit, "audit", "", "file to append every event to, as a line of JSON")
	f.StringVar(&s.data, "data", "theseus-fleet.data", "folder of the embedded NATS server, made if it is not there")
	f.StringVar(&s.nats, "nats", "", "URL of a NATS server with JetStream, instead of the embedded one")
	f.StringVar(&s.etcd, "etcd", "", "URLs of etcd servers, with commas, instead of NATS")
	f.IntVar(&s.replicas, "nats-replicas", 1, "servers of the NATS cluster that keep each document, if the bucket is made here")
	c.MarkFlagRequired("groups")
	c.MarkFlagsMutuallyExclusive("nats", "etcd")
	c.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return c
}

func (s *server) run(ctx context.Context) (err error) {
	s.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if s.all, err = readGroups(s.groups); err != nil {
		return err
	}
	if s.access, err = readTokens(s.tokens); err != nil {
		return err
	}
	// A policy that is wrong is found here, before anything is let go of.
	if _, err := fleet.New(fleet.Options{Store: &fleet.Memory{}, Groups: s.all}); err != nil {
		return err
	}
	if s.cert == "" && !s.plain && !loopback(s.listen) {
		return fmt.Errorf("--listen %s serves other machines: set --tls-cert and --tls-key, or --plain-http if a proxy in front has the certificate", s.listen)
	}
	if s.journal, err = openJournal(s.audit, s.log); err != nil {
		return err
	}
	o := restart.Options{Logger: s.log}
	if s.nats == "" && s.etcd == "" {
		o.Exclusive = &restart.Exclusive{Acquire: s.acquire, Release: s.release}
	} else if err := s.acquire(ctx); err != nil {
		return err
	}
	r := restart.New(o)
	if err := s.keepCurrent(r); err != nil {
		return err
	}
	ln, err := r.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return err
		}
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	r.Serve(ln, srv)
	r.Go(func(ctx context.Context) error { return s.now.Load().coordinator.Run(ctx) })
	s.log.Info("serving", "version", version, "address", ln.Addr().String(), "groups", len(s.all), "store", cmp.Or(s.nats, s.etcd, s.data), "pid", os.Getpid())
	if len(s.access.Operators) == 0 {
		s.log.Warn("there is no operator's token: nobody can resume, clear or look; write one to a file for --tokens")
	}
	err = r.Run(ctx)
	if v := s.now.Swap(nil); v != nil {
		v.close()
	}
	return err
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	v := s.now.Load()
	if v == nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, `{"kind":"starting","value":"this coordinator does not serve yet"}`, http.StatusServiceUnavailable)
		return
	}
	v.handler.ServeHTTP(w, r)
}

func (s *server) acquire(ctx context.Context) error {
	store, closeStore, err := s.open(ctx)
	if err != nil {
		return err
	}
	c, err := fleet.New(fleet.Options{Store: store, Groups: s.all, Logger: s.log, OnEvent: s.journal.write})
	if err != nil {
		closeStore()
		return err
	}
	s.now.Store(&service{c, fleet.Handler(c, s.access), closeStore})
	return nil
}

func (s *server) release(ctx context.Context) error {
	v := s.now.Swap(nil)
	if v == nil {
		return nil
	}
	err := v.coordinator.Flush(ctx)
	v.close()
	return err
}

// journal is the audit log: one line of JSON for each event.
type journal struct {
	mu  sync.Mutex
	f   *os.File
	log *slog.Logger
}

func openJournal(path string, log *slog.Logger) (*journal, error) {
	j := &journal{log: log}
	if path == "" {
		return j, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	j.f = f
	return j, nil
}

func (j *journal) write(e fleet.Event) {
	switch e.Kind {
	case fleet.EventHalted, fleet.EventLost, fleet.EventFailed:
		j.log.Warn(string(e.Kind), "app", e.App, "group", e.Group, "id", e.ID, "version", e.Version, "reason", e.Reason)
	case fleet.EventBegan, fleet.EventWave, fleet.EventResumed, fleet.EventCleared, fleet.EventFound:
		j.log.Info(string(e.Kind), "app", e.App, "group", e.Group, "id", e.ID, "version", e.Version, "reason", e.Reason)
	}
	if j.f == nil {
		return
	}
	b, err := json.Marshal(e)
	if err == nil {
		j.mu.Lock()
		_, err = j.f.Write(append(b, '\n')) // one write, so that lines of several processes stay whole
		j.mu.Unlock()
	}
	if err != nil {
		j.log.Error("the audit log cannot be written", "error", errors.Unwrap(err))
	}
}
