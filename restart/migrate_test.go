//go:build linux

package restart_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/selfupdate"

	"github.com/theseus-go/theseus/internal/testenv"
)

// These tests change a service over from another library, and between versions of this one, while clients use it. What
// doc/migrating.md says is what they do.

// built builds the programs of a module in testdata once, and returns where they are.
var built = struct {
	link1, others func() (string, error)
}{
	sync.OnceValues(func() (string, error) { return build("link1", ".") }),
	sync.OnceValues(func() (string, error) { return build("others", "./...") }),
}

// bin is the folder of what build has built; TestMain removes it.
var bin string

func build(module, packages string) (string, error) {
	to := filepath.Join(bin, module) + string(filepath.Separator)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", to, packages)
	cmd.Dir = filepath.Join("testdata", module)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", module, err, out)
	}
	return to, nil
}

// program returns the executable of a kind: now, link1, tableflip, endless or overseer.
func program(t *testing.T, kind string) string {
	t.Helper()
	from := built.others
	switch kind {
	case "now":
		return os.Args[0]
	case "link1":
		from = built.link1
	}
	dir, err := from()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, kind)
}

// install puts an executable in the place of another one, as a deployment script does.
func install(t *testing.T, from, to string) {
	t.Helper()
	copyFile(t, from, to+".new")
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// startProgram starts a service with an executable of that kind.
func startProgram(t *testing.T, kind string, c config) *service {
	t.Helper()
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
	s.exe = filepath.Join(s.dir, "server")
	install(t, program(t, kind), s.exe)
	return s.launch(c)
}

// next installs the next program, asks for a handover, and returns the process in service after it.
func (s *service) next(kind string, pid int) int {
	s.t.Helper()
	install(s.t, program(s.t, kind), s.exe)
	mark := s.mark()
	s.signal(pid, syscall.SIGHUP)
	next, _ := s.waitAfter(mark, "this process is in service")
	s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
	return next
}

// legs hands over from one program to the next, while clients keep that many connections and others use a new one for each
// request, and returns how many requests failed on each leg.
func legs(t *testing.T, keep int, kinds ...string) (failed []int64) {
	t.Helper()
	s := startProgram(t, kinds[0], config{Probation: 100 * time.Millisecond, Drain: 2 * time.Second})
	l := startLoad(s, keep, 4, 2*time.Millisecond)
	pid := s.pid()
	var before int64
	for n, kind := range kinds[1:] {
		l.more(400) // on this process alone
		pid = s.next(kind, pid)
		s.serves(pid)
		l.more(400) // whoever has met an end has noticed it
		now := l.failed.Load()
		t.Logf("%s -> %s: %d failed, %d connections were told to close", kinds[n], kind, now-before, l.reconnects.Swap(0))
		failed, before = append(failed, now-before), now
	}
	l.end()
	failed[len(failed)-1] += l.failed.Load() - before
	t.Logf("%d requests; errors: %v", l.requests.Load(), l.errs)
	for text := range l.errs {
		if strings.Contains(text, "refused") {
			t.Errorf("clients met %q", text)
		}
	}
	if l.requests.Load() < 200 {
		t.Errorf("only %d requests", l.requests.Load())
	}
	return failed
}

// more returns when the clients have sent n more requests.
func (l *load) more(n int64) {
	for until := l.requests.Load() + n; l.requests.Load() < until; {
		time.Sleep(time.Millisecond)
	}
}

// TestMigrateTableflip changes from a program on tableflip alone to this package and back, twice. What the old program
// loses when it leaves is tableflip's and net/http's Shutdown; what is handed over by this package loses nothing.
func TestMigrateTableflip(t *testing.T) {
	t.Parallel()
	const kept = 8
	kinds := []string{"tableflip", "tableflip", "now", "tableflip", "now", "now"}
	failed := legs(t, kept, kinds...)
	for n, failed := range failed {
		if kinds[n] == "now" && failed > 0 {
			t.Errorf("%s -> %s: %d requests failed", kinds[n], kinds[n+1], failed)
		}
	}
	if alone := failed[0]; failed[1] > alone+kept || failed[3] > alone+kept { // it closes what is idle; the rest is chance
		t.Errorf("from tableflip to this package %d and %d requests failed, with tableflip alone %d", failed[1], failed[3], alone)
	}
}

// TestMigrateLink changes between the package with the first version of its link and the one in use.
func TestMigrateLink(t *testing.T) {
	t.Parallel()
	kinds := []string{"link1", "now", "link1", "now", "link1", "link1", "now"}
	for n, failed := range legs(t, 8, kinds...) {
		if failed > 0 {
			t.Errorf("%s -> %s: %d requests failed", kinds[n], kinds[n+1], failed)
		}
	}
}

// TestMigrateEndless changes from endless to this package, and hands over once more. New connections lose nothing. Those
// that are kept are closed by endless, as it always does, under the request that is on its way.
func TestMigrateEndless(t *testing.T) {
	t.Parallel()
	for _, keep := range []int{0, 8} {
		t.Run(fmt.Sprintf("%d kept", keep), func(t *testing.T) {
			t.Parallel()
			kinds := []string{"endless", "now", "now"}
			for n, failed := range legs(t, keep, kinds...) {
				if (kinds[n] == "now" || keep == 0) && failed > 0 {
					t.Errorf("%s -> %s: %d requests failed", kinds[n], kinds[n+1], failed)
				}
				if failed > 2*int64(keep) {
					t.Errorf("%d requests failed, and endless had %d connections", failed, keep)
				}
			}
		})
	}
}

// TestMigrateOverseer changes from overseer to this package, and hands over once more: overseer's master ends then. What
// its old child loses on the first leg is what net/http's Shutdown drops, as ever with overseer; nothing is refused.
func TestMigrateOverseer(t *testing.T) {
	t.Parallel()
	s := startProgram(t, "overseer", config{Probation: 100 * time.Millisecond, Drain: 2 * time.Second})
	const clients = 4
	l := startLoad(s, 0, clients, 2*time.Millisecond)
	l.more(50)
	old := s.alive()
	install(t, os.Args[0], s.exe)
	mark := s.mark()
	s.signal(s.pid(), syscall.SIGUSR2) // overseer's own restart
	pid, _ := s.waitAfter(mark, "this process is in service")
	s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", old))
	s.serves(pid)
	l.more(50)
	atFirst := l.failed.Load()
	t.Logf("overseer -> now: %d of %d failed: %v", atFirst, l.requests.Load(), l.errs)
	if atFirst > clients || l.errs["connection refused"] > 0 {
		t.Errorf("overseer -> now: %d requests failed: %v", atFirst, l.errs)
	}
	kept := startLoad(s, 8, 0, 2*time.Millisecond)
	kept.more(50)
	s.serves(s.handover(pid))
	s.gone(s.pid()) // the master
	l.end()
	kept.end()
	if n := l.failed.Load() - atFirst + kept.failed.Load(); n > 0 {
		t.Errorf("now -> now: %d requests failed: %v %v", n, l.errs, kept.errs)
	}
}

// TestMigrateSelfupdate lets minio/selfupdate replace the executable: a new version that fails is put back by its own
// means, the next one is handed over to.
func TestMigrateSelfupdate(t *testing.T) {
	t.Parallel()
	s := startProgram(t, "now", config{Probation: 100 * time.Millisecond})
	l := startLoad(s, 4, 2, 2*time.Millisecond)
	apply := func(f *os.File) {
		t.Helper()
		defer f.Close()
		syscall.ForkLock.RLock() // see testenv.WriteProgram
		defer syscall.ForkLock.RUnlock()
		if err := selfupdate.Apply(f, selfupdate.Options{TargetPath: s.exe, OldSavePath: s.exe + ".old"}); err != nil {
			t.Fatal(err)
		}
	}
	open := func(name string) *os.File {
		t.Helper()
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	bad := filepath.Join(s.dir, "bad")
	if err := testenv.WriteProgram(bad, []byte("#!/bin/sh\nexit 3\n")); err != nil {
		t.Fatal(err)
	}
	apply(open(bad))
	s.signal(s.pid(), syscall.SIGHUP)
	s.wait("undo, to blame")
	if err := os.Rename(s.exe+".old", s.exe); err != nil { // what a program does in OnFailure
		t.Fatal(err)
	}
	apply(open(os.Args[0]))
	s.serves(s.handover(s.pid()))
	l.end()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed: %v", n, l.requests.Load(), l.errs)
	}
}

// TestMigrateSystemd records what a service manager is told on the way from tableflip and back.
func TestMigrateSystemd(t *testing.T) {
	t.Parallel()
	said, socket := notifySocket(t)
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}, env: []string{"NOTIFY_SOCKET=" + socket}}
	s.exe = filepath.Join(s.dir, "server")
	install(t, program(t, "tableflip"), s.exe)
	s.launch(config{Probation: 50 * time.Millisecond, Drain: time.Second})
	expect := func(want string) {
		t.Helper()
		limit := time.After(patience)
		for {
			select {
			case got := <-said:
				if strings.Contains(got, "MAINPID=0") {
					t.Fatalf("the service manager was told %q", got)
				}
				if strings.Contains(got, want) {
					return
				}
			case <-limit:
				t.Fatalf("the service manager was not told %q", want)
			}
		}
	}
	ours := s.next("now", s.pid())
	expect(fmt.Sprintf("MAINPID=%d READY=1", ours))
	theirs := s.next("tableflip", ours)
	expect(fmt.Sprintf("MAINPID=%d READY=1", theirs))
}
