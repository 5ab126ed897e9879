//go:build darwin || freebsd

package updater

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel.
func peerOf(c net.Conn) (*peer, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, syscall.ENOTSUP
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var p *peer
	ask := func(fd uintptr) {
		var cred *unix.Xucred
		if cred, err = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); err == nil {
			p = &peer{uid: cred.Uid, gids: cred.Groups[:min(int(cred.Ngroups), len(cred.Groups))]}
		}
	}
	if cerr := raw.Control(ask); cerr != nil {
		return nil, cerr
	}
	return p, err
}
