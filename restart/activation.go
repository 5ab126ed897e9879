package restart

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Socket activation (sd_listen_fds(3)): a service manager has opened sockets, and passes them at 3 and following.

// activated holds the sockets that a service manager has passed to this process and that nobody has asked for yet.
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

// takeActivated returns the service manager's socket for network and address, or the zero T if there is none. For the
// network "fd" the address is the socket's name, and it is an error if there is none.
func takeActivated[T io.Closer](a *activated, s source[T], network, address string) (none T, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	byName := network == "fd"
	for i, f := range a.files {
		if byName && f.Name() != address {
			continue
		}
		socket, err := s.fromFile(f)
		switch {
		case err != nil && byName:
			return none, fmt.Errorf("the socket %s of the service manager: %w", address, err)
		case err != nil: // a socket of the other kind
		case byName || sameAddress(network, address, s.addr(socket)):
			f.Close()
			a.files = slices.Delete(a.files, i, i+1)
			return socket, nil
		default:
			socket.Close()
		}
	}
	if byName {
		return none, fmt.Errorf("the service manager has passed no socket of the name %s, or not so many (FileDescriptorName= in its unit); to a process that takes over, a socket is passed only if the one before it used it", address)
	}
	return none, nil
}

// left closes the sockets that nobody has asked for, because connections to them would wait for ever, and returns their
// names.
func (a *activated) left() (names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.files {
		name := f.Name()
		if ln, err := net.FileListener(f); err == nil {
			name += " (" + ln.Addr().Network() + " " + ln.Addr().String() + ")"
			ln.Close()
		}
		names = append(names, name)
		f.Close()
	}
	a.files = nil
	return names
}
