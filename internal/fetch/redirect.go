package fetch

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
)

// redirects is what a request remembers across them. It keeps a public server from sending clients to hosts
// that only they can reach: other services of the machine, of its network, or the cloud's metadata address.
type redirects struct {
	inside atomic.Bool // the source itself is no public host, so its redirects may stay inside
	guard  atomic.Bool // connect to public addresses only
}

type redirectsKey struct{}

// direct reports whether no proxy stands between, which would look names up in our place.
func (w *web) direct(req *http.Request) bool {
	if w.proxy == nil {
		return true
	}
	u, err := w.proxy(req)
	return err == nil && u == nil
}

// trackRedirects prepares a request for its redirects and finds out where the source is, which for a pooled connection only its address tells.
func (w *web) trackRedirects(req *http.Request) *http.Request {
	j := &redirects{}
	ctx := context.WithValue(req.Context(), redirectsKey{}, j)
	if w.direct(req) {
		var once sync.Once
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			once.Do(func() {
				a, err := netip.ParseAddrPort(i.Conn.RemoteAddr().String())
				j.inside.Store(err == nil && !public(a.Addr()))
			})
		}})
	}
	return req.WithContext(ctx)
}

// checkRedirect follows what may be followed. Bytes may come from any host, as the hash decides about them.
func (w *web) checkRedirect(req *http.Request, via []*http.Request) error {
	to, from := req.URL, via[len(via)-1].URL
	req.Header.Del("Referer")
	insecure := func(format string, args ...any) error {
		return sentence(ErrInsecure, format, args...)
	}
	host := plain(to.Host)
	switch {
	case len(via) > maxRedirects:
		return insecure("more than %d redirects, the last one to %s", maxRedirects, host)
	case to.Scheme == "http" && from.Scheme == "https":
		return insecure("redirected from https to plain http at %s; whoever runs the server must redirect to https", host)
	case to.Scheme == "http" && !w.allowHTTP && !loopback(to.Hostname()):
		return insecure("redirected to plain http at %s, which is not allowed", host)
	case to.Scheme != "http" && to.Scheme != "https":
		return insecure("redirected to a URL of the scheme %q", plain(to.Scheme))
	case to.User != nil:
		return insecure("redirected to %s with a user name; Theseus sends no credentials", host)
	}
	j := req.Context().Value(redirectsKey{}).(*redirects)
	if j.inside.Load() || private(via[0].URL.Hostname()) {
		return nil
	}
	if private(to.Hostname()) {
		return insecure("redirected from a public host to %s inside this machine's own network", host)
	}
	j.guard.Store(w.direct(req))
	return nil
}

// dial connects. It keeps a guarded request to public addresses, when they are known for certain: after the lookup.
func (w *web) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: w.stall}
	if j, _ := ctx.Value(redirectsKey{}).(*redirects); j != nil && j.guard.Load() {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(address); err != nil || !public(a.Addr()) {
				return sentence(ErrInsecure, "redirected from a public host to %s, which is %s inside this machine's own network", plain(addr), address)
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}
