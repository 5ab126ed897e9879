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
	kind      string
	inherited func(network, address string) (T, error) // the zero T if the predecessor has passed none
	fromFile  func(*os.File) (T, error)
	addr      func(T) net.Addr
	open      func(network, address string) (T, error)
	pass      func(network, address string, socket T) error // to the next process
}

func (r *Restarter) listen(network, address string, open func(network, address string) (net.Listener, error)) (net.Listener, socketID, error) {
	s := source[net.Listener]{kind: "listener", fromFile: net.FileListener, addr: net.Listener.Addr, open: open}
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
	return find(r, s, network, address)
}

func (r *Restarter) listenPacket(network, address string) (net.PacketConn, socketID, error) {
	s := source[net.PacketConn]{
		kind: "packet", fromFile: net.FilePacketConn, addr: net.PacketConn.LocalAddr,
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
	return find(r, s, network, address)
}

// find returns a socket from the first that has it: the predecessor, the service manager, the system.
func find[T io.Closer](r *Restarter, s source[T], network, address string) (socket T, id socketID, err error) {
	r.listenMu.Lock()
	defer r.listenMu.Unlock()
	for n := 0; ; n++ {
		if id = (socketID{s.kind, network, numbered(address, n)}); !r.sockets.has(id) {
			break
		}
	}
	if s.inherited != nil {
		for _, id := range append([]socketID{{id.kind, activatedNetwork + network, id.address}, id}, r.spelledDifferently(s.kind, network, address)...) {
			if socket, err = s.inherited(id.network, id.address); err != nil {
				return socket, id, err
			} else if any(socket) != nil {
				if pathIsGone(id) { // nobody reaches that one any more
					socket.Close()
					forgetFile(r.upg, id.kind, id.network, id.address)
					break
				}
				r.took(id, s.addr(socket))
				return socket, id, nil
			}
		}
	}
	socket, err = takeActivated(&r.activated, s, network, address)
	switch {
	case err != nil:
		return socket, id, err
	case any(socket) != nil:
		id.network = activatedNetwork + network
	default:
		if socket, err = s.open(network, address); err != nil {
			return socket, id, r.explainInUse(err, s.kind, network, address)
		}
	}
	if s.pass != nil {
		if err := s.pass(id.network, id.address, socket); err != nil {
			socket.Close()
			return *new(T), id, err
		}
	}
	r.took(id, s.addr(socket))
	return socket, id, nil
}

// took notes that this process has a socket.
func (r *Restarter) took(id socketID, addr net.Addr) {
	r.sockets.add(id, addr)
	if r.predecessor != nil {
		r.predecessor.say(msgSocket, id.String())
	}
}

// spelledDifferently returns the names of the predecessor's sockets that are meant by network and address, but were asked
// for in another way, and that this process has not taken.
func (r *Restarter) spelledDifferently(kind, network, address string) (ids []socketID) {
	for id, addr := range r.left(namedWithin) {
		if id.kind == kind && sameAddress(network, address, addr) {
			ids = append(ids, id)
		}
	}
	return ids
}

// explainInUse adds to an error of opening a socket which one of the predecessor's is in the way.
func (r *Restarter) explainInUse(err error, kind, network, address string) error {
	if !errors.Is(err, errAddressInUse) {
		return err
	}
	for id, addr := range r.left(namedWithin) {
		if id.kind == kind && inTheWay(network, address, addr) {
			return fmt.Errorf("%w: the process before this one listens on %s, which is another address: keep that one in this version, "+
				"or stop the service and start it again", err, id.name())
		}
	}
	return err
}

// left returns the predecessor's sockets that this process has not taken. It waits until the predecessor has named them,
// which it does as soon as it has heard of us.
func (r *Restarter) left(wait time.Duration) map[socketID]net.Addr {
	if r.predecessor == nil {
		return nil
	}
	select {
	case <-r.predecessor.named:
	case <-time.After(wait):
	}
	all := r.predecessor.sockets.all()
	for id := range r.sockets.all() {
		delete(all, id)
	}
	return all
}

// namedWithin is how long a successor waits for the names of its predecessor's sockets, when it needs them.
const namedWithin = 5 * time.Second

// open opens a listener that was not inherited.
func (r *Restarter) open(network, address string) (net.Listener, error) {
	return openListener(r.opts.ListenConfig, network, address)
}

func openListener(lc *net.ListenConfig, network, address string) (net.Listener, error) {
	ln, err := lc.Listen(context.Background(), network, address)
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
	return lc.Listen(context.Background(), network, address)
}

// pathIsGone reports whether the path of a unix socket of ours was removed.
func pathIsGone(id socketID) bool {
	if !strings.HasPrefix(id.network, "unix") || id.address == "" || id.address[0] == '@' || id.address[0] == 0 {
		return false
	}
	_, err := os.Lstat(id.address)
	return errors.Is(err, os.ErrNotExist)
}
