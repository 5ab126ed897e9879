package restart

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// youngestSuccessor returns the process that parent has started last by tableflip, for those that never say hello; 0 if
// there is none.
func youngestSuccessor(parent int) (pid int) {
	var youngest uint64
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		p, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || parentOf(p) != parent {
			continue
		}
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), sentinel+"=yes") {
			continue
		}
		if began := startOf(p); began >= youngest {
			pid, youngest = p, began
		}
	}
	return pid
}

// upgradeLimit is after what time tableflip kills a successor that is not ready. The machine does that itself, knows which
// one may be in service at any moment, and finds its process; so this is for a system without /proc.
func upgradeLimit(longest time.Duration) time.Duration { return longest + time.Hour }

// isChild guards against a process that names another one's id. It needs no descriptor, of which none may be left.
func isChild(pid int) bool {
	return pid > 1 && unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil
}

func parentOf(pid int) int {
	n, _ := strconv.Atoi(stat(pid, 4))
	return n
}

// startOf returns when a process was started, in clock ticks since the system was.
func startOf(pid int) uint64 {
	n, _ := strconv.ParseUint(stat(pid, 22), 10, 64)
	return n
}

// stat returns a field of /proc/PID/stat, counted from 1 as in proc(5); 3 or more.
func stat(pid, field int) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	i := bytes.LastIndex(b, []byte(") ")) // the name before it may contain anything
	if i < 0 {
		return ""
	}
	if f := strings.Fields(string(b[i+2:])); field-3 < len(f) {
		return f[field-3]
	}
	return ""
}

// socketName is how /proc names the socket fd.
func socketName(fd int) string {
	var st syscall.Stat_t
	if syscall.Fstat(fd, &st) != nil {
		return ""
	}
	return "socket:[" + strconv.FormatUint(st.Ino, 10) + "]"
}
