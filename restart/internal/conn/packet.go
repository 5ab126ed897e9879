package conn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// A PacketGate parks the reads of a packet connection like a [Gate] parks Accept. Writes never wait: the process that has
// read a question writes the answer. Programs use the connection that Typed returns.
type PacketGate struct {
	net.PacketConn
	door

	// Closed is called by the first Close, if it is not nil. It is to be set before Resume.
	Closed func()
}

// NewPacketGate returns a PacketGate for c, which has to come from package net.
func NewPacketGate(c net.PacketConn) (*PacketGate, error) {
	switch c.(type) {
	case *net.UDPConn, *net.UnixConn, *net.IPConn:
		return &PacketGate{PacketConn: c, door: newDoor()}, nil
	}
	return nil, fmt.Errorf("reads of a %T cannot be parked", c)
}

// Typed returns the connection that a program sees. It has the methods of the one that is wrapped.
func (g *PacketGate) Typed() net.PacketConn {
	switch c := g.PacketConn.(type) {
	case *net.UDPConn:
		return &UDPGate{c, g}
	case *net.UnixConn:
		return &UnixgramGate{c, g}
	case *net.IPConn:
		return &IPGate{c, g}
	}
	return g
}

// Park makes reads wait.
func (g *PacketGate) Park() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
	g.PacketConn.SetReadDeadline(past)
}

// Resume lets reads continue.
func (g *PacketGate) Resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.PacketConn.SetReadDeadline(g.deadline)
	g.openLocked()
}

// Release parks for good. The descriptor stays open, because answers may still have to be written.
func (g *PacketGate) Release() { g.Park() }

// read calls f when reads may go on.
func (g *PacketGate) read(f func() error) error {
	err := g.through(f)
	if err == os.ErrDeadlineExceeded {
		return &net.OpError{Op: "read", Net: g.LocalAddr().Network(), Source: g.LocalAddr(), Err: err}
	}
	return err
}

// ReadFrom reads a packet, and waits while the gate is parked.
func (g *PacketGate) ReadFrom(p []byte) (n int, addr net.Addr, err error) {
	err = g.read(func() (err error) { n, addr, err = g.PacketConn.ReadFrom(p); return err })
	return n, addr, err
}

// SetReadDeadline limits reads, parked or not.
func (g *PacketGate) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.setDeadlineLocked(t)
	if !g.isOpenLocked() {
		return nil // Resume sets it
	}
	return g.PacketConn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (g *PacketGate) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.PacketConn.SetWriteDeadline(t))
}

// SyscallConn gives raw access; a raw read waits like ReadFrom. Batch reads (golang.org/x/net/ipv4) are made of it.
func (g *PacketGate) SyscallConn() (syscall.RawConn, error) { return g.raw(g.PacketConn) }

// Close makes reads return net.ErrClosed.
func (g *PacketGate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closeLocked() {
		return nil
	}
	err := g.PacketConn.Close()
	if g.Closed != nil {
		g.Closed()
	}
	return err
}

// A UDPGate is a *net.UDPConn whose reads can be parked.
type UDPGate struct {
	*net.UDPConn
	g *PacketGate
}

func (c *UDPGate) Close() error                             { return c.g.Close() }
func (c *UDPGate) SetDeadline(t time.Time) error            { return c.g.SetDeadline(t) }
func (c *UDPGate) SetReadDeadline(t time.Time) error        { return c.g.SetReadDeadline(t) }
func (c *UDPGate) SyscallConn() (syscall.RawConn, error)    { return c.g.SyscallConn() }
func (c *UDPGate) ReadFrom(p []byte) (int, net.Addr, error) { return c.g.ReadFrom(p) }

func (c *UDPGate) Read(p []byte) (n int, err error) {
	err = c.g.read(func() (err error) { n, err = c.UDPConn.Read(p); return err })
	return n, err
}

func (c *UDPGate) ReadFromUDP(p []byte) (n int, addr *net.UDPAddr, err error) {
	err = c.g.read(func() (err error) { n, addr, err = c.UDPConn.ReadFromUDP(p); return err })
	return n, addr, err
}

func (c *UDPGate) ReadFromUDPAddrPort(p []byte) (n int, addr netip.AddrPort, err error) {
	err = c.g.read(func() (err error) { n, addr, err = c.UDPConn.ReadFromUDPAddrPort(p); return err })
	return n, addr, err
}

func (c *UDPGate) ReadMsgUDP(p, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	err = c.g.read(func() (err error) { n, oobn, flags, addr, err = c.UDPConn.ReadMsgUDP(p, oob); return err })
	return n, oobn, flags, addr, err
}

func (c *UDPGate) ReadMsgUDPAddrPort(p, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	err = c.g.read(func() (err error) { n, oobn, flags, addr, err = c.UDPConn.ReadMsgUDPAddrPort(p, oob); return err })
	return n, oobn, flags, addr, err
}

// A UnixgramGate is a *net.UnixConn whose reads can be parked.
type UnixgramGate struct {
	*net.UnixConn
	g *PacketGate
}

func (c *UnixgramGate) Close() error                             { return c.g.Close() }
func (c *UnixgramGate) SetDeadline(t time.Time) error            { return c.g.SetDeadline(t) }
func (c *UnixgramGate) SetReadDeadline(t time.Time) error        { return c.g.SetReadDeadline(t) }
func (c *UnixgramGate) SyscallConn() (syscall.RawConn, error)    { return c.g.SyscallConn() }
func (c *UnixgramGate) ReadFrom(p []byte) (int, net.Addr, error) { return c.g.ReadFrom(p) }

func (c *UnixgramGate) Read(p []byte) (n int, err error) {
	err = c.g.read(func() (err error) { n, err = c.UnixConn.Read(p); return err })
	return n, err
}

func (c *UnixgramGate) ReadFromUnix(p []byte) (n int, addr *net.UnixAddr, err error) {
	err = c.g.read(func() (err error) { n, addr, err = c.UnixConn.ReadFromUnix(p); return err })
	return n, addr, err
}

func (c *UnixgramGate) ReadMsgUnix(p, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error) {
	err = c.g.read(func() (err error) { n, oobn, flags, addr, err = c.UnixConn.ReadMsgUnix(p, oob); return err })
	return n, oobn, flags, addr, err
}

// An IPGate is a *net.IPConn whose reads can be parked.
type IPGate struct {
	*net.IPConn
	g *PacketGate
}

func (c *IPGate) Close() error                             { return c.g.Close() }
func (c *IPGate) SetDeadline(t time.Time) error            { return c.g.SetDeadline(t) }
func (c *IPGate) SetReadDeadline(t time.Time) error        { return c.g.SetReadDeadline(t) }
func (c *IPGate) SyscallConn() (syscall.RawConn, error)    { return c.g.SyscallConn() }
func (c *IPGate) ReadFrom(p []byte) (int, net.Addr, error) { return c.g.ReadFrom(p) }

func (c *IPGate) Read(p []byte) (n int, err error) {
	err = c.g.read(func() (err error) { n, err = c.IPConn.Read(p); return err })
	return n, err
}

func (c *IPGate) ReadFromIP(p []byte) (n int, addr *net.IPAddr, err error) {
	err = c.g.read(func() (err error) { n, addr, err = c.IPConn.ReadFromIP(p); return err })
	return n, addr, err
}

func (c *IPGate) ReadMsgIP(p, oob []byte) (n, oobn, flags int, addr *net.IPAddr, err error) {
	err = c.g.read(func() (err error) { n, oobn, flags, addr, err = c.IPConn.ReadMsgIP(p, oob); return err })
	return n, oobn, flags, addr, err
}
