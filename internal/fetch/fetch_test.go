package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
)

// TestMain is also the program that the proxy tests run, because net/http reads the environment once in a process.
func TestMain(m *testing.M) {
	if url := os.Getenv("FETCH_TEST_CHILD"); url != "" {
		c := &Client{Sources: []string{url}, AllowHTTP: true}
		_, err := c.Document(context.Background(), "stable", 100, nil, func(b []byte) error {
			fmt.Printf("got %s\n", b)
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve starts a server whose connections are gone when the test ends.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// answer is a handler that sends body with a true length.
func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		fmt.Fprint(w, body)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// endless sends until nobody listens any more.
func endless(w http.ResponseWriter, r *http.Request) {
	for block := bytes.Repeat([]byte("x"), 64<<10); ; {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// want accepts one text.
func want(text string) func([]byte) error {
	return func(b []byte) error {
		if string(b) != text {
			return errRefused
		}
		return nil
	}
}

var errRefused = errors.New("signature of nobody")

// closed is the URL of a port on which nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	return "http://" + testenv.Port(t)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// target makes a file that holds what an earlier download left.
func target(t *testing.T, left []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "partial")
	if err := os.WriteFile(name, left, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func content(t *testing.T, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// allocated is how much the whole process allocated while f ran, the server's share included: an upper bound of what
// its heap grew by.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestDocument(t *testing.T) {
	const good = "theseus/channel/v1\n{}\n"
	bad := answer("<html>please log in</html>")
	for _, test := range []struct {
		name    string
		sources []http.HandlerFunc // nil: nothing listens
		err     error
		source  int // that answered in the end
		failed  []error
	}{
		{name: "plain", sources: []http.HandlerFunc{answer(good)}},
		{name: "A08 endless data: unbounded body", sources: []http.HandlerFunc{endless}, err: ErrTooLarge},
		{name: "A08 endless data: one byte over the cap", sources: []http.HandlerFunc{answer(strings.Repeat("x", 1025))}, err: ErrTooLarge},
		{name: "A08 endless data: one byte over the cap, no length", sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			fmt.Fprint(w, strings.Repeat("x", 1025))
		}}, err: ErrTooLarge},
		{name: "A08 endless data: lying length", sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "99999999999999")
		}}, err: ErrTooLarge},
		{name: "A10 short body", sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			fmt.Fprint(w, good[:len(good)-1])
		}, answer(good)}, source: 1, failed: []error{nil}},
		{name: "A17 malicious mirror", sources: []http.HandlerFunc{bad, answer(good)}, source: 1, failed: []error{errRefused}},
		{name: "A17 malicious mirror: endless", sources: []http.HandlerFunc{endless, answer(good)}, source: 1, failed: []error{ErrTooLarge}},
		{name: "A17 malicious mirror: only bad ones", sources: []http.HandlerFunc{bad, bad}, err: errRefused},
		{name: "A17 malicious mirror: refused outranks unreachable", sources: []http.HandlerFunc{nil, bad, status(404)}, err: errRefused},
		{name: "A17 malicious mirror: unreachable is found beside refused", sources: []http.HandlerFunc{nil, bad, status(404)}, err: ErrNotFound},
		{name: "N01 captive portal", sources: []http.HandlerFunc{bad}, err: errRefused},
		{name: "N01 captive portal: redirect to login", sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/login" {
				bad(w, r)
				return
			}
			http.Redirect(w, r, "/login", http.StatusFound)
		}}, err: errRefused},
		{name: "N06 mirror not found, then refused connection", sources: []http.HandlerFunc{status(404), nil, answer(good)}, source: 2, failed: []error{ErrNotFound, nil}},
		{name: "N06 gone", sources: []http.HandlerFunc{status(410)}, err: ErrNotFound},
		{name: "N06 no content", sources: []http.HandlerFunc{status(204)}, err: &StatusError{Code: 204}},
		{name: "N06 part of it unasked", sources: []http.HandlerFunc{status(206)}, err: &StatusError{Code: 206}},
		{name: "N06 not modified unasked", sources: []http.HandlerFunc{status(304)}, err: &StatusError{Code: 304}},
		{name: "N06 server error", sources: []http.HandlerFunc{status(500), answer(good)}, source: 1, failed: []error{nil}},
		{name: "N06 unavailable", sources: []http.HandlerFunc{status(503)}, err: &StatusError{Code: 503}},
		{name: "N06 too many requests", sources: []http.HandlerFunc{status(429)}, err: &StatusError{Code: 429}},
		{name: "N06 forbidden", sources: []http.HandlerFunc{status(403)}, err: &StatusError{Code: 403}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &Client{}
			for _, h := range test.sources {
				if h == nil {
					c.Sources = append(c.Sources, closed(t))
				} else {
					c.Sources = append(c.Sources, serve(t, h))
				}
			}
			var res Result
			var err error
			var seen int
			n := allocated(func() {
				res, err = c.Document(t.Context(), "stable", 1024, nil, func(b []byte) error {
					seen = max(seen, len(b))
					return want(good)(b)
				})
			})
			if n > 8<<20 || seen > 1024 {
				t.Errorf("allocated %d bytes and showed %d", n, seen)
			}
			if code := (*StatusError)(nil); errors.As(test.err, &code) {
				var got *StatusError
				if !errors.As(err, &got) || got.Code != code.Code {
					t.Fatalf("error is %v, want status %d", err, code.Code)
				}
			} else if !errors.Is(err, test.err) {
				t.Fatalf("error is %v, want %v", err, test.err)
			}
			if err != nil {
				if len(res.Failed) != len(c.Sources) || res.Source != "" {
					t.Errorf("result is %+v", res)
				}
				refused := errors.As(err, new(*Refusal))
				if Unreachable(err) == refused {
					t.Errorf("Unreachable is %v for %v", !refused, err)
				}
				if refused && strings.Contains(err.Error(), c.Sources[0]) && test.sources[0] == nil && strings.Index(err.Error(), c.Sources[0]) < strings.Index(err.Error(), c.Sources[1]) {
					t.Errorf("the refusal does not come first: %v", err)
				}
				return
			}
			if res.Source != c.Sources[test.source] || len(res.Failed) != len(test.failed) {
				t.Fatalf("result is %+v", res)
			}
			for i, want := range test.failed {
				f := res.Failed[i]
				if f.Source != c.Sources[i] || f.Err == nil || f.Error.IsZero() || want != nil && !errors.Is(f.Err, want) {
					t.Errorf("attempt %d is %+v, want %v", i, f, want)
				}
			}
		})
	}
}

// P07: whatever a document would cost to decode, no more than the cap of it gets as far as the decoder.
func TestP07DocumentCap(t *testing.T) {
	bomb := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	c := &Client{Sources: []string{serve(t, answer(bomb))}}
	_, err := c.Document(t.Context(), "stable", 64<<10, nil, func([]byte) error { t.Error("accept was called"); return nil })
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("error is %v", err)
	}
}

func TestA32StaleEdge(t *testing.T) {
	edge := func(cached, origin string, requests *[]string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			*requests = append(*requests, r.Header.Get("Cache-Control")+"|"+r.Header.Get("If-None-Match"))
			w.Header().Set("ETag", `"42"`)
			if r.Header.Get("Cache-Control") == "no-cache" && origin == "" {
				w.WriteHeader(http.StatusBadGateway)
			} else if r.Header.Get("Cache-Control") == "no-cache" {
				fmt.Fprint(w, origin)
			} else {
				fmt.Fprint(w, cached)
			}
		}
	}
	accept := func(b []byte) error {
		if string(b) != "42" {
			return fmt.Errorf("sequence %s: %w", b, ErrStale)
		}
		return nil
	}
	for _, test := range []struct {
		name     string
		origins  []string
		requests []string
		source   int
		stale    bool
	}{
		{"A32 stale edge: the origin is asked", []string{"42"}, []string{`|"41"`, "no-cache|"}, 0, false},
		{"A32 stale edge: the next mirror is asked", []string{"41", "42"}, []string{`|"41"`, "no-cache|", "|", "no-cache|"}, 1, false},
		{"A32 stale edge: the origin is down", []string{""}, []string{`|"41"`, "no-cache|"}, 0, true},
		{"A32 stale edge: all are stale", []string{"41"}, []string{`|"41"`, "no-cache|"}, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests []string
			c := &Client{}
			for _, origin := range test.origins {
				c.Sources = append(c.Sources, serve(t, edge("41", origin, &requests)))
			}
			res, err := c.Document(t.Context(), "stable", 100, &Validator{Source: c.Sources[0], ETag: `"41"`}, accept)
			if fmt.Sprint(requests) != fmt.Sprint(test.requests) {
				t.Errorf("requests are %q", requests)
			}
			if errors.Is(err, ErrStale) != test.stale {
				t.Fatalf("error is %v", err)
			}
			if err == nil && (res.Source != c.Sources[test.source] || len(res.Failed) != test.source) {
				t.Errorf("result is %+v", res)
			}
		})
	}
}

func TestConditional(t *testing.T) {
	var asked atomic.Value
	server := func(etag string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r.Header.Get("If-None-Match"))
			w.Header().Set("ETag", etag)
			if etag != "" && r.Header.Get("If-None-Match") == etag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprint(w, "text")
		})
	}
	get := func(source string, v *Validator) (Result, int) {
		t.Helper()
		calls := 0
		res, err := (&Client{Sources: []string{source}}).Document(t.Context(), "stable", 100, v, func([]byte) error { calls++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return res, calls
	}

	source := server(`W/"7-e"`)
	res, calls := get(source, nil)
	if res.NotModified || calls != 1 || res.Validator != (Validator{source, `W/"7-e"`}) {
		t.Fatalf("the first answer is %+v", res)
	}
	again, calls := get(source+"/", &res.Validator)
	if !again.NotModified || calls != 0 || again.Validator != res.Validator || again.Source != source {
		t.Errorf("the second answer is %+v, accept was called %d times", again, calls)
	}
	t.Run("N10 ETag goes to its own source only", func(t *testing.T) {
		other, calls := get(server(`W/"7-e"`), &res.Validator)
		if asked.Load() != "" || other.NotModified || calls != 1 {
			t.Errorf("the other source was asked with %q", asked.Load())
		}
	})
	t.Run("N10 ETag poisoning: not modified unasked", func(t *testing.T) {
		c := &Client{Sources: []string{serve(t, status(http.StatusNotModified))}}
		if res, err := c.Document(t.Context(), "stable", 100, nil, want("")); err == nil || res.NotModified {
			t.Errorf("result is %+v, %v", res, err)
		}
	})
	for _, etag := range []string{"", "bare", `"` + strings.Repeat("x", maxETag) + `"`, `"a"b"`, `"a b"`, `w/"a"`, `"`, "\"a\tb\"", "\"\xff\"", "\"\u00e4\""} {
		if res, _ := get(server(etag), nil); res.Validator != (Validator{}) {
			t.Errorf("ETag %q was taken over as %+v", etag, res.Validator)
		}
		get(source, &Validator{source, etag}) // a damaged memory costs a whole answer, not the update
	}
	get(source, &Validator{source, "\"a\r\nX: y\""})
}

func TestRetryAfter(t *testing.T) {
	source := func(retry string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Sat, 21 Nov 2026 09:00:00 GMT") // not this machine's
			w.Header().Set("Retry-After", retry)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}
	for retry, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"-1":                            0,
		"soon":                          0,
		"999999":                        time.Hour,
		"99999999999999999999999999999": time.Hour,
		"Sat, 21 Nov 2026 09:10:00 GMT": 10 * time.Minute,
		"Sat, 21 Nov 2026 08:10:00 GMT": 0,
		"Sat, 21 Nov 2099 08:10:00 GMT": time.Hour,
	} {
		c := &Client{Sources: []string{source(retry), source("7")}}
		res, err := c.Document(t.Context(), "stable", 100, nil, nil)
		var status *StatusError
		if !errors.As(res.Failed[0].Err, &status) || status.RetryAfter != want {
			t.Errorf("N06 Retry-After %q: %v", retry, err)
		}
		if res.RetryAfter != max(want, 7*time.Second) {
			t.Errorf("N06 Retry-After %q: the result says %v", retry, res.RetryAfter)
		}
	}
}

func TestCancelled(t *testing.T) {
	entered := make(chan bool)
	mirror := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the mirror was asked after the end") })
	c := &Client{Sources: []string{serve(t, func(w http.ResponseWriter, r *http.Request) { entered <- true; <-r.Context().Done() }), mirror}}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-entered; cancel(errors.New("shutting down")) }()
	start := time.Now()
	res, err := c.Document(ctx, "stable", 100, nil, nil)
	if !errors.Is(err, context.Canceled) || len(res.Failed) != 0 || Unreachable(err) {
		t.Errorf("error is %v, result %+v", err, res)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("A11 it took %v", d)
	}
}

// quiet takes the handshake errors that a server logs when a client rightly hangs up.
var quiet = log.New(io.Discard, "", 0)

// N06: a server that closes connections as it restarts is asked once more at once.
func TestN06DocumentReset(t *testing.T) {
	url, b := breakingServer(t, answer("text"))
	c := &Client{Sources: []string{url}}
	for times, good := range []bool{true, true, false} {
		b.after.Store(20)
		b.times.Store(int64(times))
		if err := get(t, c); (err == nil) != good {
			t.Errorf("N06 %d resets: %v", times, err)
		}
	}
}
