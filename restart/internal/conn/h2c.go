package conn

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// Handlers that speak HTTP/2 on a connection that they hijack (golang.org/x/net/http2/h2c) get one that can say goodbye.

// requestLine is what net/http has read of the preface when it calls such a handler.
const requestLine = "PRI * HTTP/2.0\r\n\r\n"

// An h2cWriter is the writer of a request that begins HTTP/2: the preface itself, or an upgrade.
type h2cWriter struct {
	http.ResponseWriter
	of      *farewells
	preface bool
}

// Unwrap serves http.ResponseController.
func (w *h2cWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *h2cWriter) Flush() { http.NewResponseController(w.ResponseWriter).Flush() }

func (w *h2cWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	to, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	raw, rw, err := to.Hijack()
	if err != nil {
		return nil, nil, err
	}
	head, _ := rw.Reader.Peek(rw.Reader.Buffered())
	c := newHTTP2Conn(&headed{raw, append([]byte(nil), head...)}, w.of, unknownProtocol)
	if w.preface {
		c.seen = len(requestLine)
	}
	// The answer to an upgrade is no frame, and goes out beside the frames.
	return c, bufio.NewReadWriter(bufio.NewReader(c), rw.Writer), nil
}

// A headed connection begins with bytes that were read already.
type headed struct {
	net.Conn
	head []byte
}

func (c *headed) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	return n, nil
}

func (c *headed) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

func (c *headed) below() net.Conn { return c.Conn }
