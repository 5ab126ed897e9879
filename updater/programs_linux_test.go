package updater

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// build runs go build, or another compiler, and returns what it has made.
func build(tb testing.TB, dir string, env []string, command ...string) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "tool")
	cmd := exec.Command(command[0], command[1:]...)
	for i, arg := range cmd.Args {
		cmd.Args[i] = strings.ReplaceAll(arg, "OUT", out)
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, said)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

var habits = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(os.TempDir(), "theseus-habits-"+strconv.Itoa(os.Getpid()))
	defer os.Remove(out)
	said, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, "./testdata/habits").CombinedOutput()
	if err != nil {
		return nil, errors.New(string(said))
	}
	return os.ReadFile(out)
})

// with is a real program with a habit.
func with(tb testing.TB, habit, version string) []byte {
	tb.Helper()
	b, err := habits()
	if err != nil {
		tb.Fatal(err)
	}
	return append(bytes.Clone(b), "\n#"+habit+" "+version...)
}

// kind is a kind of program.
type kind struct {
	name   string
	long   bool // it takes a build of its own; the others are static, as Go builds them
	make   func(tb testing.TB, version string) []byte
	beside func(tb testing.TB, dir string) // what it needs beside it
}

func kinds() []kind {
	stamped := func(command ...string) func(testing.TB, string) []byte {
		return func(tb testing.TB, version string) []byte {
			args := append([]string{"go", "build", "-trimpath", "-buildvcs=false", "-o", "OUT"}, command...)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "VERSION", version)
			}
			return build(tb, "testdata/programs", []string{"GOWORK=off"}, args...)
		}
	}
	var all []kind
	for _, habit := range []string{"quiet", "multicall", "beside", "noisy", "packed", "slow"} {
		k := kind{name: habit, make: func(tb testing.TB, version string) []byte { return with(tb, habit, version) }}
		if habit == "beside" {
			k.beside = func(tb testing.TB, dir string) { putFile(tb, filepath.Join(dir, "tool.toml"), "") }
		}
		all = append(all, k)
	}
	return append(all,
		kind{name: "script", make: func(_ testing.TB, version string) []byte {
			return []byte("#!/bin/sh\n. \"$(dirname \"$0\")/tool.rc\" && echo \"tool $VERSION " + version + "\"\n")
		}, beside: func(tb testing.TB, dir string) { putFile(tb, filepath.Join(dir, "tool.rc"), "VERSION=version\n") }},
		kind{name: "library by $ORIGIN", long: true, make: func(tb testing.TB, version string) []byte {
			return build(tb, "testdata", nil, "gcc", "-o", "OUT", "-DVERSION=\""+version+"\"", "origin.c", "-DPROGRAM", "-L"+library(tb), "-l:libnoise.so", "-Wl,-rpath,$ORIGIN/lib")
		}, beside: func(tb testing.TB, dir string) {
			b, err := os.ReadFile(filepath.Join(library(tb), "libnoise.so"))
			if err == nil {
				err = os.Mkdir(filepath.Join(dir, "lib"), 0o755)
			}
			if err != nil {
				tb.Fatal(err)
			}
			putFile(tb, filepath.Join(dir, "lib", "libnoise.so"), string(b))
		}},
		kind{name: "position independent", long: true, make: func(tb testing.TB, version string) []byte {
			return append(build(tb, ".", nil, "go", "build", "-trimpath", "-buildvcs=false", "-o", "OUT", "-buildmode=pie", "./testdata/habits"), "\n#multicall "+version...)
		}},
		kind{name: "cobra", long: true, make: stamped("-ldflags=-X main.version=VERSION", "./cobra")},
		kind{name: "urfave", long: true, make: stamped("-ldflags=-X main.version=VERSION", "./urfave")},
	)
}

var libraries sync.Map

// library is a folder with a shared library in it.
func library(tb testing.TB) string {
	tb.Helper()
	testenv.Need(tb, "gcc")
	if dir, ok := libraries.Load(tb.Name()); ok {
		return dir.(string)
	}
	dir := tb.TempDir()
	b := build(tb, "testdata", nil, "gcc", "-shared", "-fPIC", "-o", "OUT", "origin.c")
	putFile(tb, filepath.Join(dir, "libnoise.so"), string(b))
	libraries.Store(tb.Name(), dir)
	return dir
}

func putFile(tb testing.TB, path, content string) {
	tb.Helper()
	if err := testenv.WriteProgram(path, []byte(content)); err != nil {
		tb.Fatal(err)
	}
}

// withoutMounts takes from this goroutine's thread, which is used for nothing afterwards, the right to make mounts.
func withoutMounts(tb testing.TB) {
	tb.Helper()
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	err := unix.Capget(&header, &caps[0])
	if err == nil {
		caps[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
		err = unix.Capset(&header, &caps[0])
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// installed puts a program at DIR/tool, with what it needs beside it.
func (k kind) installed(t *testing.T, repo *testrelease.Repo) *client {
	t.Helper()
	dir := t.TempDir()
	if k.beside != nil {
		k.beside(t, dir)
	}
	path := filepath.Join(dir, "tool")
	putFile(t, path, string(k.make(t, "1.0.0")))
	return again(t, repo, path, "1.0.0")
}

// The probe runs a program as it will run: it finds what is beside it, is called by its name, and is believed to be the
// version that it says it is. That holds where the program can be shown in its place, and where it lies beside it.
func TestProbePrograms(t *testing.T) {
	for _, k := range kinds() {
		if k.long && testenv.Asked() < testenv.Long {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			repo := testrelease.New(t)
			good, wrong := k.make(t, "1.1.0"), k.make(t, "1.1.9")
			repo.Publish("1.1.0", good, testrelease.Zstd())
			for _, place := range []string{"in its place", "beside it"} {
				t.Run(place, func(t *testing.T) {
					if place == "beside it" {
						withoutMounts(t)
					}
					c := k.installed(t, repo)
					before := len(c.beside())
					if _, err := c.update(); err != nil {
						t.Fatal(err)
					}
					if b, err := os.ReadFile(c.path); err != nil || !bytes.Equal(b, good) {
						t.Errorf("it is not at the path (%v)", err)
					}
					if len(c.beside()) != before {
						t.Errorf("left behind: %v", c.beside())
					}
				})
			}
			repo.Publish("1.2.0", wrong, testrelease.Zstd())
			for _, place := range []string{"in its place", "beside it"} {
				t.Run("another version "+place, func(t *testing.T) {
					if place == "beside it" {
						withoutMounts(t)
					}
					c := k.installed(t, repo)
					if _, err := c.update(); !errors.Is(err, ErrUndone) || !strings.Contains(err.Error(), "says that it is version 1.1.9") {
						t.Errorf("%v", err)
					}
				})
			}
		})
	}
}

// Where the program cannot be shown in its place, the name of its file is another one. A program that goes by that, and not
// by the name it is called by, needs Options.Probe there.
func TestProbeByTheNameOfTheFile(t *testing.T) {
	k := kind{make: func(tb testing.TB, version string) []byte { return with(tb, "name", version) }}
	repo := testrelease.New(t)
	repo.Publish("1.1.0", k.make(t, "1.1.0"), testrelease.Zstd())
	if os.Geteuid() == 0 {
		if _, err := k.installed(t, repo).update(); err != nil {
			t.Error(err)
		}
	}
	withoutMounts(t)
	if _, err := k.installed(t, repo).update(); !errors.Is(err, ErrUndone) {
		t.Errorf("the limit that is documented is none: %v", err)
	}
}

// Options.Probe is given a file beside the program, which can be run, and which is gone when it returns.
func TestProbeOfOnesOwn(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.1.0", with(t, "beside", "1.1.0"), testrelease.Zstd())
	c := kind{make: func(tb testing.TB, version string) []byte { return with(tb, "beside", version) },
		beside: func(tb testing.TB, dir string) { putFile(tb, filepath.Join(dir, "tool.toml"), "") }}.installed(t, repo)
	var asked string
	c.opts.Probe = func(ctx context.Context, file, version string) error {
		asked = file
		out, err := exec.CommandContext(ctx, file).Output()
		if string(out) != "tool "+version+"\n" {
			t.Errorf("%q, %v", out, err)
		}
		return err
	}
	if _, err := c.update(); err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(asked) != filepath.Dir(c.path) {
		t.Errorf("it was given %s", asked)
	}
	if _, err := os.Stat(asked); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
}

// What a file lacks to be run is named.
func TestProbeNamesWhatIsMissing(t *testing.T) {
	elf := with(t, "quiet", "1.1.0")
	machine := bytes.Clone(elf)
	machine[18], machine[19] = 0x16, 0 // s390
	for name, row := range map[string]struct {
		file []byte
		says string
	}{
		"interpreter": {[]byte("#!/opt/missing/bash -e\n"), "it needs the interpreter /opt/missing/bash -e, which is not on this machine"},
		"machine":     {machine, "it is built for s390x, this machine is " + runtime.GOARCH},
		"no program":  {[]byte("\x00\x01 nothing"), "it is no program that this system runs"},
		"shortage":    {with(t, "shortage", "1.1.0"), "its probe could not decide"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrelease.New(t)
			repo.Publish("1.1.0", row.file)
			_, err := kind{make: func(tb testing.TB, version string) []byte { return with(tb, "quiet", version) }}.installed(t, repo).update()
			if !errors.Is(err, ErrUndone) || name != "shortage" && !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v", err)
			}
			if shortage := name == "shortage"; shortage != (err != nil && strings.Contains(err.Error(), "tried again later") && describe(time.Now(), "", err).Blame == BlameMachine) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Bytes that are no program, or half of one, are no reason to fail otherwise.
func FuzzMissing(f *testing.F) {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(exe[:4096])
	f.Add([]byte("\x7fELF\x02\x01"))
	f.Fuzz(func(_ *testing.T, head []byte) {
		loader(head)
		machineOf(head)
	})
}

// The system names the library that is missing, and not the loader.
func TestProbeNamesLibraries(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long)
	libs := library(t)
	needs := []string{"gcc", "-o", "OUT", "-DVERSION=\"1.1.0\"", "-DPROGRAM", "origin.c", "-L" + libs, "-l:libnoise.so"}
	for says, file := range map[string][]byte{
		"libnoise.so": build(t, "testdata", nil, needs...),
		"it needs the loader /lib/ld-of-another-libc.so.1, which is not on this machine": build(t, "testdata", nil,
			append(needs, "-Wl,--dynamic-linker,/lib/ld-of-another-libc.so.1")...),
	} {
		repo := testrelease.New(t)
		repo.Publish("1.1.0", file)
		if _, err := install(t, repo, "1.0.0").update(); !errors.Is(err, ErrUndone) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %s", err, says)
		}
	}
}

// A service whose system calls are filtered is not ended by a probe that makes mounts. A filter holds for a whole process,
// so it is another one.
func TestF41ProbeUnderAFilter(t *testing.T) {
	const filtered = "THESEUS_TEST_FILTERED"
	if os.Getenv(filtered) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestF41ProbeUnderAFilter$", "-test.v")
		cmd.Env = append(os.Environ(), filtered+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte(testenv.Marker)) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	repo := testrelease.New(t)
	repo.Publish("1.1.0", program("1.1.0"))
	c := install(t, repo, "1.0.0")
	deadly := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the number of the call
	for _, call := range []uint32{unix.SYS_UNSHARE, unix.SYS_MOUNT} {
		deadly = append(deadly,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS})
	}
	deadly = append(deadly, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	filter := unix.SockFprog{Len: uint16(len(deadly)), Filter: &deadly[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter))); errno != 0 {
		testenv.Skip(t, "seccomp", "run the tests where a process may filter its system calls")
	}
	c.mustUpdate("1.1.0")
}
