package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

func serveCommand() *cobra.Command {
	var dir, listen string
	var quiet, asJSON bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve a repository over HTTP",
		Long: `Serves the documents and files of a repository, and nothing else that may be in the folder. Every static web server can
do the same: what matters are the headers. Files under files/ are named by what they hold and may be cached for ever;
everything else must be asked for again each time (no-cache), which an ETag makes cheap. Ranges let clients resume.

The signatures protect what is installed, so plain HTTP on the loopback interface or behind a proxy is fine.`,
		Example: `  theseus serve --repo dl --listen 127.0.0.1:8080`,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), dir, listen, quiet, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "repo", "", "`DIR or bundle` to serve")
	f.StringVar(&listen, "listen", "127.0.0.1:8080", "`ADDRESS` to listen on; port 0 takes a free one")
	f.BoolVar(&quiet, "quiet", false, "do not print a line for each request")
	f.BoolVar(&asJSON, "json", false, `print {"url":"…"} once it listens`)
	return c
}

func serve(ctx context.Context, dir, listen string, quiet, asJSON bool) error {
	if dir == "" {
		return usage("no repository: give --repo DIR")
	}
	handler, err := handlerOf(dir)
	if err != nil {
		return fmt.Errorf("reading the repository: %w", err)
	}
	defer handler.close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w: choose another --listen, or stop what listens there", err)
	}
	url := "http://" + l.Addr().String()
	if err := result(asJSON, map[string]string{"url": url}, func(w io.Writer) {
		fmt.Fprintf(w, "Serving %s at %s (Ctrl-C ends it).\n", dir, url)
	}); err != nil {
		return err
	}
	var h http.Handler = handler
	if !quiet {
		h = logged(h)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// Downloads under way get a moment; clients resume what is cut.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		return s.Close()
	}
	return nil
}

// repoHandler serves one repository.
type repoHandler struct {
	open  func(name string) (io.ReadSeekCloser, error) // fs.ErrNotExist also for what is no file
	close func() error
}

// handlerOf serves a folder or a bundle.
func handlerOf(path string) (*repoHandler, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		b, err := bundle.Open(path)
		if err != nil {
			return nil, err
		}
		return bundleHandler(b), nil
	}
	return newRepoHandler(path)
}

// newRepoHandler serves a folder. The root keeps it from following links out of the folder.
func newRepoHandler(dir string) (*repoHandler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	open := func(name string) (io.ReadSeekCloser, error) {
		f, err := root.Open(filepath.FromSlash(name))
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
	return &repoHandler{open, root.Close}, nil
}

// bundleHandler serves a bundle.
func bundleHandler(b *bundle.Reader) *repoHandler {
	open := func(name string) (io.ReadSeekCloser, error) {
		f, err := b.Open(name)
		if err != nil {
			return nil, err
		}
		return struct {
			io.ReadSeeker
			io.Closer
		}{f, io.NopCloser(nil)}, nil
	}
	return &repoHandler{open, b.Close}
}

func (h *repoHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this server only gives", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	immutable, known := classify(name)
	if !known {
		http.NotFound(w, r)
		return
	}
	f, err := h.open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			warn("%s: %v", name, err)
		}
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	if immutable {
		hash, _, _ := strings.Cut(strings.TrimPrefix(name, "files/"), ".")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", strconv.Quote(hash))
		http.ServeContent(w, r, "", time.Time{}, f)
		return
	}
	// A document is small: read it whole, so that ETag and body are of one state of the file.
	b, err := io.ReadAll(io.LimitReader(f, verify.TypeManifest.MaxSize()+1))
	if err != nil || int64(len(b)) > verify.TypeManifest.MaxSize() {
		warn("%s: not a document, or not readable", name)
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("ETag", strconv.Quote(verify.IDOf(b).SHA256.String()))
	// No modification time: it has seconds, and two channels can be signed within one.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// classify says whether a name belongs to a repository's layout, and whether what it names can never change.
func classify(name string) (immutable, known bool) {
	folder, rest, deep := strings.Cut(name, "/")
	switch {
	case !deep:
		return false, release.ValidChannel(name) == nil
	case folder == "trust":
		n, err := strconv.Atoi(rest)
		return false, err == nil && n > 0 && strconv.Itoa(n) == rest
	case folder == "releases":
		text, ok := strings.CutSuffix(rest, ".manifest")
		_, err := release.ParseVersion(text)
		return false, ok && err == nil
	case folder == "files":
		hash, encoding, _ := strings.Cut(rest, ".")
		var d verify.Digest
		return true, d.UnmarshalText([]byte(hash)) == nil && (rest == hash || encoding == "zst" || encoding == "delta")
	}
	return false, false
}

// logged prints a line for each request: what was asked for, and what the answer was.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(s, r)
		note("%s %s %d %s", r.Method, oneLine(clean(r.URL.Path)), s.status, bytesText(s.n))
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
	n      int64
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusWriter) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.n += int64(n)
	return n, err
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
