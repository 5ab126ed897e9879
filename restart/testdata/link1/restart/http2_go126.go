//go:build !go1.27

package restart

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
)

// Up to Go 1.26 net/http hands HTTP/2 connections over through Server.TLSNextProto, which Serve has filled in when it
// calls BaseContext. The handler for the plain ones takes any net.Conn, in a tls.Conn for an envelope, and takes the
// TLS state from it if it has one: so it serves the TLS ones too, with the wrapper in between.
const (
	nextTLS   = "h2"
	nextPlain = "unencrypted_http2" // a private contract of net/http and x/net/http2
)

// attach wraps the HTTP/2 connections of srv. It is called from BaseContext, before anything is accepted. ok is false
// where net/http does not keep the contract: then HTTP/2 ends as it does without this package.
func (f *farewells) attach(srv *http.Server) (ok bool) {
	plain := srv.TLSNextProto[nextPlain]
	secure := srv.TLSNextProto[nextTLS]
	if plain == nil || secure == nil {
		return len(srv.TLSNextProto) == 0 // no HTTP/2 at all is as well
	}
	srv.TLSNextProto[nextTLS] = func(srv *http.Server, c *tls.Conn, h http.Handler) {
		w := &prefaced{http2TLS: http2TLS{newHTTP2Conn(c, f, unknownProtocol), c}}
		plain(srv, tls.Client(envelope{conn: w}, nil), h)
	}
	srv.TLSNextProto[nextPlain] = func(srv *http.Server, c *tls.Conn, h http.Handler) {
		if e, ok := c.NetConn().(interface{ UnencryptedNetConn() net.Conn }); ok {
			c = tls.Client(envelope{conn: newHTTP2Conn(e.UnencryptedNetConn(), f, speaksHTTP2)}, nil)
		}
		plain(srv, c, h)
	}
	return true
}

// listener is for later releases.
func (f *farewells) listener(ln net.Listener, _ *http.Server) (wrapped net.Listener, tls bool) {
	return ln, false
}

// prefaced reads and checks the client's preface by itself, because the handler for plain connections is told that
// this was done.
type prefaced struct {
	http2TLS
	checked bool
}

func (c *prefaced) Read(p []byte) (int, error) {
	if !c.checked {
		var b [len(preface)]byte
		if _, err := io.ReadFull(c.http2Conn, b[:]); err != nil {
			return 0, err
		} else if string(b[:]) != preface {
			return 0, io.ErrUnexpectedEOF
		}
		c.checked = true
	}
	return c.http2Conn.Read(p)
}

type envelope struct {
	net.Conn
	conn net.Conn
}

func (e envelope) UnencryptedNetConn() net.Conn { return e.conn }
