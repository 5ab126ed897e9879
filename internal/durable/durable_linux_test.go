package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
)

// traces are what the comments in durable.go say, with DIR for the folder and RANDOM for what Unique adds. Change them
// together, and only with a reason why a power cut still finds the old state or the new one.
var traces = map[string][]string{
	"Create": {
		"openat(DIR/prefix.RANDOM, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)",
	},
	"Make": {
		"openat(DIR/made, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)",
		"fchmod(DIR/made, 0600)",
	},
	"WriteFile": {
		"openat(DIR/file.RANDOM, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)",
		"write(DIR/file.RANDOM)",
		"fchmod(DIR/file.RANDOM, 0644)",
		"fsync(DIR/file.RANDOM)",
		"close(DIR/file.RANDOM)",
		"renameat(DIR/file.RANDOM, DIR/file)",
		"openat(DIR/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fsync(DIR)", "close(DIR)",
	},
	"Rename": {
		"renameat(DIR/file, DIR/other)",
		"openat(DIR/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fsync(DIR)", "close(DIR)",
	},
	"RenameAcross": {
		"openat(DIR/folder, O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_PATH|O_DIRECTORY)",
		"renameat(DIR/file, DIR/folder/file)",
		"openat(DIR/folder/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fsync(DIR/folder)", "close(DIR/folder)",
		"openat(DIR/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fsync(DIR)", "close(DIR)",
	},
	"Link": {
		"linkat(DIR/file, DIR/other.RANDOM)",
		"renameat(DIR/other.RANDOM, DIR/other)",
		"unlinkat(DIR/other.RANDOM) ENOENT",
		"openat(DIR/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fsync(DIR)", "close(DIR)",
	},
	"Mkdir": {
		"mkdirat(DIR/made, 0755)",
		"openat(DIR/made, O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_PATH|O_DIRECTORY)",
		"openat(DIR/made/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fchmod(DIR/made, 0755)", "fsync(DIR/made)", "close(DIR/made)",
		"openat(DIR/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fsync(DIR)", "close(DIR)",
	},
	"Sync": {"openat(DIR/., O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)", "fsync(DIR)", "close(DIR)"},
}

func TestTraces(t *testing.T) {
	testenv.Need(t, "strace")
	for do, want := range traces {
		t.Run(do, func(t *testing.T) {
			got := strace(t, do)
			if !slices.Equal(got, want) {
				t.Errorf("made\n  %s\nshould make\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
	for do := range traced {
		if traces[do] == nil {
			t.Errorf("%s has no trace", do)
		}
	}
}

func situation(tb testing.TB) string {
	tb.Helper()
	dir, err := filepath.EvalSymlinks(tb.TempDir())
	must(tb, err)
	must(tb, os.WriteFile(filepath.Join(dir, "file"), []byte("old"), 0o644))
	must(tb, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	return dir
}

var (
	call   = regexp.MustCompile(`^(\w+)\((.*)\) += (-1 E\w+|\d+)`)
	random = regexp.MustCompile(`\.[0-9a-f]{16}\.tmp`)
	opened = regexp.MustCompile(`\d+<([^>]*)>`)
	quoted = regexp.MustCompile(`"([^"]*)"`)
)

// strace runs one of the traced functions and returns its calls on the folder, brought to the form of the documentation.
func strace(t *testing.T, do string) (calls []string) {
	dir := situation(t)
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command("strace", "-y", "-s", "4096", "-o", log,
		"-e", "trace=%file,%desc", os.Args[0], dir)
	cmd.Env = append(os.Environ(), "THESEUS_DURABLE="+do)
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			testenv.Skip(t, "strace that may trace", "run the tests where a process may trace its children")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(log)
	must(t, err)
	for line := range strings.Lines(string(b)) {
		m := call.FindStringSubmatch(line)
		if m == nil || !strings.Contains(m[2], dir) || strings.Contains(m[2], os.Args[0]) {
			continue
		}
		switch m[1] { // what the runtime does with every file that it opens; and root asks for owners where others do not
		case "fcntl", "epoll_ctl", "execve", "readlinkat", "fstat":
			continue
		}
		calls = append(calls, normal(m[1], m[2], m[3], dir))
	}
	const opening = "openat(DIR, O_RDONLY|O_CLOEXEC|O_PATH|O_DIRECTORY)"
	if len(calls) == 0 || calls[0] != opening {
		t.Fatalf("made %q: the first should be %s", calls, opening)
	}
	return calls[1:]
}

func normal(name, args, result, dir string) string {
	args = strings.ReplaceAll(args, dir, "DIR")
	args = random.ReplaceAllString(args, ".RANDOM")
	args = regexp.MustCompile(`AT_FDCWD(<[^>]*>)?, `).ReplaceAllString(args, "")
	if strings.HasSuffix(name, "at") {
		args = regexp.MustCompile(`\d+<([^>]*)>, "([^"]*)"`).ReplaceAllString(args, `"$1/$2"`) // a name in a folder that is open
	}
	fields := strings.Split(args, ", ")
	var path []string
	for _, f := range fields {
		if m := quoted.FindStringSubmatch(f); m != nil {
			path = append(path, m[1])
		} else if m := opened.FindStringSubmatch(f); m != nil && strings.HasPrefix(m[1], "DIR") {
			path = append(path, m[1])
		}
	}
	switch name {
	case "openat", "fchmod", "mkdirat":
		path = append(path, fields[1:]...)
	case "write":
		path = path[:1]
	}
	s := name + "(" + strings.Join(path, ", ") + ")"
	if _, errno, ok := strings.Cut(result, "-1 "); ok {
		s += " " + errno
	}
	return s
}

func TestModeWhateverTheUmask(t *testing.T) {
	dir := t.TempDir()
	old := syscall.Umask(0o777)
	err := errors.Join(mkdir(filepath.Join(dir, "made"), 0o755), durable.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	syscall.Umask(old)
	must(t, err)
	for name, want := range map[string]fs.FileMode{"made": 0o755 | fs.ModeDir, "file": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}

func TestRootGivesToTheOwnerOfTheFolder(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	must(t, os.Chown(dir, 65534, 100))
	must(t, os.Mkdir(filepath.Join(dir, "there"), 0o700))
	must(t, errors.Join(mkdir(filepath.Join(dir, "made"), 0o755), mkdir(filepath.Join(dir, "there"), 0o755)))
	must(t, durable.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	for name, want := range map[string][2]uint32{"file": {65534, 100}, "made": {0, 0}, "there": {0, 0}} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if s := info.Sys().(*syscall.Stat_t); s.Uid != want[0] || s.Gid != want[1] {
			t.Errorf("%s belongs to %d:%d", name, s.Uid, s.Gid)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "there")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a folder that was there has the mode %v, %v", info.Mode(), err)
	}
}

// Killed or failed at any call, WriteFile leaves the old file or the new one, and Link the old name or the new one.
func TestBrokenEverywhere(t *testing.T) {
	for _, do := range []string{"WriteFile", "Link", "Rename"} {
		var dir string
		p := testfault.Program{
			Command: func(tb testing.TB) *exec.Cmd {
				dir = situation(tb)
				cmd := exec.Command(os.Args[0], dir)
				cmd.Env = append(os.Environ(), "THESEUS_DURABLE="+do)
				cmd.Dir = dir
				return cmd
			},
			Check: func(tb testing.TB, r testfault.Run) {
				file, err := os.ReadFile(filepath.Join(dir, "file"))
				other, oerr := os.ReadFile(filepath.Join(dir, "other"))
				old := err == nil && string(file) == "old"
				switch do {
				case "WriteFile":
					if !old && string(file) != "new" {
						tb.Errorf("%q, %v", file, err)
					}
				case "Link":
					if !old || oerr == nil && string(other) != "old" {
						tb.Errorf("%q, %v and %q, %v", file, err, other, oerr)
					}
				case "Rename":
					if old == (oerr == nil) {
						tb.Errorf("%q, %v and %q, %v", file, err, other, oerr)
					}
				}
				failed := r.Errno != 0 && r.Point.Call != "unlinkat"
				if failed && r.State.Exit == 0 {
					tb.Errorf("%v failed, and it said nothing", r.Point)
				}
				// A failed write takes its temporary file with it; a kill cannot.
				if failed && r.Point.Call != "renameat" && do == "WriteFile" && len(names(tb, dir)) != 2 {
					tb.Errorf("left %v", names(tb, dir))
				}
			},
		}
		p.Kill(t)
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
			p.Fail(t, errno)
		}
	}
}

// A signal that interrupts a call is no error.
func TestInterrupted(t *testing.T) {
	var dir string
	testfault.Program{
		Calls: []string{"openat+create", "write", "fsync", "renameat", "linkat", "fchmod"},
		Command: func(tb testing.TB) *exec.Cmd {
			dir = situation(tb)
			cmd := exec.Command(os.Args[0], dir)
			cmd.Env = append(os.Environ(), "THESEUS_DURABLE=WriteFile")
			cmd.Dir = dir
			return cmd
		},
		Check: func(tb testing.TB, r testfault.Run) {
			if got, _ := os.ReadFile(filepath.Join(dir, "file")); r.State != (testfault.Ending{}) || string(got) != "new" {
				tb.Errorf("%v: %+v %s", r.Point, r.State, r.Out)
			}
		},
	}.Fail(t, syscall.EINTR)
}
