package fetch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 5
	maxHeader    = 64 << 10
	maxETag      = 256 // bytes; it is stored for every channel
)

// web is what the http and https sources of a client share.
type web struct {
	client    *http.Client
	proxy     func(*http.Request) (*url.URL, error) // nil with a client that is not ours
	allowHTTP bool
	userAgent string
	stall     time.Duration
	minRate   int64
}

func (c *Client) web() (*web, error) {
	w := &web{allowHTTP: c.AllowHTTP, userAgent: c.UserAgent, stall: cmp.Or(c.Stall, defaultStall), minRate: cmp.Or(c.MinRate, defaultMinRate)}
	if w.userAgent == "" {
		w.userAgent = "theseus"
	}
	client := &http.Client{}
	if c.HTTP != nil {
		if c.CAFile != "" {
			return nil, errors.New("a CA file has no effect together with an HTTP client of your own; add the certificates to its transport")
		}
		*client = *c.HTTP
	} else {
		roots, err := roots(c.CAFile)
		if err != nil {
			return nil, err
		}
		w.proxy = http.ProxyFromEnvironment
		client.Transport = &http.Transport{
			Proxy:                  w.proxy,
			DialContext:            w.dial,
			TLSHandshakeTimeout:    w.stall,
			TLSClientConfig:        &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // sizes and hashes are those of the bytes as they are stored
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        90 * time.Second,
			// A connection that died without a word must not be found again in the pool by the next attempt.
			HTTP2: &http.HTTP2Config{SendPingTimeout: w.stall / 2, PingTimeout: w.stall / 2},
		}
	}
	client.CheckRedirect = w.checkRedirect
	w.client = client
	return w, nil
}

// roots are the system's certificate authorities and those of file; nil, the system's alone, without a file.
func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificates: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA file %s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", file)
	}
	return pool, nil
}

// site is an http or https source.
type site struct {
	name string
	base *url.URL
	web  *web
}

func (s *site) String() string { return s.name }

func (s *site) get(ctx context.Context, path string, q query) (*reply, error) {
	return s.request(ctx, s.base.JoinPath(path), q)
}

func (s *site) request(ctx context.Context, at *url.URL, q query) (*reply, error) {
	ctx, stall := watch(ctx, s.web.stall, s.web.minRate)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		stall.cancel(nil)
		return nil, err
	}
	req = s.web.trackRedirects(req)
	req.Header.Set("User-Agent", s.web.userAgent)
	req.Header.Set("Accept-Encoding", "identity")
	switch {
	case q.offset > 0:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", q.offset))
		if q.etag != "" && !strings.HasPrefix(q.etag, "W/") { // RFC 9110 §13.1.5: strong ones only
			req.Header.Set("If-Range", q.etag)
		}
	case q.etag != "":
		req.Header.Set("If-None-Match", q.etag)
	}
	if q.fresh {
		req.Header.Set("Cache-Control", "no-cache")
		req.Header.Set("Pragma", "no-cache")
	}

	stall.wait()
	resp, err := s.web.client.Do(req)
	stall.answered()
	if err != nil {
		err = explain(ctx, err)
		stall.cancel(nil)
		return nil, err
	}
	r := &reply{
		body:     &watched{ctx, stall, resp.Body},
		length:   resp.ContentLength,
		etag:     validETag(resp.Header.Get("ETag")),
		encoding: resp.Header.Get("Content-Encoding"),
	}
	if strings.EqualFold(r.encoding, "identity") {
		r.encoding = ""
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return r, nil
	case resp.StatusCode == http.StatusPartialContent && q.offset > 0:
		// A server that answers with another range than was asked for, or with several, is told by the offset.
		r.offset = rangeStart(resp.Header.Get("Content-Range"))
		return r, nil
	case resp.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		r.body.Close()
		return &reply{notModified: true, etag: q.etag}, nil
	}
	r.body.Close()
	return nil, &StatusError{Code: resp.StatusCode, RetryAfter: parseRetryAfter(resp.Header, time.Now())}
}

// rangeStart is the first byte of a Content-Range, or -1.
func rangeStart(h string) int64 {
	spec, ok := strings.CutPrefix(h, "bytes ")
	start, _, found := strings.Cut(spec, "-")
	n, err := strconv.ParseUint(start, 10, 63)
	if !ok || !found || err != nil {
		return -1
	}
	return int64(n)
}

// validETag returns an entity tag that may be stored and sent back, or nothing: it comes from the network, later from a
// file, and a malformed header would fail each request. Only visible ASCII: other bytes are allowed by RFC 9110, but in
// no character set, so that a file of text could not keep them.
func validETag(s string) string {
	opaque := strings.TrimPrefix(s, "W/")
	if len(s) > maxETag || len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"' {
		return ""
	}
	for _, b := range []byte(opaque[1 : len(opaque)-1]) {
		if b < 0x21 || b == '"' || b >= 0x7f {
			return ""
		}
	}
	return s
}
