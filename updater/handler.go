package updater

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
	jsonv2 "github.com/go-json-experiment/json"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/release"
)

const rollbackPath = "/update/rollback"

// Limits of the admin endpoint.
const (
	maxAdminBody    = 4 << 10
	maxTokenGuesses = 10 // per peer and minute; then 429
)

// Handler serves the admin endpoint:
//
//	GET  /update            the status as JSON; ?explain=1 adds every rule of the last check
//	GET  /update/metrics    the same in numbers, for Prometheus
//	POST /update            start an update; body {} or {"version": "1.2.3"}
//	POST /update/rollback   go back to the version before this one
//
// A POST answers 202 with the status at once and goes on by itself, because a request that waits for its own process
// to drain would never end; the outcome is in GET. While an update runs it answers 409 with the same status, and 503 if this
// Updater is off.
//
// It fails closed. With Options.AdminToken, it serves requests that carry the token, from anywhere, and no others. Without one
// it serves unix sockets, and to loopback peers that name a loopback host it only gives the status: over TCP nobody knows
// who asks, and a proxy on this machine makes the whole world look local. For the same reason a request that a proxy has
// passed on gets nothing at all then. Requests from other web origins are refused. Nothing in a request can name a URL, a path
// or a key.
//
// The caller's server needs timeouts, and a unix socket a mode; AdminServer has the timeouts, and asks the kernel who is at
// the other end of a unix socket.
func (u *Updater) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/update", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			u.reply(w, http.StatusOK, r.URL.Query().Get("explain") != "")
		case http.MethodPost:
			u.post(w, r, func(ctx context.Context, t *turn, want *semver.Version) (Result, error) {
				return u.job(t, request{manual: true, want: want}).update(ctx, true)
			})
		default:
			notAllowed(w, "GET, HEAD, POST")
		}
	})
	mux.HandleFunc(rollbackPath, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			notAllowed(w, "POST")
			return
		}
		u.post(w, r, func(ctx context.Context, t *turn, _ *semver.Version) (Result, error) {
			return u.job(t, request{manual: true}).rollback(ctx, true)
		})
	})
	mux.HandleFunc("/update/metrics", u.serveMetrics)
	return u.guard(http.NewCrossOriginProtection().Handler(mux))
}

// AdminServer returns a server of Handler for ln with the timeouts that an admin endpoint needs, or an error if ln can be
// reached from other machines and there is no Options.AdminToken.
//
// A unix socket should have the mode 0600, or 0660 and a group: restart's ListenUnix makes one. Without a token the server
// also asks the kernel, where that is possible, who has connected, and serves root, the user that this program runs as, and
// the members of Options.AdminGroup. So a socket that a service manager has opened for everybody is not open for everybody.
func (u *Updater) AdminServer(ln net.Listener) (*http.Server, error) {
	if u.opts.AdminToken == "" && !local(ln.Addr()) {
		return nil, fmt.Errorf("updater: the admin endpoint at %v can be reached from other machines: listen on a unix socket or on 127.0.0.1, or set Options.AdminToken", ln.Addr())
	}
	if u.opts.AdminToken == "" && ln.Addr().Network() != "unix" {
		u.log.Warn("the admin endpoint only gives the status: over TCP, changes need Options.AdminToken; or listen on a unix socket", "addr", ln.Addr().String())
	}
	return &http.Server{
		Handler:           u.Handler(),
		ConnContext:       u.withPeer,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}, nil
}

// guard decides who may ask at all, and sets the headers that every answer has.
func (u *Updater) guard(next http.Handler) http.Handler {
	var guesses guesses
	want := sha256.Sum256([]byte(u.opts.AdminToken))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		if u.opts.AdminToken == "" {
			if why := stranger(r); why != "" {
				refuse(w, http.StatusForbidden, why)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token)) // equal lengths for the comparison
		if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			// Always: what strangers behind the same proxy guess must not lock the operator out.
			next.ServeHTTP(w, r)
			return
		}
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		if guesses.spent(peer, u.now()) {
			h.Set("Retry-After", "60")
			refuse(w, http.StatusTooManyRequests, "too many wrong tokens; wait a minute")
			return
		}
		guesses.count(peer, u.now())
		h.Set("WWW-Authenticate", "Bearer")
		refuse(w, http.StatusUnauthorized, "this endpoint needs the header Authorization: Bearer TOKEN")
	})
}

// forwarded reports whether a proxy has passed the request on: then who asks is not who is connected.
func forwarded(h http.Header) bool {
	for name := range h {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded") {
			return true
		}
	}
	return false
}

// stranger says why a request without a token is not served: a proxy has passed it on, its peer is not who may ask, it would
// change something over TCP, or it names a host that is not this machine (a page whose name was made to resolve to 127.0.0.1
// sends its own name).
func stranger(r *http.Request) string {
	if forwarded(r.Header) {
		return "what a proxy passes on is not served without Options.AdminToken"
	}
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if addr != nil && addr.Network() == "unix" {
		why, _ := r.Context().Value(peerKey{}).(string)
		return why
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return "only unix sockets and loopback are served without Options.AdminToken"
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip, err := netip.ParseAddr(host); !strings.EqualFold(host, "localhost") && (err != nil || !ip.IsLoopback()) {
		return "the request names a host that is not this machine's loopback"
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "over TCP, changes need Options.AdminToken; or use a unix socket"
	}
	return ""
}

func local(a net.Addr) bool {
	if a.Network() == "unix" {
		return true
	}
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// guesses counts wrong tokens per peer in the current minute.
type guesses struct {
	mu     sync.Mutex
	minute time.Time
	wrong  map[string]int
}

func (g *guesses) roll(now time.Time) {
	if m := now.Truncate(time.Minute); g.wrong == nil || !m.Equal(g.minute) || len(g.wrong) > 1024 {
		g.minute, g.wrong = m, map[string]int{}
	}
}

func (g *guesses) spent(peer string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roll(now)
	return g.wrong[peer] >= maxTokenGuesses
}

func (g *guesses) count(peer string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roll(now)
	g.wrong[peer]++
}

// post parses a command and starts do with a turn. It answers at once.
//
// What it starts must not end with the request: the update outlives it, and so does a handover that the request's own
// server drains for.
func (u *Updater) post(w http.ResponseWriter, r *http.Request, do func(context.Context, *turn, *semver.Version) (Result, error)) {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, "send Content-Type: application/json, with {} as the body")
		return
	}
	var body struct {
		Version string `json:"version,omitzero"`
	}
	err := jsonv2.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxAdminBody), &body, jsonv2.RejectUnknownMembers(true))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, "the body is larger than 4 KiB")
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, `the body must be {} or {"version": "1.2.3"}`)
		return
	}
	var want *semver.Version
	if body.Version != "" {
		if want, err = release.ParseVersion(body.Version); err != nil {
			refuse(w, http.StatusBadRequest, "the version is not a semantic version such as 1.2.3")
			return
		}
	}
	if body.Version != "" && r.URL.Path == rollbackPath {
		refuse(w, http.StatusBadRequest, "a rollback goes to the version before this one; it takes no version")
		return
	}
	if u.off != nil {
		u.reply(w, http.StatusServiceUnavailable, false)
		return
	}
	need := installation.ToUpdate
	if r.URL.Path == rollbackPath {
		need = installation.ToChange
	}
	t := u.beginFor(need, StepChecking)
	if t == nil {
		u.reply(w, http.StatusConflict, false)
		return
	}
	u.hand(func(ctx context.Context) (Result, error) {
		defer t.end()
		return do(ctx, t, want) // the outcome is in the status
	})
	u.reply(w, http.StatusAccepted, false)
}

// serveMetrics answers GET /update/metrics.
func (u *Updater) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notAllowed(w, "GET, HEAD")
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = u.WriteMetrics(w)
}

func (u *Updater) reply(w http.ResponseWriter, code int, explain bool) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(u.Status().redacted(u.private(), explain))
}

// private are the local paths that no answer may reveal, each with what stands for it.
func (u *Updater) private() []string {
	if u.off != nil {
		return nil
	}
	paths := []string{u.disk.Home, "(state folder)", u.disk.Path, u.opts.App, u.invoked, u.opts.App}
	if u.policyFile != "" {
		paths = append(paths, u.policyFile, "(policy)")
	}
	if filepath.Dir(u.disk.Dir) != u.disk.Dir { // the root is no secret, and in every path
		paths = append(paths, u.disk.Dir, "(program folder)")
	}
	for _, source := range append([]string{u.opts.Source}, u.opts.Mirrors...) {
		if strings.HasPrefix(source, "file:") {
			paths = append(paths, source, "(local source)", strings.TrimPrefix(source, "file://"), "(local source)")
		}
	}
	return paths
}

func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
}

func notAllowed(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	refuse(w, http.StatusMethodNotAllowed, "this path takes "+allow)
}
