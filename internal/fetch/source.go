package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// source answers requests for the files below one base URL.
type source interface {
	fmt.Stringer // the base URL as it was configured
	get(ctx context.Context, path string, q query) (*reply, error)
}

// query is what a request may ask beyond the name.
type query struct {
	offset int64  // begin here, if the source can
	etag   string // of a document: answer only if it differs; with an offset: answer the rest only if it does not
	fresh  bool   // past all caches
}

// reply is what a source answered. Its body is bounded by nobody yet; every Read either makes progress, or fails with
// ErrStalled or the context's error.
type reply struct {
	body        io.ReadCloser
	offset      int64 // where in the file the body begins: 0, or what was asked for
	length      int64 // of the body, as the source claims; -1 if it does not
	etag        string
	encoding    string // a Content-Encoding although none was asked for
	notModified bool
}

// open parses every source and makes the client that they share.
func (c *Client) open() ([]source, error) {
	if len(c.Sources) == 0 {
		return nil, errors.New("there is no source; name the base URL of the folder that releases are published to")
	}
	if c.Stall < 0 {
		return nil, fmt.Errorf("the stall window is %v; name a positive time, or none for %v", c.Stall, defaultStall)
	}
	web, err := c.web()
	if err != nil {
		return nil, err
	}
	var sources []source
	for _, text := range c.Sources {
		u, err := c.parse(text)
		if err != nil {
			return nil, err
		}
		if u.Scheme == "file" {
			sources = append(sources, &folder{name: u.String(), dir: localPath(u.Path)})
		} else {
			sources = append(sources, &site{name: u.String(), base: u, web: web})
		}
	}
	return sources, nil
}

// parse judges one base URL. No error repeats a user name, a password or a query.
func (c *Client) parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("a source is not a URL; it should look like https://dl.example.com/hello")
	}
	if u.User != nil {
		return nil, fmt.Errorf("the source at %s has a user name in it; Theseus sends no credentials, because what it fetches is signed, not secret", u.Host)
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#") {
		return nil, fmt.Errorf("the source at %s has a query or a fragment, which do not survive joining file names to it; name the folder alone", u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	switch u.Scheme {
	case "https":
	case "http":
		if !c.AllowHTTP && !loopback(u.Hostname()) {
			return nil, fmt.Errorf("the source %s is plain http, which anyone on the way can read and cut; use https, or allow http by name (AllowHTTP): %w", u, ErrInsecure)
		}
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return nil, fmt.Errorf("the source %s names a host; a folder of this machine has three slashes: file:///%s/…", u, u.Host)
		}
		u.Host = ""
		if u.Opaque != "" || !filepath.IsAbs(localPath(u.Path)) {
			return nil, fmt.Errorf("the source %s is not an absolute folder; write file:///srv/hello", u)
		}
		return u, nil
	case "":
		return nil, fmt.Errorf("the source %q has no scheme; write https://… for a server, or %s for a folder", text, proposal(text))
	default:
		if len(u.Scheme) == 1 { // C:\releases
			return nil, fmt.Errorf("the source %q has no scheme; write https://… for a server, or %s for a folder", text, proposal(text))
		}
		return nil, fmt.Errorf("the source %s has the scheme %q; known are https, http and file", u, u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("the source %s names no host", u)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("the source %s has a port that does not exist", u)
		}
	}
	return u, nil
}

// FileURL is the source that a path of this machine names, a folder or a bundle; a relative path begins at the working
// directory.
func FileURL(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: "/" + strings.TrimLeft(filepath.ToSlash(abs), "/")}).String(), nil
}

// proposal is the file URL of what looks like a path.
func proposal(path string) string {
	if u, err := FileURL(path); err == nil {
		return u
	}
	return "file:///…"
}

// localPath is the folder that the path of a file URL names; file:///C:/x is C:\x on Windows.
func localPath(path string) string {
	if path == "" {
		path = "/"
	}
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:]
	}
	return filepath.FromSlash(path)
}

// loopback reports whether a URL's host is this machine without asking anybody.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// validPath holds the alphabet of a repository's file names, so that joining one to a base URL or a folder needs no
// escaping and cannot leave it. Names of files come from signed documents; a bad one is a fault of the caller.
func validPath(path string) error {
	for _, element := range strings.Split(path, "/") {
		if element == "" || element[0] == '.' || strings.IndexFunc(element, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-')
		}) >= 0 {
			return fmt.Errorf("%q is not the name of a file in a repository", path)
		}
	}
	return nil
}

// folder is a file:// source: the folder of a repository, or a bundle, whatever lies there when it is asked. It gives
// no ETags: to read a document is as cheap as to ask whether it changed, and a modification time can lie.
type folder struct {
	name   string
	dir    string
	packed packed
}

func (s *folder) String() string { return s.name }

func (s *folder) get(ctx context.Context, path string, q query) (*reply, error) {
	info, err := os.Stat(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &explained{"there is no such folder or bundle; check the path, and that its disk is mounted", errors.Join(ErrNotFound, err)}
	case err == nil && info.Mode().IsRegular():
		return s.packed.get(ctx, s.dir, path, q)
	}
	f, err := s.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &explained{"no such file; check that the source is the folder that was published to", errors.Join(ErrNotFound, err)}
	}
	if err != nil {
		return nil, err
	}
	info, err = f.Stat()
	if err == nil && q.offset > info.Size() {
		err = &StatusError{Code: http.StatusRequestedRangeNotSatisfiable}
	}
	if err == nil {
		_, err = f.Seek(q.offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &reply{body: &cancelled{ctx, f}, offset: q.offset, length: info.Size() - q.offset}, nil
}

// open goes through os.Root, so that no symbolic link leads out of the folder, and opens nothing that could block for
// ever (a named pipe) or is no file.
func (s *folder) open(path string) (*os.File, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is not a regular file")
	}
	return root.Open(path)
}

// cancelled is a body that ends with its context.
type cancelled struct {
	ctx context.Context
	io.ReadCloser
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.ReadCloser.Read(p)
}
