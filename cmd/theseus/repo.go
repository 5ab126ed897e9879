package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A repo is one application's repository: a folder that any static web server can serve.
//
//	CHANNEL                  a channel document, for example stable
//	trust/N                  trust documents
//	releases/VERSION.manifest
//	files/SHA256[.zst]       what clients download, named by what it holds
//
// Each write replaces one file atomically and durably, and a file is written before the document that names it: a client
// that reads at any moment, or after a crash at any moment, finds a whole older state or a whole newer one.
type repo struct {
	dir  string
	lock io.Closer
}

// openRepo opens the repository in dir for writing, and makes the folder if it is not there. One process at a time.
func openRepo(dir string) (*repo, error) {
	if dir == "" {
		return nil, usage("no repository: give --repo DIR")
	}
	if strings.Contains(dir, "://") {
		return nil, usage("%s is a URL, and this verb writes: give the folder that is served there", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	r := &repo{dir, lock}
	if err := r.sweep(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *repo) close() error { return r.lock.Close() }

func (r *repo) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// read returns a document; fs.ErrNotExist if there is none.
func (r *repo) read(name string, max int64) ([]byte, error) {
	f, err := os.Open(r.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fail(exitRefused, "%s is larger than such a document may be (%s): restore it from your backup", r.path(name), bytesText(max))
	}
	return b, err
}

func (r *repo) write(name string, data []byte) error {
	path := r.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(path, data, 0o644)
}

// list returns the names in a folder of the repository, sorted; none if the folder is not there.
func (r *repo) list(folder string) ([]string, error) {
	entries, err := os.ReadDir(r.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// channels returns the names of the channels that are there.
func (r *repo) channels() ([]string, error) {
	names, err := r.list(".")
	return slices.DeleteFunc(names, func(n string) bool { return release.ValidChannel(n) != nil }), err
}

// versions returns the versions that have a manifest.
func (r *repo) versions() ([]*semver.Version, error) {
	names, err := r.list("releases")
	var versions []*semver.Version
	for _, n := range names {
		if text, ok := strings.CutSuffix(n, ".manifest"); ok {
			if v, err := release.ParseVersion(text); err == nil {
				versions = append(versions, v)
			}
		}
	}
	return versions, err
}

// trust returns the newest trust document of the repository, or nil. It is checked against its own keys only: whether it
// follows from what clients are built with is what "theseus verify" asks.
func (r *repo) trust() (*verify.Trust, error) {
	names, err := r.list("trust")
	if err != nil {
		return nil, err
	}
	newest := 0
	for _, n := range names {
		if v, err := strconv.Atoi(n); err == nil && strconv.Itoa(v) == n {
			newest = max(newest, v)
		}
	}
	if newest == 0 {
		return nil, nil
	}
	name := release.TrustPath(newest)
	file, err := r.read(name, verify.TypeTrust.MaxSize())
	if err != nil {
		return nil, err
	}
	t, err := verify.ParseTrust(string(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.path(name), err)
	}
	return t, nil
}

// sameApp refuses a folder in which some document names another app. What the documents claim is enough for that.
func (r *repo) sameApp(app string) error {
	names, err := r.channels()
	if err != nil {
		return err
	}
	versions, err := r.versions()
	if err != nil {
		return err
	}
	for _, v := range versions {
		names = append(names, release.ManifestPath(v))
	}
	for _, name := range names {
		file, err := r.read(name, verify.TypeManifest.MaxSize())
		if err != nil {
			return err
		}
		claims, err := peek(file)
		if err != nil {
			return fail(exitRefused, "%s: %w: move it away, or use another folder", r.path(name), err)
		}
		if claims.App != app {
			return fail(exitRefused, "%s belongs to app %q, not to %q: a repository holds one app, use another folder", r.path(name), claims.App, app)
		}
	}
	return nil
}

// sweep removes what an interrupted publish left behind. Only the lock's holder may.
func (r *repo) sweep() error {
	for _, folder := range []string{".", "releases", "files", "trust"} {
		names, err := r.list(folder)
		if err != nil {
			return err
		}
		for _, n := range names {
			if _, ours := durable.IsUnique(n); ours {
				if err := os.Remove(filepath.Join(r.path(folder), n)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// holds reports whether the repository has the file of this download, whole.
func (r *repo) holds(d release.Download) (bool, error) {
	f, err := os.Open(r.path(d.Path()))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	id, err := identify(f, d.Stored.Size)
	return id == d.Stored, err
}

// identify hashes r, but no more than one byte beyond max.
func identify(r io.Reader, max int64) (verify.ID, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, max+1))
	return verify.ID{Size: n, SHA256: verify.Digest(h.Sum(nil))}, err
}

// keep gives a finished temporary file its name under files/.
func (r *repo) keep(f *os.File, d release.Download) error {
	err := f.Chmod(0o644)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return durable.Rename(f.Name(), r.path(d.Path()))
}

// A source is a repository as a verb sees it that only reads: a folder, a URL or a bundle, through the code of clients.
type source struct {
	*fetch.Client
	channels []string // all of a folder or bundle; of a URL, stable
	folder   *repo    // nil if it is none
	close    func() error
}

func openSource(name string, allowHTTP bool) (*source, error) {
	if name == "" {
		return nil, usage("no repository: give --repo with a folder, a URL or a bundle")
	}
	s := &source{close: func() error { return nil }}
	base := name
	if strings.Contains(name, "://") {
		s.channels = []string{"stable"}
	} else if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		url, err := s.serveBundle(name)
		if err != nil {
			return nil, err
		}
		base = url
	} else {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		s.folder = &repo{dir: name}
		if s.channels, err = s.folder.channels(); err != nil {
			return nil, fmt.Errorf("reading the repository: %w", err)
		}
		if _, err := os.Stat(name); err != nil {
			return nil, fmt.Errorf("reading the repository: %w", err)
		}
		base = (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(abs), "/")}).String()
	}
	s.Client = &fetch.Client{Sources: []string{base}, AllowHTTP: allowHTTP, UserAgent: "theseus"}
	if err := s.Check(); err != nil {
		s.close()
		if errors.Is(err, fetch.ErrInsecure) {
			err = fmt.Errorf("%w (--allow-http, if you mean it)", err)
		}
		return nil, usage("%w", err)
	}
	return s, nil
}

// serveBundle serves a bundle to ourselves, so that what reads it is the code that reads every other source.
func (s *source) serveBundle(path string) (url string, err error) {
	b, err := bundle.Open(path)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Close()
		return "", err
	}
	for _, n := range b.Names() {
		if release.ValidChannel(n) == nil {
			s.channels = append(s.channels, n)
		}
	}
	server := &http.Server{Handler: bundleHandler(b), ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l)
	s.close = func() error { return errors.Join(server.Close(), b.Close()) }
	return "http://" + l.Addr().String(), nil
}

// document fetches one document and has accept judge it.
func document(ctx context.Context, s *source, name string, max int64, accept func([]byte) error) error {
	_, err := s.Document(ctx, name, max, nil, accept)
	return err
}
