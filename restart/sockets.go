package restart

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A socketID is the name under which a socket is passed from process to process: how the first process that had it asked
// for it. Several sockets that are asked for in the same way get numbers, in the order of the calls, so that the program's
// next version gets each of them back by the same calls.
type socketID struct {
	kind    string // listener or packet
	network string // with activatedNetwork in front if it is the service manager's
	address string // with the number, from the second on
}

// String is what a message of a link says of it.
func (id socketID) String() string { return id.kind + "\x00" + id.network + "\x00" + id.address }

// name is what people read of it.
func (id socketID) name() string {
	return strings.TrimPrefix(id.network, activatedNetwork) + " " + id.address
}

// numbered returns the address of the nth socket, from 0, that was asked for with address.
func numbered(address string, n int) string {
	if n == 0 {
		return address
	}
	return fmt.Sprintf("%s #%d", address, n+1)
}

// sockets are those that a process has, and where they are bound.
type sockets struct {
	mu    sync.Mutex
	bound map[socketID]net.Addr
}

func (s *sockets) add(id socketID, addr net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound == nil {
		s.bound = map[socketID]net.Addr{}
	}
	s.bound[id] = addr
}

func (s *sockets) remove(id socketID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.bound, id)
}

// has reports whether there is a socket with that name, whoever has opened it.
func (s *sockets) has(id socketID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	network := strings.TrimPrefix(id.network, activatedNetwork)
	for _, n := range []string{network, activatedNetwork + network} {
		if _, ok := s.bound[socketID{id.kind, n, id.address}]; ok {
			return true
		}
	}
	return false
}

func (s *sockets) all() map[socketID]net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[socketID]net.Addr, len(s.bound))
	for id, addr := range s.bound {
		all[id] = addr
	}
	return all
}

// describe is the text of a msgSocket of the predecessor.
func describe(id socketID, addr net.Addr) string {
	return id.String() + "\x00" + addr.Network() + "\x00" + addr.String()
}

// parseSocket reads the text of a msgSocket; the successor's have no address.
func parseSocket(text string) (id socketID, addr net.Addr, ok bool) {
	f := strings.Split(text, "\x00")
	if len(f) != 3 && len(f) != 5 {
		return socketID{}, nil, false
	}
	if len(f) == 5 {
		addr = parseAddr(f[3], f[4])
	}
	return socketID{f[0], f[1], f[2]}, addr, true
}

// parseAddr returns nil for what it does not know.
func parseAddr(network, address string) net.Addr {
	if strings.HasPrefix(network, "unix") {
		return &net.UnixAddr{Net: network, Name: address}
	}
	ap, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
	case strings.HasPrefix(network, "tcp"):
		return net.TCPAddrFromAddrPort(ap)
	case strings.HasPrefix(network, "udp"):
		return net.UDPAddrFromAddrPort(ap)
	}
	return nil
}

// sameAddress reports whether Listen(network, address) means the socket at got.
func sameAddress(network, address string, got net.Addr) bool {
	switch got := got.(type) {
	case *net.UnixAddr:
		return network == got.Net && (address == got.Name || samePath(address, got.Name))
	case *net.TCPAddr:
		want, err := net.ResolveTCPAddr(network, address)
		return err == nil && want.Port == got.Port && sameIP(network, want.IP, got.IP)
	case *net.UDPAddr:
		want, err := net.ResolveUDPAddr(network, address)
		return err == nil && want.Port == got.Port && sameIP(network, want.IP, got.IP)
	}
	return false
}

// samePath reports whether both name the same file, by different ways.
func samePath(a, b string) bool {
	if strings.HasPrefix(a, "@") || strings.HasPrefix(b, "@") {
		return false
	}
	x, err := os.Lstat(a)
	if err != nil {
		return false
	}
	if !filepath.IsAbs(b) {
		b = filepath.Join(begun.dir, b)
	}
	y, err := os.Lstat(b)
	return err == nil && os.SameFile(x, y)
}

// sameIP compares addresses; for a network of one family, any address of the other one is another.
func sameIP(network string, want, got net.IP) bool {
	if want == nil || want.IsUnspecified() {
		return (got == nil || got.IsUnspecified()) &&
			(!strings.HasSuffix(network, "4") || got.To4() != nil) && (!strings.HasSuffix(network, "6") || got.To4() == nil)
	}
	return want.Equal(got)
}

// inTheWay reports whether a socket at got keeps Listen(network, address) from opening another one.
func inTheWay(network, address string, got net.Addr) bool {
	switch got := got.(type) {
	case *net.UnixAddr:
		return network == got.Net && samePath(address, got.Name)
	case *net.TCPAddr:
		want, err := net.ResolveTCPAddr(network, address)
		return err == nil && want.Port == got.Port
	case *net.UDPAddr:
		want, err := net.ResolveUDPAddr(network, address)
		return err == nil && want.Port == got.Port
	}
	return false
}
