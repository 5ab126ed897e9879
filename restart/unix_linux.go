package restart

import "syscall"

const hasModes = true

// private makes the file of a unix socket that is bound next one to which only its owner may connect: it takes the mode of
// the socket, less the umask.
func private(c syscall.RawConn) (err error) {
	if cerr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); cerr != nil {
		return cerr
	}
	return err
}
