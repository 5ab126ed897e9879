// Package testfault breaks a real program at every call it makes to the kernel on the files of one folder: it kills it
// there, or lets the call fail. It is for tests that claim "whatever happens, the files are whole".
//
// A point is a call and its occurrence, for example the second renameat. The program runs under ptrace, all its threads are
// watched, and occurrences are counted over all of them: tools that count for each thread by itself never reach the second
// call of a program whose two calls are made by two threads, and report success. Every kill is asserted to have happened at
// its point, before the call took effect; what lies behind the last point is the run without a fault. Children of the
// program are not watched.
package testfault

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Program is what is broken.
type Program struct {
	// Command makes a fresh situation and returns the program to run in it. Only calls that name or write files in
	// Command's Dir, or below it, are points. Its output is collected, whatever Stdout and Stderr are.
	Command func(tb testing.TB) *exec.Cmd
	// Calls are the system calls that count; nil: Changing.
	Calls []string
	// Always are calls that fail wherever they are made in Dir: a file system that lacks something. They are no points.
	Always map[string]syscall.Errno
	// Check judges what a run left behind. It is called after each, also after the one without a fault.
	Check func(tb testing.TB, run Run)
	// Loose allows for programs that do not make the same calls in each run (timing, network): the points then go on
	// until a run has ended by itself before its point twice.
	Loose bool
	// Every makes a sweep look at every n-th point only, for a short run. 0 and 1: at each.
	Every int
	// From makes a sweep begin at that point, so that several short ones look at different points; 0: at the first.
	From int
	// Last makes a sweep look at the last so many points only; 0: at all.
	Last int
}

// Run is one run of the program.
type Run struct {
	Point Point         // zero: no fault
	Errno syscall.Errno // what the call failed with; 0 if the program was killed there
	Cmd   *exec.Cmd     // as Command returned it
	State Ending
	Out   string // what it printed
	PID   int    // its process id, also that of the process group in which its children are
}

// Ending is how the program ended.
type Ending struct {
	Exit   int // -1 if a signal ended it
	Signal syscall.Signal
}

// Point is one call of the program.
type Point struct {
	Index int    // 1 is the first of all
	Call  string // its name
	Nth   int    // 1 is the first of this name
	Path  string // the file that it is about
}

func (p Point) String() string {
	if p.Index == 0 {
		return "no fault"
	}
	return fmt.Sprintf("point %d: %s, occurrence %d, %s", p.Index, p.Call, p.Nth, p.Path)
}

// Changing are the calls that change files or names, or make such a change durable: to be killed before any other call is
// to be killed before the next of these. "+create" counts only the opens that may make a file.
var Changing = []string{
	"open+create", "openat+create", "creat", "write", "writev", "pwrite64", "pwritev", "copy_file_range", "sendfile",
	"truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "sync_file_range",
	"rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir",
	"mkdir", "mkdirat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat",
	"setxattr", "fsetxattr", "lsetxattr", "removexattr", "fremovexattr", "utimensat",
}

// Everything are all calls that name a file or have one open, reading ones too: for errors, which any of them may give.
var Everything = append([]string{
	"open", "openat", "openat2", "close", "flock",
	"read", "readv", "pread64", "preadv", "stat", "fstat", "lstat", "newfstatat", "statx", "getdents64", "access",
	"faccessat", "faccessat2", "readlink", "readlinkat", "lseek", "ioctl", "fcntl", "statfs", "fstatfs",
	"getxattr", "fgetxattr", "listxattr", "flistxattr",
}, Changing[2:]...)

// Points runs the program without a fault and returns its points. It must end with exit code 0.
func (p Program) Points(tb testing.TB) []Point {
	tb.Helper()
	run, points := p.run(tb, 0, 0, false)
	if run.State != (Ending{}) {
		tb.Fatalf("without a fault the program ended with %+v:\n%s", run.State, run.Out)
	}
	if len(points) == 0 {
		tb.Fatalf("the program made none of the calls in %s", run.Cmd.Dir)
	}
	p.Check(tb, run)
	return points
}

// Once runs the program once, with the calls in Always failing and no other fault. It may end as it likes.
func (p Program) Once(tb testing.TB) {
	tb.Helper()
	run, _ := p.run(tb, 0, 0, false)
	p.Check(tb, run)
}

// Kill kills the program at every point, each time in a fresh situation, and returns how many points there were.
func (p Program) Kill(tb testing.TB) int {
	tb.Helper()
	return p.sweep(tb, 0, false)
}

// Fail lets the call at each point fail with errno, once, and returns how many points there were. The program may end as
// it likes; Check judges what it left and what it said.
func (p Program) Fail(tb testing.TB, errno syscall.Errno) int {
	tb.Helper()
	return p.sweep(tb, errno, false)
}

// FailFrom is Fail, but from the point on every call fails: a disk that dies there.
func (p Program) FailFrom(tb testing.TB, errno syscall.Errno) int {
	tb.Helper()
	return p.sweep(tb, errno, true)
}

func (p Program) sweep(tb testing.TB, errno syscall.Errno, on bool) (tried int) {
	tb.Helper()
	want := p.Points(tb)
	missed := 0
	defer func() { tb.Logf("%d of about %d points", tried, len(want)) }()
	first := max(1, p.From)
	if p.Last > 0 {
		first = max(1, len(want)-p.Last+1)
	}
	for i := first; ; {
		if p.Every > 1 && i > len(want) {
			return tried
		}
		if i > 10*len(want)+1000 {
			tb.Fatalf("no end: %d points without a fault, %d reached", len(want), i)
		}
		run, points := p.run(tb, i, errno, on)
		if run.Point.Index == 0 { // it ended before its point
			if i == len(want)+1 && !p.Loose {
				return tried
			}
			missed++
			if p.Loose && missed > 1 && i >= len(want)*3/4 {
				return tried
			}
			if !p.Loose || missed > 5 {
				tb.Fatalf("point %d was never reached; without a fault there are %d:\n%v\nnow there were %d:\n%v", i, len(want), want, len(points), points)
			}
			continue // the same again
		}
		if errno == 0 && run.State.Signal != syscall.SIGKILL {
			tb.Fatalf("%v: the program was not killed there: %+v\n%s", run.Point, run.State, run.Out)
		}
		p.Check(tb, run)
		tried++
		if tb.Failed() {
			tb.Logf("at %v; the program said:\n%s", run.Point, run.Out)
			return tried
		}
		i += max(p.Every, 1)
	}
}

// run runs the program once and breaks it at point i; 0: nowhere.
func (p Program) run(tb testing.TB, i int, errno syscall.Errno, on bool) (Run, []Point) {
	tb.Helper()
	cmd := p.Command(tb)
	if cmd.Dir == "" {
		tb.Fatal("the command has no Dir: which files are to be watched?")
	}
	out, err := os.CreateTemp("", "testfault")
	if err != nil {
		tb.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(cmd.Environ(), "GORACE=atexit_sleep_ms=0") // else a program with the race detector sleeps 1 s at its end
	calls := p.Calls
	if calls == nil {
		calls = Changing
	}
	run := Run{Errno: errno, Cmd: cmd}
	points, at, end, err := trace(cmd, calls, p.Always, i, errno, on, func(pid int) { run.PID = pid })
	if err != nil {
		skipOrFail(tb, err)
	}
	run.State = end
	if at > 0 {
		run.Point = points[at-1]
	}
	said, err := os.ReadFile(out.Name())
	if err != nil {
		tb.Fatal(err)
	}
	run.Out = string(said)
	return run, points
}
