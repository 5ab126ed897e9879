package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// notBlamed expects that nobody has called a good release bad, and that it goes through now that the shortage is over,
// without a second download of what was there whole.
func (i *installation) notBlamed(repo *testrelease.Repo, version string) {
	i.t.Helper()
	if st, err := state.Load(i.home()); err == nil && st.Failed[version].Waits(time.Now(), false) {
		i.t.Errorf("it is left alone: %+v", st.Failed[version])
	}
	whole := false
	for _, name := range list(i.home()) {
		if info, err := os.Stat(filepath.Join(i.home(), name)); err == nil && strings.HasPrefix(name, "staged-") {
			whole = whole || info.Mode().Perm()&0o100 != 0 // sealed
		}
	}
	repo.Forget()
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != version {
		i.t.Errorf("once the shortage is over: %v", r)
	}
	if n := repo.Requested("files/"); whole && n != 0 {
		i.t.Errorf("downloaded %d times although it was there", n)
	}
}

// R06: a machine that is short of descriptors or processes while a release is installed, from nothing works to all does.
func TestR06Limits(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "prlimit")
	file := bytesOf(t, "1.1.0")
	for _, limit := range []struct {
		flag     string
		from, to int
		root     bool
	}{
		{"--nofile", 4, 24, false},
		{"--nproc", 1, 24, true}, // does not bind root, so another user is needed
	} {
		t.Run(limit.flag, func(t *testing.T) {
			t.Parallel()
			if limit.root {
				testenv.NeedRoot(t)
			}
			step := testenv.Pick(3, 1, 1)
			for n := limit.from; n <= limit.to; n += step {
				repo := testrelease.New(t)
				repo.Publish("1.1.0", file)
				i := install(t, build(t, "1.0.0")).trusts(repo)
				args := append([]string{fmt.Sprintf("%s=%d", limit.flag, n), i.path}, i.flags(repo)...)
				cmd := exec.Command("prlimit", append(args, "self-update")...)
				if limit.root {
					const uid = 54321
					for _, path := range []string{i.dir, i.path} {
						if err := os.Chown(path, uid, uid); err != nil {
							t.Fatal(err)
						}
					}
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
				}
				out, err := cmd.CombinedOutput()
				if err == nil {
					break // enough
				}
				if limit.root {
					again := exec.Command(i.path, append(i.flags(repo), "self-update")...)
					again.SysProcAttr = cmd.SysProcAttr
					if st, err := state.Load(i.home()); err == nil && st.Failed["1.1.0"].Waits(time.Now(), false) {
						t.Errorf("with %d: it is left alone: %+v", n, st.Failed["1.1.0"])
					}
					if out, err := again.CombinedOutput(); err != nil {
						t.Errorf("with %d, once the shortage is over: %v\n%s", n, err, out)
					}
				} else {
					i.notBlamed(repo, "1.1.0")
				}
				if t.Failed() {
					t.Fatalf("with %d it said:\n%s", n, out)
				}
			}
		})
	}
}

// R06: every call on the program's folder between the first byte and the swap fails once, with each answer of a machine
// that is short of something.
func TestR06FailingCalls(t *testing.T) {
	t.Parallel()
	file := bytesOf(t, "1.1.0")
	for n, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ENOSPC, syscall.ETXTBSY, syscall.EIO,
	} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			repo := testrelease.New(t)
			repo.Publish("1.1.0", file, testrelease.Zstd())
			var i *installation
			testfault.Program{
				Loose: true,
				Calls: testfault.Everything,
				Every: testenv.Pick(401, 29, 1),
				From:  testenv.Pick(1+57*n, 1+4*n, 1), // so that the shorter forms meet as many different calls as they can
				Command: func(tb testing.TB) *exec.Cmd {
					if i != nil {
						os.RemoveAll(filepath.Dir(i.dir))
					}
					i = install(t, build(t, "1.0.0")).trusts(repo)
					cmd := exec.Command(i.path, append(i.flags(repo), "self-update")...)
					cmd.Dir = i.dir
					return cmd
				},
				Check: func(tb testing.TB, r testfault.Run) {
					if r.State.Exit != 0 {
						i.notBlamed(repo, "1.1.0")
					}
				},
			}.Fail(t, errno)
		})
	}
}
