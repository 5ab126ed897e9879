package conn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// A PacketGate is a packet connection whose reads can be parked like the Accept of a [Gate]. Writes never wait: the
// process that has read a question writes the answer.
type PacketGate struct {
	pollable
	door
	deadline time.Time // for reads, as the caller set it
}

// pollable has the methods that all packet connections of package net share.
type pollable interface {
	net.PacketConn
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

// NewPacketGate returns a PacketGate for c, which has to come from package net.
func NewPacketGate(c net.PacketConn) (*PacketGate, error) {
	p, ok := c.(pollable)
	if !ok {
		return nil, fmt.Errorf("reads of a %T cannot be parked", c)
	}
	return &PacketGate{pollable: p, door: newDoor()}, nil
}

// Park makes reads wait.
func (g *PacketGate) Park() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
	g.pollable.SetReadDeadline(past)
}

// Resume lets reads continue.
func (g *PacketGate) Resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pollable.SetReadDeadline(g.deadline)
	g.openLocked()
}

// Release parks for good. The descriptor stays open, because answers may still have to be written.
func (g *PacketGate) Release() { g.Park() }

// ReadFrom reads a packet, and waits while the gate is parked.
func (g *PacketGate) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		open, err := g.pass()
		if err != nil {
			return 0, nil, err
		}
		n, addr, err := g.pollable.ReadFrom(p)
		g.mu.Lock()
		parked := g.shutSince(open)
		expired := !g.deadline.IsZero() && !time.Now().Before(g.deadline)
		g.mu.Unlock()
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && (parked || !expired) {
			continue
		}
		return n, addr, err
	}
}

// SetReadDeadline does not wake a read that is parked.
func (g *PacketGate) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deadline = t
	select {
	case <-g.open:
		return g.pollable.SetReadDeadline(t)
	default:
		return nil // parked: Resume sets it
	}
}

// SetDeadline sets both deadlines.
func (g *PacketGate) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.pollable.SetWriteDeadline(t))
}

// Close makes reads return net.ErrClosed.
func (g *PacketGate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closeLocked() {
		return nil
	}
	return g.pollable.Close()
}
