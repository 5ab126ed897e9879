//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// Many processes on one executable.

// edition returns hello 1.N.0.
func edition(t *testing.T, n int) (version string, file []byte) {
	t.Helper()
	version = fmt.Sprintf("1.%d.0", 100+n)
	return version, bytesOf(t, version)
}

// Eight people type the same command. One installs, once; the others are told that somebody is at it, or find it done.
func TestF20FleetOfUpdaters(t *testing.T) {
	t.Parallel()
	const crowd = 8
	rounds, busy, done := testenv.Pick(2, 5, 50), 0, 0
	for round := range rounds {
		i, repo := offered(t)
		results := make([]result, crowd)
		var start, wg sync.WaitGroup
		start.Add(1)
		for k := range results {
			wg.Go(func() {
				start.Wait()
				results[k] = i.selfUpdate(repo)
			})
		}
		start.Done()
		wg.Wait()
		won := 0
		for _, r := range results {
			switch {
			case r.code == 0 && strings.Contains(r.out, "hello 1.1.0 is installed (was 1.0.0)"):
				won++
			case r.code == 0 && (strings.Contains(r.out, "is current") || r.out == "hello 1.1.0\n"):
				done++ // or it was started so late that it is the release already, which says just this
			case r.code == 7 && strings.Contains(r.errout, "another update of this program is running"):
				busy++
			default:
				t.Errorf("round %d: %v", round, r)
			}
		}
		if won != 1 || repo.Requested("files/") != 1 {
			t.Errorf("round %d: %d processes installed it, with %d downloads", round, won, repo.Requested("files/"))
		}
		if v := i.version(); v != "1.1.0" {
			t.Errorf("round %d: the program is %s", round, v)
		}
		i.tidy()
		if r := i.selfUpdate(repo); r.code != 0 {
			t.Errorf("round %d: afterwards: %v", round, r)
		}
	}
	t.Logf("%d rounds of %d: one installed it in each, %d were told that another update is running, %d found it done", rounds, crowd, busy, done)
}

// A process that was started before another one replaced the file, and looked at the path only afterwards, still is the old
// version, and knows that the path is not.
func TestF20FleetStartedBeforeTheSwap(t *testing.T) {
	t.Parallel()
	testenv.NeedOS(t, "linux") // elsewhere a process cannot ask which file it runs
	i, repo := offered(t)
	slow := filepath.Join(i.side, "slow-key") // main waits for it before it makes the updater
	if err := syscall.Mkfifo(slow, 0o600); err != nil {
		t.Fatal(err)
	}
	late := make(chan result)
	go func() { late <- i.run("--updates", repo.URL(), "--key", slow, "self-update") }()
	pipe, err := os.OpenFile(slow, os.O_WRONLY, 0) // returns when the process has opened it, too
	if err != nil {
		t.Fatal(err)
	}
	if r := i.selfUpdate(repo); r.code != 0 {
		t.Fatalf("%v", r)
	}
	if _, err := pipe.WriteString(repo.Key()); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	if r := <-late; r.code != 0 || r.out != "hello 1.1.0 is current.\n" {
		t.Errorf("%v", r)
	}
	if n := repo.Requested("files/"); n != 1 {
		t.Errorf("%d downloads of one release", n)
	}
}

// Four services run from one file, each with its own address. One of them downloads a release, the others only hand over to
// it, and no request to any of them is lost.
func TestF20FleetOfServices(t *testing.T) {
	t.Parallel()
	const size = 4
	i := install(t, build(t, "1.100.0"))
	repo := testrelease.New(t)
	repo.Publish("1.100.0", bytesOf(t, "1.100.0"))
	services := make([]*service, size)
	stops := make([]func() (int, []error), size)
	for k := range services {
		j := *i
		j.side = filepath.Join(i.side, strconv.Itoa(k))
		if err := os.Mkdir(j.side, 0o755); err != nil {
			t.Fatal(err)
		}
		j.trusts(repo)
		services[k] = j.start(append(j.flags(repo), "--interval", "1s", "--probation", "100ms", "--startup", "30s")...)
		services[k].serves("1.100.0")
		stops[k] = services[k].load()
	}
	updates := testenv.Pick(1, 2, 20)
	for n := 1; n <= updates; n++ {
		version, file := edition(t, n)
		repo.Forget()
		repo.Publish(version, file)
		for _, s := range services {
			s.awaitVersion(version)
		}
		services[0].await(version+" is proved", func() bool { st := services[0].status(); return st.Proved && st.Installed == version })
		if n := repo.Requested("files/"); n != 1 {
			t.Errorf("%s was downloaded %d times for %d services", version, n, size)
		}
	}
	for k, stop := range stops {
		sent, failed := stop()
		if len(failed) > 0 || sent == 0 {
			t.Errorf("service %d: %d of %d requests failed: %v", k, len(failed), sent, failed[:min(3, len(failed))])
		}
		t.Logf("service %d: %d requests over %d updates, %d failed", k, sent, updates, len(failed))
	}
	i.tidy()
}

// Root owns the program and updates it; the service runs as somebody else. It reads what root has recorded, settles nothing,
// says once that it cannot install, and takes the new version at SIGHUP.
func TestF20FleetOfTwoUsers(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.0.0", bytesOf(t, "1.0.0"))
	i.uid = 65534
	s := i.start(append(i.flags(repo), "--interval", "1s")...)
	s.serves("1.0.0")
	stop := s.load()
	before := i.look()

	// A release that it may not install.
	repo.Publish("1.1.0", bytesOf(t, "1.1.0"))
	s.await("the service says that it cannot install", func() bool { return s.said("cannot write") > 0 })
	repo.Forget()
	s.await("three more polls", func() bool { return repo.Requested("stable") >= 3 })
	if n := s.said("there is an update that this process may not install"); n != 1 {
		t.Errorf("it says %d times that it may not install\n%s", n, s.log)
	}
	if repo.Requested("files/") != 0 {
		t.Error("it downloaded what it may not install")
	}
	i.unmoved(before)

	// Root installs it. The state is root's, and the service's eyes are enough to see it.
	if r := i.selfUpdate(repo); r.code != 0 || !strings.Contains(r.out, "SIGHUP") {
		t.Fatalf("%v", r)
	}
	installed := i.look()
	repo.Forget()
	s.await("the service says that it does not run it yet", func() bool { return s.said("does not run yet") > 0 })
	s.serves("1.0.0")
	if err := s.cmd.Process.Signal(signals["SIGHUP"]); err != nil && !s.updated("1.1.0") {
		t.Fatal(err)
	}
	s.awaitVersion("1.1.0")
	i.same(installed)
	s.await("the status names what root installed", func() bool { return s.status().Installed == "1.1.0" })
	if sent, failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %v", len(failed), sent, failed[:min(3, len(failed))])
	}
	if n := s.said("journal"); n != 0 {
		t.Errorf("it speaks of settling, which is not its business\n%s", s.log)
	}
}

// said counts the lines of the log with these words.
func (s *service) said(words string) (n int) {
	for l := range strings.Lines(s.log.String()) {
		if strings.Contains(l, words) {
			n++
		}
	}
	return n
}

func (s *service) updated(version string) bool {
	v, _, err := s.ask()
	return err == nil && v == version
}
