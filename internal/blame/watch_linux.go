package blame

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OOMKills is how many processes of our cgroup the kernel has killed for want of memory; 0 if it does not tell.
func OOMKills() (n int64) {
	b, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		// hierarchy:controllers:path; the hierarchy of version 2 has no controllers.
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", "memory.events"
		if f[1] != "" {
			if f[1] != "memory" {
				continue
			}
			root, file = "/sys/fs/cgroup/memory", "memory.oom_control"
		}
		for _, path := range []string{filepath.Join(root, f[2], file), filepath.Join(root, file)} {
			if events, err := os.ReadFile(path); err == nil {
				n += field(events, "oom_kill ")
				break
			}
		}
	}
	return n
}

func field(b []byte, name string) int64 {
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// A Watch measures how much processor time another process got since it was begun, and how long it waited for some.
type Watch struct {
	pid         int
	began       time.Time
	ran, waited time.Duration
}

// NewWatch begins a watch.
func NewWatch(pid int) Watch {
	w := Watch{pid: pid, began: time.Now()}
	w.ran, w.waited, _ = processorTime(pid)
	return w
}

// WatchFrom is a watch that began when the process did.
func WatchFrom(pid int, born time.Time) Watch { return Watch{pid: pid, began: born} }

// Silent judges a process that is alive, and has not done in time what was asked of it: whoever stands still is
// stopped, whoever waited for a processor and got less than a tenth of one is starved, and neither is its own fault.
// why is for a sentence.
func (w Watch) Silent() (f Fault, why string) {
	if w.pid == 0 {
		return Release, ""
	}
	state := stateOf("/proc/" + strconv.Itoa(w.pid) + "/stat")
	if state == 'T' || state == 't' {
		return Unknown, "it is stopped (SIGSTOP, or a debugger)"
	}
	ran, waited, ok := processorTime(w.pid)
	if !ok {
		return Release, ""
	}
	passed := time.Since(w.began)
	ran, waited = ran-w.ran, waited-w.waited
	// The kernel adds a wait up when it ends, so whoever waits still is recognized by that.
	if ran < passed/10 && (waited >= passed/4 || ready(w.pid)) {
		return Machine, "it got " + ran.Round(time.Millisecond).String() + " of processor time in " + passed.Round(time.Millisecond).String() + " and waited for more"
	}
	return Release, ""
}

// processorTime sums up over the threads of a process what they ran, and what they were ready and had to wait.
func processorTime(pid int) (ran, waited time.Duration, ok bool) {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
	for _, file := range files {
		b, err := os.ReadFile(file)
		f := bytes.Fields(b)
		if err != nil || len(f) < 2 {
			continue
		}
		r, _ := strconv.ParseInt(string(f[0]), 10, 64)
		w, _ := strconv.ParseInt(string(f[1]), 10, 64)
		ran, waited, ok = ran+time.Duration(r), waited+time.Duration(w), true
	}
	return ran, waited, ok
}

// ready reports whether a thread of a process runs, or waits for a processor.
func ready(pid int) bool {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
	return slices.ContainsFunc(files, func(file string) bool { return stateOf(file) == 'R' })
}

// stateOf returns the letter of proc(5) for the state of a process or thread; 0 if it is gone.
func stateOf(file string) byte {
	b, _ := os.ReadFile(file)
	i := bytes.LastIndex(b, []byte(") ")) // the name before it may contain anything
	if i < 0 || i+2 >= len(b) {
		return 0
	}
	return b[i+2]
}
