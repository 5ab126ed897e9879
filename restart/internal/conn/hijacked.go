package conn

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// What a handler that hijacks its connection may expect of a *net.TCPConn or *net.UnixConn. A method that the wrapped
// connection lacks answers errors.ErrUnsupported.

// as calls f with the wrapped connection, if that is a T.
func as[T any](c *movable, f func(T) error) error {
	to, ok := c.Conn.(T)
	if !ok {
		return errors.ErrUnsupported
	}
	return f(to)
}

// CloseWrite lets net/http finish an answer while the request body is still arriving, and a tunnel pass a half-close on.
func (c *movable) CloseWrite() error {
	return as(c, func(to interface{ CloseWrite() error }) error { return to.CloseWrite() })
}

// CloseRead shuts the reading side down.
func (c *movable) CloseRead() error {
	return as(c, func(to interface{ CloseRead() error }) error { return to.CloseRead() })
}

// File returns a duplicate of the descriptor.
func (c *movable) File() (f *os.File, err error) {
	err = as(c, func(to interface{ File() (*os.File, error) }) (err error) { f, err = to.File(); return err })
	return f, err
}

// SetKeepAlive is the method of *net.TCPConn.
func (c *movable) SetKeepAlive(on bool) error {
	return as(c, func(to *net.TCPConn) error { return to.SetKeepAlive(on) })
}

// SetKeepAliveConfig is the method of *net.TCPConn.
func (c *movable) SetKeepAliveConfig(conf net.KeepAliveConfig) error {
	return as(c, func(to *net.TCPConn) error { return to.SetKeepAliveConfig(conf) })
}

// SetKeepAlivePeriod is the method of *net.TCPConn.
func (c *movable) SetKeepAlivePeriod(d time.Duration) error {
	return as(c, func(to *net.TCPConn) error { return to.SetKeepAlivePeriod(d) })
}

// SetLinger is the method of *net.TCPConn.
func (c *movable) SetLinger(sec int) error {
	return as(c, func(to *net.TCPConn) error { return to.SetLinger(sec) })
}

// SetNoDelay is the method of *net.TCPConn.
func (c *movable) SetNoDelay(on bool) error {
	return as(c, func(to *net.TCPConn) error { return to.SetNoDelay(on) })
}

// SetReadBuffer sets the size of the system's buffer.
func (c *movable) SetReadBuffer(bytes int) error {
	return as(c, func(to interface{ SetReadBuffer(int) error }) error { return to.SetReadBuffer(bytes) })
}

// SetWriteBuffer sets the size of the system's buffer.
func (c *movable) SetWriteBuffer(bytes int) error {
	return as(c, func(to interface{ SetWriteBuffer(int) error }) error { return to.SetWriteBuffer(bytes) })
}

// WriteTo keeps splice for a tunnel.
func (c *movable) WriteTo(w io.Writer) (int64, error) {
	if to, ok := c.Conn.(io.WriterTo); ok && c.stays.Load() {
		return to.WriteTo(w)
	}
	return io.Copy(w, struct{ io.Reader }{c})
}
