//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// Every exit code of the command line but those of attack_test.go (4, 5) and process_test.go (6, 7).
func TestCommand(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.0.0", script("1.0.0"))

	step := func(want int, version string, args ...string) result {
		t.Helper()
		r := i.selfUpdate(repo, args...)
		if r.code != want {
			t.Fatalf("self-update %q: %v\nwant exit code %d", args, r, want)
		}
		if v := i.version(); v != version {
			t.Fatalf("after self-update %q the program is %s, want %s", args, v, version)
		}
		i.tidy()
		return r
	}
	installed := func() string {
		t.Helper()
		var f struct{ Version string }
		if err := json.Unmarshal(i.memory().Installed, &f); err != nil {
			t.Fatal(err)
		}
		return f.Version
	}

	step(0, "1.0.0", "--check")
	step(0, "1.0.0")

	repo.Publish("1.1.0", bytesOf(t, "1.1.0"), testrelease.Zstd(), testrelease.Manifest(func(m *release.Manifest) { m.Notes = "Says hello in fewer words." }))
	before := i.look()
	if r := step(100, "1.0.0", "--check"); !strings.Contains(r.out, "1.1.0") {
		t.Errorf("--check does not name the version: %v", r)
	}
	i.same(before)
	if n := repo.Requested("files/"); n != 0 {
		t.Errorf("--check asked for %d artifacts", n)
	}
	if r := step(0, "1.1.0"); !strings.Contains(r.out, "fewer words") {
		t.Errorf("the release notes are not shown: %v", r)
	}
	if got := installed(); got != "1.1.0" {
		t.Errorf("remembers %s as installed", got)
	}
	info, err := os.Stat(i.path)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	step(0, "1.1.0") // nothing newer: F32, an offer of what runs is no update

	repo.Publish("1.2.0", script("1.2.0"), testrelease.Entry(func(e *release.Entry) { e.Paused = "crashes on Mondays" }))
	if r := step(3, "1.1.0"); !strings.Contains(r.errout, "Mondays") {
		t.Errorf("the reason of the pause is not told: %v", r)
	}
	repo.Publish("1.2.0", script("1.2.0"), testrelease.Manifest(func(m *release.Manifest) { m.Minimum = semver.MustParse("1.1.5") }))
	if r := step(3, "1.1.0"); !strings.Contains(r.errout, "1.1.5") {
		t.Errorf("the minimum version is not told: %v", r)
	}

	// Back, and not forth again unless it is named.
	step(0, "1.0.0", "--rollback")
	if r := step(3, "1.0.0"); !strings.Contains(r.errout, "1.1.0") && !strings.Contains(r.errout, "1.2.0") {
		t.Errorf("does not say what is held back: %v", r)
	}
	step(0, "1.1.0", "--version", "1.1.0")

	// A18: nothing but what documents name is asked for.
	for _, q := range repo.Requests() {
		if kind, _, _ := strings.Cut(q.Path, "/"); q.Method != http.MethodGet || !slices.Contains([]string{"stable", "releases", "files", "trust"}, kind) {
			t.Errorf("asked for %s", q)
		}
	}

	// The program's own flags stand before the word; --self-update is the same thing.
	repo.Publish("1.3.0", script("1.3.0"))
	if r := i.run(append(i.flags(repo), "--self-update")...); r.code != 0 || i.version() != "1.3.0" {
		t.Errorf("--self-update: %v, and the program is %s", r, i.version())
	}
}

func TestCommandJSON(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.1.0", script("1.1.0"))
	ask := func(code int, args ...string) (answer struct {
		App, Running, Offered, Installed, Error string
		Code                                    int
	}) {
		t.Helper()
		r := i.selfUpdate(repo, append(args, "--json")...)
		if r.code != code {
			t.Fatalf("%q: %v", args, r)
		}
		d := json.NewDecoder(strings.NewReader(r.out))
		if err := d.Decode(&answer); err != nil || d.More() {
			t.Fatalf("%q: standard output is not one JSON object (%v): %s", args, err, r.out)
		}
		if answer.Code != code || answer.App != "hello" || answer.Running != "1.0.0" {
			t.Errorf("%q: %+v", args, answer)
		}
		return answer
	}
	if a := ask(100, "--check"); a.Offered != "1.1.0" || a.Error != "" {
		t.Errorf("--check: %+v", a)
	}
	repo.Hook("stable", testrelease.Page())
	if a := ask(4); a.Error == "" {
		t.Errorf("a page for people: %+v", a)
	}
	repo.Hook("stable", nil)
	if a := ask(0); a.Installed != "1.1.0" {
		t.Errorf("%+v", a)
	}
}

// A release that does not start here is not installed. One that fails by itself is refused from then on; one
// that was ended by a signal may have been unlucky, and is counted.
func TestProbe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		program string
		want    string
		refused bool // from then on, unless it is named
	}{
		{"exits non-zero", "echo hello 1.1.0; exit 3", "exit status 3", true},
		{"says another version", "echo hello 1.0.9", "1.0.9", true},
		{"says no version", "echo hello", "printed no version", true},
		{"ended by a signal", "kill -9 $$", "signal", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := install(t, build(t, "1.0.0"))
			repo := testrelease.New(t)
			i.trusts(repo)
			repo.Publish("1.1.0", []byte("#!/bin/sh\n"+c.program+"\n"))
			before := i.look()
			r := i.selfUpdate(repo)
			if r.code != 8 || !strings.Contains(r.errout, c.want) {
				t.Errorf("%v", r)
			}
			if !bytes.Contains(i.memory().Failed, []byte("1.1.0")) {
				t.Error("the attempt is not counted")
			}
			before.memory.Failed = i.memory().Failed
			i.same(before)
			if code := i.selfUpdate(repo).code; c.refused && code != 3 || !c.refused && code != 8 {
				t.Errorf("the second time: exit code %d", code)
			}
			repo.Publish("1.2.0", script("1.2.0"))
			if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.2.0" {
				t.Errorf("a good release after it: %v", r)
			}
		})
	}
}

// The main job: a server notices a release, swaps itself and hands over, and no request is lost.
func TestServiceUpdates(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.0.0", bytesOf(t, "1.0.0"))
	s := i.start(append(i.flags(repo), "--interval", "1s")...)
	first := s.serves("1.0.0")
	load := s.load()

	// By the interval.
	repo.Publish("1.1.0", bytesOf(t, "1.1.0"))
	second := s.awaitVersion("1.1.0")
	if first == second {
		t.Error("the new version runs in the old process")
	}
	select { // the old process goes, and in peace
	case <-s.exited:
	case <-time.After(patience):
		t.Fatalf("the old process is still there\n%s", s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the old process ended with exit code %d\n%s", code, s.log)
	}
	s.pidFileSays(second)
	s.await("1.1.0 is proved", func() bool { st := s.status(); return st.Proved && st.Installed == "1.1.0" })

	// F32: what runs is on offer, and nothing happens.
	repo.Forget()
	s.await("three more polls", func() bool { return repo.Requested("stable") >= 3 })
	if pid := s.serves("1.1.0"); pid != second || repo.Requested("files/") != 0 {
		t.Errorf("an offer of what runs restarted it: process %d, was %d, %d downloads", pid, second, repo.Requested("files/"))
	}

	// By the command line, beside the service.
	repo.Publish("1.2.0", bytesOf(t, "1.2.0"), testrelease.Entry(func(e *release.Entry) {
		e.Rollout = release.Rollout{{At: repo.Now.Add(time.Hour), BasisPoints: 10000}} // nobody yet, unless a person asks
	}))
	s.await("the command line has its turn beside the interval", func() bool {
		r := i.selfUpdate(repo)
		if r.code != 0 && r.code != 7 {
			t.Fatalf("self-update: %v", r)
		}
		return r.code == 0
	})
	third := s.awaitVersion("1.2.0") // the interval sees that another version is installed than runs, and hands over
	s.pidFileSays(third)

	if sent, failed := load(); len(failed) != 0 || sent < 10 {
		t.Errorf("%d of %d requests failed: %v", len(failed), sent, failed[:min(3, len(failed))])
	}
}

func TestServiceUpdatesAtSIGHUP(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.1.0", bytesOf(t, "1.1.0"))
	s := i.start(i.flags(repo)...)
	s.serves("1.0.0")
	if r := i.run(append(i.flags(repo), "--self-update")...); r.code != 0 || !strings.Contains(r.out, "SIGHUP") {
		t.Fatalf("%v", r)
	}
	s.serves("1.0.0")
	if err := s.cmd.Process.Signal(signals["SIGHUP"]); err != nil {
		t.Fatal(err)
	}
	s.pidFileSays(s.awaitVersion("1.1.0"))
}

func TestServiceUpdatesByPost(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.1.0", bytesOf(t, "1.1.0"))
	s := i.start(i.flags(repo)...)
	s.serves("1.0.0")

	// The download waits until the second POST has been answered.
	asked, go_on := make(chan struct{}, 1), make(chan struct{})
	repo.Hook(repo.FilePath("1.1.0"), func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		asked <- struct{}{}
		<-go_on
		honest.ServeHTTP(w, r)
	})
	s.post()
	<-asked
	if code, answer := s.update("{}"); code != http.StatusConflict || !strings.Contains(answer, `"running": "1.0.0"`) {
		t.Errorf("a second POST /update: %d %s", code, answer)
	}
	if st := s.status(); st.State != "downloading" || st.Offered != "1.1.0" {
		t.Errorf("while it downloads the status is %+v", st)
	}
	close(go_on)
	s.pidFileSays(s.awaitVersion("1.1.0"))
	s.await("1.1.0 is proved", func() bool { return s.status().Proved })

	// Nothing newer.
	s.post()
	s.await("the outcome", func() bool { st := s.status(); return st.State == "idle" && st.Outcome != nil && st.Outcome.Code == 0 })
}

// load sends requests, one connection each, until the returned function is called. It is no benchmark; bench/restart is.
func (s *service) load() (stop func() (sent int, failed []error)) {
	end, done := make(chan struct{}), make(chan struct{})
	var sent int
	var failed []error
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			default:
			}
			if _, _, err := s.ask(); err != nil {
				failed = append(failed, err)
			}
			sent++
			time.Sleep(2 * time.Millisecond)
		}
	}()
	return func() (int, []error) {
		close(end)
		<-done
		return sent, failed
	}
}

func (s *service) pidFileSays(pid int) {
	s.t.Helper()
	s.await("the PID file says who serves", func() bool {
		b, err := os.ReadFile(filepath.Join(s.side, "pid"))
		return err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(pid)
	})
}

// Whoever looks for what keeps updates away is told of a proxy that the environment names, and not its password.
func TestDoctorNamesTheProxy(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0")).trusts(testrelease.New(t))
	i.env = []string{"HTTPS_PROXY=http://me:secret@127.0.0.1:1", "https_proxy=", "NO_PROXY=", "no_proxy="}
	r := i.run("--updates", "https://updates.invalid/hello", "--key", filepath.Join(i.side, "key"), "self-update", "--doctor")
	if r.code != 4 && r.code != 5 || !strings.Contains(r.out, "through the proxy http://me:xxxxx@127.0.0.1:1") || strings.Contains(r.out+r.errout, "secret") {
		t.Errorf("%v", r)
	}
}
