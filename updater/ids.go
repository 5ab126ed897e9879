package updater

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// A peer is the process at the other end of a unix socket when it connected, as the kernel tells it. No process id is taken:
// by the time it is used it can be another process's.
type peer struct {
	uid  uint32
	gids []uint32 // the effective one first
}

// overflow returns the id that stands for every id which has none in this user namespace.
func overflow(kind string) uint32 {
	b, err := os.ReadFile("/proc/sys/kernel/overflow" + kind)
	if err == nil && len(b) > 0 {
		if n, err := strconv.ParseUint(string(b[:len(b)-1]), 10, 32); err == nil {
			return uint32(n)
		}
	}
	return 65534
}

// groupID returns the number of a group that is given by name or number.
func groupID(group string) (uint32, error) {
	if n, err := strconv.ParseUint(group, 10, 32); err == nil {
		return uint32(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this machine", group)
	}
	n, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(n), err
}
