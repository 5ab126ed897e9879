package testrelease

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-go/theseus/verify"
)

// Request is one request that the repository has seen.
type Request struct {
	Method string
	Path   string // relative to the base URL, as in Put
	Header http.Header
	Status int // what was answered; 0 if a hook did not say
}

// Hook answers in place of the repository. honest is what the repository itself would do.
type Hook func(w http.ResponseWriter, r *http.Request, honest http.Handler)

// URL is the base URL of the repository. The first call starts the server; it ends with the test.
func (r *Repo) URL() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server == nil {
		r.server = httptest.NewServer(r)
		r.tb.Cleanup(func() {
			r.server.CloseClientConnections()
			r.server.Close()
		})
	}
	return r.server.URL
}

// Hook lets h answer for a path; nil gives the path back to the repository. The path "*" stands for every path without a hook of its own.
func (r *Repo) Hook(path string, h Hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h == nil {
		delete(r.hooks, path)
		return
	}
	r.hooks[path] = h
}

// Requests returns what was asked for so far, oldest first.
func (r *Repo) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Request
	for _, q := range r.log {
		all = append(all, *q)
	}
	return all
}

// Requested counts the requests for paths that begin with a prefix: "files/" for every artifact.
func (r *Repo) Requested(prefix string) int {
	n := 0
	for _, q := range r.Requests() {
		if strings.HasPrefix(q.Path, prefix) {
			n++
		}
	}
	return n
}

// Forget empties the list of requests.
func (r *Repo) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
}

// ServeHTTP serves the repository as a static server would: strong ETag, If-None-Match, Range, If-Range.
func (r *Repo) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := strings.TrimPrefix(req.URL.Path, "/")
	r.mu.Lock()
	hook := r.hooks[path]
	if hook == nil {
		hook = r.hooks["*"]
	}
	seen := &Request{Method: req.Method, Path: path, Header: req.Header.Clone()}
	r.log = append(r.log, seen)
	r.mu.Unlock()

	s := &statusWriter{ResponseWriter: w}
	defer func() { // also when a hook aborts the connection
		r.mu.Lock()
		defer r.mu.Unlock()
		seen.Status = s.status
	}()
	if hook != nil {
		hook(s, req, http.HandlerFunc(r.honest))
		return
	}
	r.honest(s, req)
}

func (r *Repo) honest(w http.ResponseWriter, req *http.Request) {
	path := strings.TrimPrefix(req.URL.Path, "/")
	r.mu.Lock()
	b, ok := r.files[path]
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, req)
		return
	}
	Serve(w, req, path, b)
}

// Serve answers with these bytes as the repository would.
func Serve(w http.ResponseWriter, req *http.Request, path string, b []byte) {
	cache := "no-cache"
	if strings.HasPrefix(path, "files/") {
		cache = "public, max-age=31536000, immutable"
	}
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", strconv.Quote(verify.IDOf(b).SHA256.String()[:32]))
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b))
}

// Bytes answers with other bytes.
func Bytes(b []byte) Hook {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		Serve(w, r, strings.TrimPrefix(r.URL.Path, "/"), b)
	}
}

// Status answers with a status and nothing else; headers are pairs of name and value.
func Status(code int, headers ...string) Hook {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

// Page answers as a captive portal does: 200 and a page for people.
func Page() Hook {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!doctype html><title>Welcome</title><p>Please log in.\n")
	}
}

// Redirect sends the client to another URL.
func Redirect(url string) Hook {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, url, http.StatusFound)
	}
}

// Short says the whole length, sends n bytes and drops the connection.
func Short(n int) Hook {
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		rec := httptest.NewRecorder()
		honest.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rec.Code)
		w.Write(body[:min(n, len(body))])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Endless sends the honest bytes and then more of them, without a length, until the client goes away or a GiB is sent.
func Endless() Hook {
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		rec := httptest.NewRecorder()
		honest.ServeHTTP(rec, r)
		w.Header().Set("ETag", rec.Header().Get("ETag"))
		chunk := append(rec.Body.Bytes(), bytes.Repeat([]byte{'x'}, 64<<10)...)
		for sent := 0; sent < 1<<30; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil || r.Context().Err() != nil {
				return
			}
		}
	}
}

// Stall sends the header and n bytes, and then nothing until the client goes away or the test ends.
func (r *Repo) Stall(n int) Hook {
	return func(w http.ResponseWriter, req *http.Request, honest http.Handler) {
		rec := httptest.NewRecorder()
		honest.ServeHTTP(rec, req)
		w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes()[:min(n, rec.Body.Len())])
		http.NewResponseController(w).Flush()
		select {
		case <-req.Context().Done():
		case <-r.tb.Context().Done():
		}
	}
}

// Flip changes the byte at an offset; a negative one counts from the end.
func Flip(b []byte, offset int) []byte {
	b = bytes.Clone(b)
	if offset < 0 {
		offset += len(b)
	}
	b[offset] ^= 1
	return b
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets hooks reach Flush and Hijack through http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (q Request) String() string { return fmt.Sprintf("%s %s -> %d", q.Method, q.Path, q.Status) }
