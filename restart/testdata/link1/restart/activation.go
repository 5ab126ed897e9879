package restart

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Socket activation (sd_listen_fds(3)): a service manager has opened sockets, and passes them at 3 and following.

// activated are the sockets that a service manager has passed to this process and nobody has asked for yet.
type activated struct {
	mu    sync.Mutex
	files []*os.File // named by LISTEN_FDNAMES
}

// activatedNetwork marks sockets of the service manager among those that are handed over, so that tableflip does not
// remove their paths when the program stops: they are not ours.
const activatedNetwork = "activated "

// take reads LISTEN_FDS, and removes it from the environment: it is meant for this process only.
func (a *activated) take() {
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	pid, _ := strconv.Atoi(os.Getenv("LISTEN_PID"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if pid != os.Getpid() {
		return
	}
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	for i := range min(max(n, 0), 1024) {
		closeOnExec(3 + i)
		name := "unknown" // as sd_listen_fds_with_names(3) has it
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		if f := os.NewFile(uintptr(3+i), name); f != nil {
			a.files = append(a.files, f)
		}
	}
}

// listener returns the socket for that network and address, or nil. The network "fd" asks by name.
func (a *activated) listener(network, address string) (net.Listener, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, f := range a.files {
		if network == "fd" && f.Name() != address {
			continue
		}
		ln, err := net.FileListener(f)
		if err != nil {
			if network == "fd" {
				return nil, fmt.Errorf("the socket %s of the service manager: %w", address, err)
			}
			continue // a packet socket
		}
		if network == "fd" || sameAddress(network, address, ln.Addr()) {
			f.Close()
			a.files = slices.Delete(a.files, i, i+1)
			return ln, nil
		}
		ln.Close()
	}
	if network == "fd" {
		return nil, fmt.Errorf("the service manager has passed no socket of the name %s (FileDescriptorName= in its unit)", address)
	}
	return nil, nil
}

// packetConn is the same for packets.
func (a *activated) packetConn(network, address string) (net.PacketConn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, f := range a.files {
		if network == "fd" && f.Name() != address {
			continue
		}
		c, err := net.FilePacketConn(f)
		if err != nil {
			if network == "fd" {
				return nil, fmt.Errorf("the socket %s of the service manager: %w", address, err)
			}
			continue
		}
		if network == "fd" || sameAddress(network, address, c.LocalAddr()) {
			f.Close()
			a.files = slices.Delete(a.files, i, i+1)
			return c, nil
		}
		c.Close()
	}
	if network == "fd" {
		return nil, fmt.Errorf("the service manager has passed no socket of the name %s (FileDescriptorName= in its unit)", address)
	}
	return nil, nil
}

// left names what nobody has asked for, and closes it: connections to it would wait for ever.
func (a *activated) left() (names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.files {
		names = append(names, f.Name())
		f.Close()
	}
	a.files = nil
	return names
}

// sameAddress says whether a socket at got is what a call of Listen with network and address means.
func sameAddress(network, address string, got net.Addr) bool {
	switch got := got.(type) {
	case *net.UnixAddr:
		return network == got.Net && address == got.Name
	case *net.TCPAddr:
		want, err := net.ResolveTCPAddr(network, address)
		return err == nil && strings.HasPrefix(network, "tcp") && want.Port == got.Port && sameIP(want.IP, got.IP)
	case *net.UDPAddr:
		want, err := net.ResolveUDPAddr(network, address)
		return err == nil && strings.HasPrefix(network, "udp") && want.Port == got.Port && sameIP(want.IP, got.IP)
	}
	return false
}

func sameIP(want, got net.IP) bool {
	if want == nil || want.IsUnspecified() {
		return got == nil || got.IsUnspecified()
	}
	return want.Equal(got)
}
