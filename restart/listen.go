package restart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/cloudflare/tableflip"
)

// A source is where one kind of socket, T, comes from and how the next process gets it. Listeners and packet connections
// differ in nothing else.
type source[T io.Closer] struct {
	inherited func(network, address string) (T, error) // the zero T if the predecessor has passed none
	fromFile  func(*os.File) (T, error)
	addr      func(T) net.Addr
	open      func(network, address string) (T, error)
	pass      func(network, address string, socket T) error // to the next process
}

func (r *Restarter) listen(network, address string) (net.Listener, error) {
	s := source[net.Listener]{fromFile: net.FileListener, addr: net.Listener.Addr, open: r.open}
	if r.upg != nil {
		s.inherited = r.upg.Listener
		s.pass = func(network, address string, ln net.Listener) error {
			shared, ok := ln.(tableflip.Listener)
			if !ok {
				return fmt.Errorf("a %T cannot be passed to another process", ln)
			}
			return r.upg.AddListener(network, address, shared)
		}
	}
	return find(&r.activated, s, network, address)
}

func (r *Restarter) listenPacket(network, address string) (net.PacketConn, error) {
	s := source[net.PacketConn]{
		fromFile: net.FilePacketConn, addr: net.PacketConn.LocalAddr,
		open: func(network, address string) (net.PacketConn, error) {
			return r.opts.ListenConfig.ListenPacket(context.Background(), network, address)
		},
	}
	if r.upg != nil {
		s.inherited = r.upg.PacketConn
		s.pass = func(network, address string, c net.PacketConn) error {
			shared, ok := c.(tableflip.PacketConn)
			if !ok {
				return fmt.Errorf("a %T cannot be passed to another process", c)
			}
			return r.upg.AddPacketConn(network, address, shared)
		}
	}
	return find(&r.activated, s, network, address)
}

// find returns a socket from the first that has it: the predecessor, the service manager, the system.
func find[T io.Closer](a *activated, s source[T], network, address string) (socket T, err error) {
	if s.inherited != nil {
		for _, n := range []string{activatedNetwork + network, network} {
			if socket, err = s.inherited(n, address); err != nil || any(socket) != nil {
				return socket, err
			}
		}
	}
	as := activatedNetwork + network
	if socket, err = takeActivated(a, s, network, address); err != nil {
		return socket, err
	} else if any(socket) == nil {
		as = network
		if socket, err = s.open(network, address); err != nil {
			return socket, err
		}
	}
	if s.pass != nil {
		if err := s.pass(as, address, socket); err != nil {
			socket.Close()
			return *new(T), err
		}
	}
	return socket, nil
}

// open opens a listener that was not inherited.
func (r *Restarter) open(network, address string) (net.Listener, error) {
	ln, err := r.opts.ListenConfig.Listen(context.Background(), network, address)
	if err == nil || !strings.HasPrefix(network, "unix") || !errors.Is(err, errAddressInUse) {
		return ln, err
	}
	// A process that was killed leaves its socket's path behind. Nobody answers there, so it is ours to replace.
	c, derr := net.DialTimeout(network, address, time.Second)
	if derr == nil {
		c.Close()
		return nil, err
	}
	info, serr := os.Lstat(address)
	if !errors.Is(derr, errConnRefused) || serr != nil || info.Mode()&os.ModeSocket == 0 || os.Remove(address) != nil {
		return nil, err
	}
	return r.opts.ListenConfig.Listen(context.Background(), network, address)
}
