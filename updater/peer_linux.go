package updater

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel. nil without an error: it does not tell.
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
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		p = &peer{uid: cred.Uid, gids: []uint32{cred.Gid}}
		p.gids = append(p.gids, peerGroups(fd)...)
	}
	if cerr := raw.Control(ask); cerr != nil {
		return nil, cerr
	}
	return p, err
}

// peerGroups returns the supplementary groups; none before Linux 4.13.
func peerGroups(fd uintptr) []uint32 {
	for n := uint32(64); n <= 1<<16; { // 65,536 is as many as a process can have
		groups := make([]uint32, n)
		size := n * 4
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:min(size/4, n)]
		case errno != unix.ERANGE || size/4 <= n:
			return nil
		}
		n = size / 4
	}
	return nil
}
