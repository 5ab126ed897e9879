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

	"golang.org/x/sys/unix"

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
	whole := i.staged()
	repo.Forget()
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != version {
		i.t.Errorf("once the shortage is over: %v", r)
	}
	if n := repo.Requested("files/"); whole && n != 0 {
		i.t.Errorf("downloaded %d times although it was there", n)
	}
}

// staged reports whether a whole file waits for another attempt.
func (i *installation) staged() (whole bool) {
	for _, name := range list(i.home()) {
		if info, err := os.Stat(filepath.Join(i.home(), name)); err == nil && strings.HasPrefix(name, "staged-") {
			whole = whole || info.Mode().Perm()&0o100 != 0 // sealed
		}
	}
	return whole
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

// tried posts an update and waits until it has ended: what the status then says of a version that failed, "" if it did not.
func (s *service) tried(version string) (failed string) {
	s.t.Helper()
	s.post()
	s.await("the update has ended", func() bool {
		st, err := s.askStatus()
		failed = st.Failed[version]
		return err == nil && st.State == "idle" && st.Outcome != nil
	})
	return failed
}

// Whatever a release does to itself in its probation, it is downloaded once. What is its own fault is held against it at
// once; where that is not known it has three attempts, and is then left alone too.
func TestBlameInProbation(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fault string
		known bool // to be the release's fault
		long  bool // not in the quick form
	}{
		{"exit 1", true, true}, {"exit 0", true, false}, {"SIGILL", true, true}, {"SIGSEGV", true, false},
		{"SIGTERM", false, false}, {"SIGKILL", false, true}, {"leak", true, true},
	} {
		if row.long && testenv.Pick(true, false, false) {
			continue
		}
		t.Run(row.fault, func(t *testing.T) {
			t.Parallel()
			i := install(t, build(t, "1.0.0"))
			i.env = []string{"HELLO_FAULT=" + row.fault} // 1.0.0 was built without faults
			repo := testrelease.New(t)
			i.trusts(repo)
			repo.Publish("1.1.0", bytesOf(t, "1.1.0", "faults"))
			s := i.start(append(i.flags(repo), "--probation", "20s")...)
			pid := s.serves("1.0.0")
			const left = "not tried again before"
			why, attempts := "", 0
			for !strings.Contains(why, left) && attempts < 4 {
				why = s.tried("1.1.0")
				attempts++
				if why == "" {
					t.Fatalf("it has not failed: %+v", s.status())
				}
			}
			// The interval may have come between, and tried it too.
			if want := map[bool]int{true: 1, false: 3}[row.known]; attempts > want || !strings.Contains(why, left) {
				t.Errorf("after %d attempts: %s", attempts, why)
			}
			if unproved := strings.Contains(why, "did not prove itself here"); unproved == row.known {
				t.Errorf("it says: %s", why)
			}
			s.tried("1.1.0")
			if n := repo.Requested("files/"); n != 1 {
				t.Errorf("%d downloads", n)
			}
			if now := s.serves("1.0.0"); now != pid || i.version() != "1.0.0" {
				t.Errorf("process %d serves, was %d; %s is installed", now, pid, i.version())
			}
		})
	}
}

// Somebody stops, then kills a good release in its probation. It is not blamed, not downloaded again, and goes through
// once they leave it alone.
func TestR07SignalsFromOutsideInProbation(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.1.0", bytesOf(t, "1.1.0"))
	s := i.start(append(i.flags(repo), "--probation", "1m")...)
	for n, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		s.update("{}") // or the interval is at it already
		if err := syscall.Kill(s.awaitVersion("1.1.0"), sig); err != nil {
			t.Fatal(err)
		}
		s.await("1.0.0 has taken service back", func() bool { return s.said("put back to 1.0.0") == n+1 })
		s.await("what happened is remembered", func() bool {
			st, err := s.askStatus()
			return err == nil && strings.Contains(st.Failed["1.1.0"], "tried again at the next check")
		})
	}
	s.update("{}")
	s.awaitVersion("1.1.0")
	if n := repo.Requested("files/"); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

// R06: a service that has next to no descriptors left, as when a flood of connections takes them, hands over to a good
// release: from nothing works to all does. It is not blamed, and goes through once there are enough.
func TestR06ServiceShortOfDescriptors(t *testing.T) {
	t.Parallel()
	file := bytesOf(t, "1.1.0")
	for spare := 1; spare < 40; spare += testenv.Pick(15, 5, 1) {
		t.Run(fmt.Sprint(spare), func(t *testing.T) {
			t.Parallel()
			i := install(t, build(t, "1.0.0"))
			repo := testrelease.New(t)
			i.trusts(repo)
			repo.Publish("1.1.0", file)
			s := i.start(i.flags(repo)...)
			pid := s.serves("1.0.0")
			open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
			if err != nil {
				t.Fatal(err)
			}
			var before unix.Rlimit
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
				t.Fatal(err)
			}
			short := unix.Rlimit{Cur: uint64(len(open) + spare), Max: before.Max}
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &short, nil); err != nil {
				t.Fatal(err)
			}
			through := false
			if resp, err := s.admin.Post("http://localhost/update", "application/json", strings.NewReader("{}")); err == nil {
				resp.Body.Close()
				s.await("the update has ended", func() bool {
					v, _, err := s.ask()
					through = err == nil && v == "1.1.0"
					st, statusErr := s.askStatus()
					return through || statusErr == nil && st.State == "idle" && st.Outcome != nil
				})
			}
			if through {
				return
			}
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
				t.Fatal(err)
			}
			if why := s.status().Failed["1.1.0"]; strings.Contains(why, "not tried again before") {
				t.Errorf("with %d to spare it is left alone: %s", spare, why)
			}
			staged := i.staged()
			repo.Forget()
			s.post()
			s.awaitVersion("1.1.0")
			if n := repo.Requested("files/"); staged && n != 0 {
				t.Errorf("with %d to spare: downloaded %d times although it was there", spare, n)
			}
		})
	}
}
