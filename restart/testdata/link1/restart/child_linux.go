package restart

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// findSuccessor finds the process that holds the other half of l, before it has said hello: tableflip does not tell
// its process id. 0: not found.
func findSuccessor(l *link) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*/fd")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.Split(dir, "/")[2])
		if err != nil || pid == os.Getpid() || parentOf(pid) != os.Getpid() {
			continue
		}
		fds, _ := os.ReadDir(dir)
		for _, fd := range fds {
			if to, _ := os.Readlink(filepath.Join(dir, fd.Name())); l.peer != "" && to == l.peer {
				return pid
			}
		}
	}
	return 0
}

// isChild guards against a process that names another one's id.
func isChild(pid int) bool { return pid > 1 && parentOf(pid) == os.Getpid() }

func parentOf(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ") // a name may contain spaces, not ") " after it
	f := strings.Fields(rest)
	if len(f) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(f[1])
	return ppid
}

// socketName is how /proc names the socket fd.
func socketName(fd int) string {
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil {
		return ""
	}
	return "socket:[" + strconv.FormatUint(st.Ino, 10) + "]"
}
