package anchor

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// sentinel is how tableflip tells a process that it is a successor.
const sentinel = "TABLEFLIP_HAS_PARENT_7DIU3=yes"

const prSetChildSubreaper = 36

// adopt makes this process the parent of all processes of the service whose own parent has ended.
func adopt() { syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0) }

// hold blocks all signals, for this process and for the program that it executes next, which unblocks what it asks for by
// signal.Notify. A program that is linked with cgo has threads of which the runtime knows nothing; there a signal that
// comes in the same instant may be lost.
func hold() {
	runtime.LockOSThread()
	mask := ^uint64(0)
	block(mask)
	syscall.AllThreadsSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&mask)), 0, unsafe.Sizeof(mask), 0, 0)
}

// release gives s its default action, and lets it through.
func release(s syscall.Signal) {
	runtime.LockOSThread()
	var action [4]uint64 // SIG_DFL, no flags, no mask
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	block(0)
}

const setMask = 2 // SIG_SETMASK

// block replaces the signal mask of this thread.
func block(mask uint64) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&mask)), 0, unsafe.Sizeof(mask), 0, 0)
}

// self returns a name of what runs: its own, so that it is known by it, if that still names it.
func self(path string) string {
	running, err := os.Stat("/proc/self/exe")
	named, nerr := os.Stat(path)
	if err == nil && (nerr != nil || !os.SameFile(running, named)) {
		return "/proc/self/exe"
	}
	return path
}

// isChild reports whether pid is a child of this process.
func isChild(pid int) bool { return field(pid, 4) == uint64(os.Getpid()) }

// youngest returns the child that was started last as a successor; 0 if there is none.
func youngest() (pid int) {
	b, _ := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	var began uint64
	for _, name := range bytes.Fields(b) {
		p, _ := strconv.Atoi(string(name))
		env, err := os.ReadFile("/proc/" + string(name) + "/environ")
		if err != nil || !bytes.Contains(env, []byte(sentinel)) {
			continue
		}
		if start := field(p, 22); start >= began {
			pid, began = p, start
		}
	}
	return pid
}

// field returns a numeric field of /proc/PID/stat, counted from 1 as in proc(5), 4 or more.
func field(pid, n int) uint64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	b = b[bytes.LastIndexByte(b, ')')+1:] // the name before it may contain anything
	if f := bytes.Fields(b); n-3 < len(f) {
		v, _ := strconv.ParseUint(string(f[n-3]), 10, 64)
		return v
	}
	return 0
}

// shrink lets go of the pages of the program's file. They are shared with the processes of the service only until an
// update replaces the file. What is needed again comes back from the page cache; what a loader has changed in memory would
// not, so a part of the file with such pages is left alone.
func shrink() {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var parts [64][2]uintptr // that may go
	n, open := 0, false      // open: the last of them is being described
	lines := bufio.NewScanner(f)
	for lines.Scan() && n < len(parts) {
		line := lines.Bytes()
		if label, value, ok := bytes.Cut(line, []byte(":")); ok && len(label) > 0 && label[0] >= 'A' && label[0] <= 'Z' {
			if open && string(label) == "Anonymous" {
				if string(bytes.TrimSpace(value)) == "0 kB" {
					n++
				}
				open = false
			}
			continue
		}
		w := bytes.Fields(line) // the line that begins a part
		if open = len(w) >= 6 && w[5][0] == '/' && w[1][0] == 'r' && w[1][1] == '-'; open {
			from, to, _ := bytes.Cut(w[0], []byte("-"))
			first, err := strconv.ParseUint(string(from), 16, 64)
			last, lerr := strconv.ParseUint(string(to), 16, 64)
			parts[n] = [2]uintptr{uintptr(first), uintptr(last - first)}
			open = err == nil && lerr == nil
		}
	}
	for _, part := range parts[:n] {
		syscall.RawSyscall(syscall.SYS_MADVISE, part[0], part[1], syscall.MADV_DONTNEED)
	}
}
