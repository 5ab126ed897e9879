package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/theseus-go/theseus/internal/name"
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
func (c *Client) open() ([]source, *template, error) {
	if len(c.Sources) == 0 {
		return nil, nil, errors.New("there is no source; name the base URL of the folder that releases are published to")
	}
	if c.MinRate < 0 {
		return nil, nil, fmt.Errorf("the least throughput is %d bytes per second; name a positive one, or none for %d", c.MinRate, defaultMinRate)
	}
	if c.Stall < 0 {
		return nil, nil, fmt.Errorf("the stall window is %v; name a positive time, or none for %v", c.Stall, defaultStall)
	}
	web, err := c.web()
	if err != nil {
		return nil, nil, err
	}
	var sources []source
	for _, text := range c.Sources {
		u, err := c.parse(text)
		if err != nil {
			return nil, nil, err
		}
		if u.Scheme == "file" {
			sources = append(sources, &folder{name: u.String(), dir: localPath(u.Path)})
		} else {
			sources = append(sources, &site{name: u.String(), base: u, web: web})
		}
	}
	files, err := c.template(web)
	return sources, files, err
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

// loopback reports whether a URL's host is this machine without asking anybody.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// validPath returns an error for a path outside the alphabet of a repository's file names, so that joining one to a base
// URL or a folder needs no escaping and cannot leave it. Names come from signed documents; a bad one is the caller's fault.
func validPath(path string) error {
	if !name.Path(path) {
		return fmt.Errorf("%q is not the name of a file in a repository", path)
	}
	return nil
}
