//go:build linux && (amd64 || arm64)

package testfault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
)

// skipOrFail skips where the kernel or a container does not allow tracing.
func skipOrFail(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		testenv.Skip(tb, "ptrace", "run the tests where a process may trace its children (container: --cap-add SYS_PTRACE)")
	}
	tb.Fatal(err)
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h, for entry and exit.
type syscallInfo struct {
	Op   uint8
	_    [3]uint8
	Arch uint32
	_    [2]uint64 // instruction and stack pointer
	Nr   uint64    // at entry
	Args [6]uint64
}

const (
	ptraceGetSyscallInfo = 0x420e
	opEntry              = 1
	opExit               = 2
)

// trace runs cmd, watches the calls on files below cmd.Dir, and breaks point number breakAt: kills the process before the
// call, or, with an errno, lets the call return that instead of doing anything.
func trace(cmd *exec.Cmd, calls []string, always map[string]syscall.Errno, breakAt int, errno syscall.Errno, on bool, started func(pid int)) (points []Point, at int, end Ending, err error) {
	// Linux lets only the thread that started the tracee trace it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	dir, err := filepath.EvalSymlinks(cmd.Dir)
	if err != nil {
		return nil, 0, end, err
	}
	watched := map[uint64]call{}
	for _, name := range calls {
		name, create := strings.CutSuffix(name, "+create")
		if c, ok := table[name]; ok {
			c.name, c.create = name, create
			watched[c.number] = c
		}
	}
	for name, errno := range always {
		if c, ok := table[name]; ok {
			c.name, c.always = name, errno
			watched[c.number] = c
		}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true
	cmd.SysProcAttr.Setpgid = true // its threads are waited for by this group, not the other children of this thread
	if err := cmd.Start(); err != nil {
		return nil, 0, end, err
	}
	pid := cmd.Process.Pid
	started(pid)
	defer cmd.Process.Release()
	alive := true
	defer func() {
		if alive { // an error of the tracer itself
			syscall.Kill(pid, syscall.SIGKILL)
			syscall.Wait4(pid, nil, syscall.WALL, nil)
		}
	}()

	var status syscall.WaitStatus
	if _, err := wait(pid, &status); err != nil {
		return nil, 0, end, err
	}
	const options = syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(pid, options); err != nil {
		return nil, 0, end, fmt.Errorf("tracing: %w", err)
	}
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		return nil, 0, end, fmt.Errorf("tracing: %w", err)
	}

	seen := map[string]int{}
	failing := map[int]syscall.Errno{} // threads whose call is to fail when it returns
	for {
		tid, err := wait(-pid, &status)
		if err != nil {
			return points, at, end, fmt.Errorf("waiting: %w", err)
		}
		if status.Exited() || status.Signaled() {
			if tid != pid {
				continue // a thread
			}
			alive = false
			if status.Signaled() {
				return points, at, Ending{-1, status.Signal()}, nil
			}
			return points, at, Ending{Exit: status.ExitStatus()}, nil
		}
		deliver := 0
		switch sig := status.StopSignal(); {
		case sig == syscall.SIGTRAP|0x80:
			var info syscallInfo
			_, _, e := syscall.Syscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
			if e != 0 && e != syscall.ESRCH {
				return points, at, end, fmt.Errorf("reading a call: %w", e)
			}
			switch c, ok := watched[info.Nr]; {
			case e != 0:
			case info.Op == opExit && failing[tid] != 0:
				if err := setResult(tid, failing[tid]); err != nil {
					return points, at, end, err
				}
				delete(failing, tid)
			case info.Op == opEntry && ok:
				path, about := c.about(tid, dir, &info)
				again := on && at > 0
				if !about {
					break
				}
				if c.always != 0 {
					if c.name == "close" { // see below
					} else if err := skipCall(tid); err != nil {
						return points, at, end, err
					}
					failing[tid] = c.always
					break
				}
				seen[c.name]++
				points = append(points, Point{len(points) + 1, c.name, seen[c.name], path})
				if len(points) != breakAt && !again {
					break
				}
				if at == 0 {
					at = len(points)
				}
				if errno == 0 {
					// A process that dies at the entry of a call does not make it.
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						return points, at, end, err
					}
					continue
				}
				if c.name == "close" {
					// A close that fails has closed all the same (close(2)).
				} else if err := skipCall(tid); err != nil {
					return points, at, end, err
				}
				failing[tid] = errno
			}
		case sig == syscall.SIGTRAP && status.TrapCause() > 0: // a thread began, a program was executed
		case sig == syscall.SIGSTOP && tid != pid: // the first stop of a new thread
		default:
			deliver = int(sig)
		}
		if err := syscall.PtraceSyscall(tid, deliver); err != nil && err != syscall.ESRCH {
			return points, at, end, fmt.Errorf("going on: %w", err)
		}
	}
}

// wait waits for what this thread traces.
func wait(pid int, status *syscall.WaitStatus) (int, error) {
	const ofThisThread = 0x20000000 // __WNOTHREAD
	for {
		tid, err := syscall.Wait4(pid, status, syscall.WALL|ofThisThread, nil)
		if err != syscall.EINTR {
			return tid, err
		}
	}
}

// call says where a system call has its file: in which arguments a path (after the descriptor of its folder, for the …at
// calls), in which a descriptor.
type call struct {
	name   string
	number uint64
	paths  []int         // argument indexes of path strings
	at     bool          // the argument before each path is the descriptor of a folder
	fd     int           // argument index of a descriptor, -1: none
	always syscall.Errno // what it fails with everywhere
	create bool          // only if the flags, the argument after the path, say that a file may be made
}

// about returns the file that the call is about, relative to dir, and whether it is below dir.
func (c call) about(tid int, dir string, info *syscallInfo) (string, bool) {
	var all []string
	if c.create && info.Args[c.paths[0]+1]&unix.O_CREAT == 0 {
		return "", false
	}
	for _, i := range c.paths {
		p := readString(tid, info.Args[i])
		if !filepath.IsAbs(p) {
			base := fmt.Sprintf("/proc/%d/cwd", tid)
			if c.at && int32(info.Args[i-1]) != unix.AT_FDCWD {
				base = fmt.Sprintf("/proc/%d/fd/%d", tid, int32(info.Args[i-1]))
			}
			if base, err := os.Readlink(base); err == nil {
				p = filepath.Join(base, p)
			}
		}
		all = append(all, filepath.Clean(p))
	}
	if c.fd >= 0 {
		if p, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(info.Args[c.fd]))); err == nil {
			all = append(all, strings.TrimSuffix(p, " (deleted)"))
		}
	}
	below := false
	for i, p := range all {
		if rel, ok := strings.CutPrefix(p, dir); ok && (rel == "" || rel[0] == '/') {
			below = true
			all[i] = "." + rel
		}
	}
	return strings.Join(all, " -> "), below
}

func readString(tid int, addr uint64) string {
	var all []byte
	for len(all) < unix.PathMax { // page by page: behind a string there may be nothing
		b := make([]byte, os.Getpagesize()-int(addr)%os.Getpagesize())
		// Not PTRACE_PEEKDATA, which reads eight bytes.
		n, _ := unix.ProcessVMReadv(tid, []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}, 0)
		s, _, ended := bytes.Cut(b[:max(n, 0)], []byte{0})
		all = append(all, s...)
		if ended || n < len(b) {
			break
		}
		addr += uint64(n)
	}
	return string(all)
}
