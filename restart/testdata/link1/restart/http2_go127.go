//go:build go1.27

package restart

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
)

// From Go 1.27 on net/http serves HTTP/2 on any connection that has ConnectionState and HandshakeContext, so that a
// listener is all it takes; but TLS has to be put on here and not by ServeTLS.

func (f *farewells) attach(*http.Server) (ok bool) { return true }

// listener wraps what ln accepts. For a server with certificates TLS is in it, and tls is true.
func (f *farewells) listener(ln net.Listener, srv *http.Server) (wrapped net.Listener, secure bool) {
	h2c := srv.Protocols != nil && srv.Protocols.UnencryptedHTTP2()
	if !hasCertificates(srv) {
		if h2c {
			return farewellListener{ln, f}, false
		}
		return ln, false
	}
	conf := srv.TLSConfig.Clone()
	if (srv.Protocols == nil || srv.Protocols.HTTP2()) && !slices.Contains(conf.NextProtos, "h2") {
		conf.NextProtos = append([]string{"h2"}, conf.NextProtos...)
	}
	if (srv.Protocols == nil || srv.Protocols.HTTP1()) && !slices.Contains(conf.NextProtos, "http/1.1") {
		conf.NextProtos = append(conf.NextProtos, "http/1.1")
	}
	srv.TLSConfig = conf // Serve looks there whether HTTP/2 is wanted
	return farewellListener{tls.NewListener(ln, conf), f}, true
}

type farewellListener struct {
	net.Listener
	f *farewells
}

func (l farewellListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if t, ok := c.(*tls.Conn); ok {
		return http2TLS{newHTTP2Conn(c, l.f, unknownProtocol), t}, nil
	}
	return newHTTP2Conn(c, l.f, unknownProtocol), nil
}
