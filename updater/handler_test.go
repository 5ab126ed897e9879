package updater

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
)

const token = "0123456789abcdef0123456789abcdef"

// call asks the handler through a unix socket, unless edit says otherwise.
func call(h http.Handler, method, path, body string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "@", "localhost"
	*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "admin.sock", Net: "unix"})))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// overTCP makes it a request of a loopback peer.
func overTCP(r *http.Request) {
	r.RemoteAddr, r.Host = "127.0.0.1:40000", "127.0.0.1:8081"
	*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081})))
}

func bearer(t string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+t) }
}

func statusOf(t *testing.T, b io.Reader) (s Status) {
	t.Helper()
	if err := json.NewDecoder(b).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// wait polls the status until it is idle with an outcome.
func wait(t *testing.T, h http.Handler, edit ...func(*http.Request)) Status {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for time.Now().Before(deadline) {
		if s := statusOf(t, call(h, "GET", "/update", "", edit...).Body); s.State == StepIdle && s.Outcome != nil {
			return s
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the update did not end")
	return Status{}
}

func TestHandler(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	restarted := make(chan struct{})
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error { <-restarted; return nil }
	})
	h := c.Handler()
	w := call(h, "GET", "/update", "")
	if s := statusOf(t, w.Body); w.Code != 200 || s.Running != "1.0.0" || s.State != StepIdle || s.App != "hello" {
		t.Fatalf("%d %+v", w.Code, s)
	}
	w = call(h, "POST", "/update", "{}")
	if w.Code != http.StatusAccepted {
		t.Fatalf("POST: %d %s", w.Code, w.Body)
	}
	if s := statusOf(t, w.Body); s.State == StepIdle {
		t.Errorf("a started update is shown as %s", s.State)
	}
	for _, path := range []string{"/update", "/update/rollback"} {
		if w := call(h, "POST", path, "{}"); w.Code != http.StatusConflict || statusOf(t, w.Body).State == StepIdle {
			t.Errorf("a second POST to %s while one runs: %d %s", path, w.Code, w.Body)
		}
	}
	close(restarted)
	s := wait(t, h)
	if s.Outcome.Code != ExitOK || s.Outcome.Version != "1.1.0" || s.Installed != "1.1.0" || !s.Proved {
		t.Errorf("%+v %+v", s, s.Outcome)
	}
	c.holds("1.1.0")
	w = call(h, "POST", "/update/rollback", "{}")
	if w.Code != http.StatusAccepted {
		t.Fatalf("POST /update/rollback: %d %s", w.Code, w.Body)
	}
	if s := wait(t, h); s.Installed != "1.0.0" || s.Failed["1.1.0"] == "" {
		t.Errorf("after a rollback: %+v", s)
	}
	if w := call(h, "POST", "/update", `{"version":"1.1.0"}`); w.Code != http.StatusAccepted {
		t.Fatalf("POST with a version: %d %s", w.Code, w.Body)
	}
	if s := wait(t, h); s.Installed != "1.1.0" || len(s.Failed) != 0 {
		t.Errorf("after naming a version: %+v", s)
	}
}

func TestHandlerExplains(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	if _, err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := c.Handler()
	if s := statusOf(t, call(h, "GET", "/update?explain=1", "").Body); len(s.Explain) == 0 {
		t.Error("no rules")
	}
	if s := statusOf(t, call(h, "GET", "/update", "").Body); len(s.Explain) != 0 {
		t.Error("rules although nobody asked")
	}
}

func TestAdminEndpointRefuses(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	open := install(t, repo, "1.0.0").Handler()
	locked := install(t, repo, "1.0.0", func(o *Options) { o.AdminToken = token }).Handler()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) {
		return func(r *http.Request) { overTCP(r); r.Host = name }
	}
	for _, row := range []struct {
		name         string
		handler      http.Handler
		method, path string
		body         string
		edit         func(*http.Request)
		code         int
	}{
		{"H01 DNS rebinding", open, "POST", "/update", "{}", host("evil.example:8081"), 403},
		{"H01 DNS rebinding of a read", open, "GET", "/update", "", host("evil.example"), 403},
		{"H01 a name that only begins like loopback", open, "GET", "/update", "", host("127.0.0.1.evil.example"), 403},
		{"H02 another origin", open, "POST", "/update", "{}", header("Origin", "https://evil.example"), 403},
		{"H02 a cross-site request", open, "POST", "/update", "{}", header("Sec-Fetch-Site", "cross-site"), 403},
		{"H02 a form", open, "POST", "/update", "a=b", header("Content-Type", "application/x-www-form-urlencoded"), 415},
		{"H02 text, which needs no preflight", open, "POST", "/update", "{}", header("Content-Type", "text/plain"), 415},
		{"H03 no token", locked, "GET", "/update", "", func(*http.Request) {}, 401},
		{"H03 a wrong token", locked, "POST", "/update", "{}", bearer(strings.Repeat("x", 32)), 401},
		{"H03 a prefix of the token", locked, "POST", "/update", "{}", bearer(token[:31]), 401},
		{"H03 the token as another scheme", locked, "POST", "/update", "{}", header("Authorization", "Basic "+token), 401},
		{"H04 a URL in the body", open, "POST", "/update", `{"source":"http://169.254.169.254/"}`, nil, 400},
		{"H04 a path as the version", open, "POST", "/update", `{"version":"../../etc/passwd"}`, nil, 400},
		{"H04 two versions", open, "POST", "/update", `{"version":"1.0.0","version":"1.1.0"}`, nil, 400},
		{"H05 state change by PUT", open, "PUT", "/update", "{}", nil, 405},
		{"H05 rollback by GET", open, "GET", "/update/rollback", "", nil, 405},
		{"H05 deletion", open, "DELETE", "/update", "", nil, 405},
		{"H06 a huge body", open, "POST", "/update", `{"version":"` + strings.Repeat("1", 5000) + `"}`, nil, 413},
		{"H07 a peer on another machine", open, "GET", "/update", "", func(r *http.Request) { overTCP(r); r.RemoteAddr = "192.0.2.1:4000" }, 403},
		{"H07 the same with a forged header", open, "GET", "/update", "", func(r *http.Request) {
			overTCP(r)
			r.RemoteAddr = "192.0.2.1:4000"
			r.Header.Set("X-Forwarded-For", "127.0.0.1")
		}, 403},
		{"H09 the token in the URL", locked, "GET", "/update?token=" + token, "", nil, 401},
		{"an empty body", open, "POST", "/update", "", nil, 400},
		{"another path", open, "GET", "/", "", nil, 404},
	} {
		t.Run(row.name, func(t *testing.T) {
			edit := row.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			w := call(row.handler, row.method, row.path, row.body, edit)
			if w.Code != row.code {
				t.Errorf("%d, want %d: %s", w.Code, row.code, w.Body)
			}
			if row.code == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
				if w.Header().Get(name) != want {
					t.Errorf("%s is %q", name, w.Header().Get(name))
				}
			}
			if strings.Contains(w.Body.String(), token) {
				t.Error("the token is in the answer")
			}
		})
	}
	if repo.Requested("") != 0 {
		t.Error("a refused request reached the source")
	}
	if w := call(locked, "GET", "/update", "", overTCP, bearer(token), func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }); w.Code != 200 {
		t.Errorf("the right token from another machine: %d", w.Code)
	}
}

func TestH03GuessingIsSlow(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0", func(o *Options) { o.AdminToken = token })
	now := time.Now()
	c.now = func() time.Time { return now }
	h := c.Handler()
	for range maxTokenGuesses {
		if w := call(h, "GET", "/update", "", bearer("wrong")); w.Code != 401 {
			t.Fatal(w.Code)
		}
	}
	if w := call(h, "GET", "/update", "", bearer("wrong")); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("after %d guesses: %d", maxTokenGuesses, w.Code)
	}
	// R17: strangers behind the same proxy lock nobody out.
	if w := call(h, "GET", "/update", "", bearer(token)); w.Code != 200 {
		t.Errorf("the right token after %d wrong ones: %d", maxTokenGuesses, w.Code)
	}
	other := func(r *http.Request) { r.RemoteAddr = "127.0.0.2:1" }
	if w := call(h, "GET", "/update", "", bearer("wrong"), other); w.Code != 401 {
		t.Errorf("another peer: %d", w.Code)
	}
	now = now.Add(time.Minute)
	if w := call(h, "GET", "/update", "", bearer("wrong")); w.Code != 401 {
		t.Errorf("a minute later: %d", w.Code)
	}
}

func TestTokenMustBeLong(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	o := c.opts.Options
	o.AdminToken = "short"
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("New: %v", err)
	}
}

// H07: an admin endpoint that other machines reach is not started without a token.
func TestH07AdminServer(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	all, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if _, err := c.AdminServer(all); err == nil || !strings.Contains(err.Error(), "other machines") {
		t.Errorf("0.0.0.0: %v", err)
	}
	d := install(t, repo, "1.0.0", func(o *Options) { o.AdminToken = token })
	if _, err := d.AdminServer(all); err != nil {
		t.Errorf("0.0.0.0 with a token: %v", err)
	}
}

// H06: a client that never finishes its header is cut.
func TestH06Slowloris(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := c.AdminServer(ln)
	if err != nil {
		t.Fatal(err)
	}
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 {
		t.Errorf("a timeout is missing: %+v", srv)
	}
	srv.ReadHeaderTimeout = 50 * time.Millisecond
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /update HTTP/1.1\r\nHost: ")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(3 * time.Minute))
	if _, err := io.ReadAll(conn); errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is still open: %v", err)
	}
}

// A unix socket is for whoever may open it, whatever host the request names.
func TestUnixSocketIsLocal(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	path := filepath.Join(t.TempDir(), "admin.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := c.AdminServer(ln)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}}}
	res, err := client.Get("http://hello/update")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if s := statusOf(t, res.Body); res.StatusCode != 200 || s.Running != "1.0.0" {
		t.Errorf("%d %+v", res.StatusCode, s)
	}
}

// H11: what went wrong is told without a map of the machine.
func TestH11NoPathsInAnswers(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Probe = func(_ context.Context, file, _ string) error { return errors.New("cannot run " + file) }
	})
	h := c.Handler()
	if w := call(h, "POST", "/update", "{}"); w.Code != http.StatusAccepted {
		t.Fatal(w.Code)
	}
	wait(t, h)
	body := call(h, "GET", "/update?explain=1", "").Body.String()
	if strings.Contains(body, c.disk.Dir) {
		t.Errorf("a local path is in the answer: %s", body)
	}
	if !strings.Contains(body, `"code": 8`) || !strings.Contains(body, "cannot run") {
		t.Errorf("the answer does not say what went wrong: %s", body)
	}
	if strings.Contains(body, testrelease.NewKey(t, "publisher").String()) || strings.Contains(body, repo.Key()) {
		t.Error("a key is in the answer")
	}
}

// What settles an earlier update has the turn for moments; a request that comes in them is not told that an update
// runs.
func TestPostWaitsForSettling(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	settles := c.begin(StepSettling)
	if settles == nil {
		t.Fatal("somebody has the turn")
	}
	asked := make(chan int)
	go func() { asked <- call(c.Handler(), "POST", "/update", "{}").Code }()
	select {
	case code := <-asked:
		t.Fatalf("answered %d while an earlier update was being settled", code)
	case <-time.After(20 * time.Millisecond):
	}
	settles.end()
	if code := <-asked; code != http.StatusAccepted {
		t.Errorf("answered %d", code)
	}
	wait(t, c.Handler())
}

func TestBlankAdminTokenFile(t *testing.T) {
	repo := published(t, "1.0.0")
	o := install(t, repo, "1.0.0").opts.Options
	o.AdminTokenFile = filepath.Join(t.TempDir(), "token")
	for text, words := range map[string]string{
		"":                                   "shorter than 32 bytes",
		" \n\n":                              "shorter than 32 bytes",
		token + "\n" + token + "\n":          "one word",
		strings.Repeat("a", maxAdminToken+1): "longer than 4 KiB",
	} {
		if err := os.WriteFile(o.AdminTokenFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), o.AdminTokenFile) {
			t.Errorf("a file with %.40q: %v", text, err)
		}
	}
	if err := os.WriteFile(o.AdminTokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for scheme, want := range map[string]int{"Bearer": 200, "bearer": 200, "BEARER": 200, "Basic": 401} {
		if w := call(u.Handler(), "GET", "/update", "", overTCP, func(r *http.Request) { r.Header.Set("Authorization", scheme+" "+token) }); w.Code != want {
			t.Errorf("%s: %d, want %d", scheme, w.Code, want)
		}
	}
	o.AdminToken = token
	if _, err := New(o); err == nil {
		t.Error("a token and a file of one were both taken")
	}
	o.AdminToken = strings.Repeat(" ", 40)
	o.AdminTokenFile = ""
	if _, err := New(o); err == nil {
		t.Error("a blank token was taken")
	}
}
