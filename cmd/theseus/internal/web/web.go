// Package web serves a repository over HTTP as any static web server should: documents are asked for again each time, files
// are kept for ever.
package web

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/plain"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Handler serves one repository, and nothing else that may lie beside it.
type Handler struct {
	open  func(name string) (io.ReadSeekCloser, error) // fs.ErrNotExist also for what is no file
	close func() error
}

// Open serves a folder or a bundle.
func Open(path string) (*Handler, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		b, err := bundle.Open(path)
		if err != nil {
			return nil, err
		}
		return packed(b), nil
	}
	return folder(path)
}

// folder serves a folder. The root keeps it from following links out of the folder.
func folder(dir string) (*Handler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	open := func(name string) (io.ReadSeekCloser, error) {
		f, err := plain.OpenIn(root, filepath.FromSlash(name))
		if errors.Is(err, plain.ErrNotRegular) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	return &Handler{open, root.Close}, nil
}

// packed serves a bundle.
func packed(b *bundle.Reader) *Handler {
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
	return &Handler{open, b.Close}
}

// Close frees the folder or bundle.
func (h *Handler) Close() error { return h.close() }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are supported", http.StatusMethodNotAllowed)
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
			ui.Warn("%s: %v", name, err)
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
		ui.Warn("%s: not a document, or not readable", name)
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

// Logged prints a line for each request: what was asked for, and what the answer was.
func Logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(s, r)
		ui.Note("%s %s %d %s", r.Method, ui.OneLine(ui.Clean(r.URL.Path)), s.status, ui.Bytes(s.n))
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
