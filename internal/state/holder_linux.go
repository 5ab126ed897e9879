package state

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// holder returns the id of the process that holds the lock on f, as the kernel lists it in /proc/locks (proc_locks(5)):
//
//	12: FLOCK  ADVISORY  WRITE 4711 fd:01:1234 0 EOF
//
// The number is for people; 0 where it is not known: no /proc, a process of another namespace, or two files whose numbers
// are alike, since the device of some file systems (btrfs, overlay) is not the one that stat tells.
func holder(f *os.File) (pid int) {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	list, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer list.Close()
	inode := fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
	for lines := bufio.NewScanner(list); lines.Scan(); {
		w := strings.Fields(lines.Text())
		if len(w) < 6 || w[1] != "FLOCK" || !strings.HasSuffix(w[5], ":"+inode) {
			continue
		}
		id, err := strconv.Atoi(w[4])
		if err != nil || id <= 0 || pid != 0 && pid != id {
			return 0
		}
		pid = id
	}
	return pid
}
