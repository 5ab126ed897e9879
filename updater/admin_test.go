package updater

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// served is an admin endpoint on a real listener, and a client that reaches it by the function dial.
func served(t *testing.T, c *client, ln net.Listener) {
	t.Helper()
	srv, err := c.AdminServer(ln)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close() })
}

// behind puts a reverse proxy that all the world reaches in front of a URL. like is what it does to requests.
func behind(t *testing.T, target string, like func(*httputil.ProxyRequest)) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to); like(p) }}}
	go func() { _ = srv.Serve(front) }()
	t.Cleanup(func() { srv.Close() })
	return "http://" + front.Addr().String()
}

func ask(t *testing.T, method, url, body string, edit ...func(*http.Request)) (code int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, e := range edit {
		e(r)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// R16: a reverse proxy on the same machine makes the world look local, whether it says so in a header or not. Without a token
// nothing can be changed through it, and what says that it was forwarded gets nothing at all; with a token it is a normal way
// in.
func TestR16ReverseProxy(t *testing.T) {
	silent := func(*httputil.ProxyRequest) {} // as a proxy does by default: the Host is the target's, and no header is added
	named := func(name string) func(*httputil.ProxyRequest) {
		return func(p *httputil.ProxyRequest) { p.Out.Header.Set(name, "198.51.100.7") }
	}
	for name, row := range map[string]struct {
		like func(*httputil.ProxyRequest)
		get  int
	}{
		"a proxy that adds nothing": {silent, 200},
		"X-Forwarded-For":           {func(p *httputil.ProxyRequest) { p.SetXForwarded() }, 403},
		"X-Forwarded-Proto":         {named("X-Forwarded-Proto"), 403},
		"Forwarded":                 {named("Forwarded"), 403},
		"X-Real-IP":                 {named("X-Real-IP"), 403},
		"Via":                       {named("Via"), 403},
	} {
		t.Run(name, func(t *testing.T) {
			repo := published(t, "1.0.0", "1.1.0")
			var log bytes.Buffer
			open := install(t, repo, "1.0.0", func(o *Options) {
				o.Restart = func(context.Context) error { return nil }
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			open.mustUpdate("1.1.0")
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served(t, open, ln)
			if !strings.Contains(log.String(), "only gives the status") {
				t.Errorf("the start does not say what is not served: %s", log.String())
			}
			front := behind(t, "http://"+ln.Addr().String(), row.like)
			if code, answer := ask(t, "GET", front+"/update", ""); code != row.get {
				t.Errorf("reading: %d, want %d: %s", code, row.get, answer)
			}
			for _, path := range []string{"/update", "/update/rollback"} {
				if code, answer := ask(t, "POST", front+path, "{}"); code != 403 || !strings.Contains(answer, "AdminToken") {
					t.Errorf("POST %s: %d %s", path, code, answer)
				}
			}
			if code, _ := ask(t, "POST", "http://"+ln.Addr().String()+"/update/rollback", "{}"); code != 403 {
				t.Errorf("POST over TCP without a proxy: %d", code)
			}
			open.holds("1.1.0")

			guarded := again(t, repo, open.path, "1.1.0", func(o *Options) { o.AdminToken = token })
			ln, err = net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served(t, guarded, ln)
			front = behind(t, "http://"+ln.Addr().String(), row.like)
			if code, answer := ask(t, "POST", front+"/update", "{}", bearer(token)); code != 202 {
				t.Errorf("with the token: %d %s", code, answer)
			}
			wait(t, guarded.Handler(), bearer(token))
		})
	}
}

// R16: a proxy in front of a unix socket, too.
func TestR16ProxyBeforeASocket(t *testing.T) {
	h := install(t, published(t, "1.0.0", "1.1.0"), "1.0.0").Handler()
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via"} {
		passedOn := func(r *http.Request) { r.Header.Set(name, "198.51.100.7") }
		for _, method := range []string{"GET", "POST"} {
			if w := call(h, method, "/update", "{}", passedOn); w.Code != 403 {
				t.Errorf("%s with %s: %d", method, name, w.Code)
			}
		}
	}
}
