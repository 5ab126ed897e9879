package restart

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ListenUnix is Listen for a unix socket to which not everybody may connect. mode is that of the socket's file, of which the
// right to write counts, and group is its group by name or number, "" for that of the process. On Linux nobody can connect
// who may not from the first moment on; elsewhere the umask decides for an instant. Windows has no modes: put the socket
// into a folder of its own. A socket from the process before this one, or from a service manager, stays as it is.
func (r *Restarter) ListenUnix(path string, mode fs.FileMode, group string) (net.Listener, error) {
	gid := -1
	if group != "" {
		var err error
		if gid, err = groupID(group); err != nil {
			return nil, fmt.Errorf("restart: listening on unix %s: %w", path, err)
		}
	}
	return r.listenBy("unix", path, func(network, address string) (net.Listener, error) {
		return openUnix(r.opts.ListenConfig, address, mode, gid)
	})
}

// openUnix opens a unix socket whose file is private until it has its group, and has its mode then.
func openUnix(with *net.ListenConfig, path string, mode fs.FileMode, gid int) (net.Listener, error) {
	lc := *with
	lc.Control = func(network, address string, c syscall.RawConn) error {
		if with.Control != nil {
			if err := with.Control(network, address, c); err != nil {
				return err
			}
		}
		return private(c)
	}
	ln, err := openListener(&lc, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := permit(path, mode, gid); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// permit gives the socket that was just made at path its group and then its mode.
func permit(path string, mode fs.FileMode, gid int) error {
	if !hasModes {
		return nil
	}
	if gid >= 0 {
		if err := os.Lchown(path, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, mode&fs.ModePerm)
}

func groupID(group string) (int, error) {
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this machine", group)
	}
	return strconv.Atoi(g.Gid)
}
