package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
)

// Where the program cannot find its own file it serves on without updates, and says so.
func TestOffWithoutProc(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.Need(t, "unshare", "mount")
	i, repo := offered(t)
	hello := filepath.Join(i.side, "hello")
	b, err := os.ReadFile(i.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := testenv.WriteProgram(hello, b); err != nil {
		t.Fatal(err)
	}
	i.path = filepath.Join(i.side, "without-proc")
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c 'mount -t tmpfs none /proc && exec %q \"$@\"' sh \"$@\"\n", hello)
	if err := testenv.WriteProgram(i.path, []byte(script)); err != nil {
		t.Fatal(err)
	}
	if r := i.selfUpdate(repo); r.code != 1 || !strings.Contains(r.errout, "updates are off") || !strings.Contains(r.errout, "/proc") {
		t.Errorf("%v", r)
	}
	if r := i.selfUpdate(repo, "--doctor"); r.code != 1 || !strings.Contains(r.out, "PROBLEM  updates are off") {
		t.Errorf("%v", r)
	}
	s := i.start(append(i.flags(repo), "--interval", "1s")...)
	s.serves("1.0.0")
	s.await("it says so", func() bool { return strings.Contains(s.log.String(), "updates are off") })
	if n := len(repo.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A program that runs from memory has no file that could be replaced.
func TestOffFromMemory(t *testing.T) {
	i, repo := offered(t)
	b, err := os.ReadFile(i.path)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("hello", unix.MFD_CLOEXEC)
	if err != nil {
		testenv.Skip(t, "memfd_create", "run the tests on a kernel that has it")
	}
	f := os.NewFile(uintptr(fd), "hello")
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/fd/3", append(i.flags(repo), "self-update")...)
	cmd.ExtraFiles = []*os.File{f}
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "updates are off") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
