package updater

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/theseus-go/theseus/internal/testenv"
)

// A build's version is what it means, whatever it looks like.
func TestVersionsAsBuilt(t *testing.T) {
	repo := published(t, "1.0.0", "1.2.0")
	for built, runs := range map[string]string{
		"v1.0.0": "1.0.0", "1.0": "1.0.0", "1.0.0+linux": "1.0.0", "2026.01.05": "2026.1.5", "1.0.0-rc.1": "1.0.0-rc.1",
		"1.1.0-4-gabcdef1": "1.1.0-dev", "v1.0.0+dirty": "1.0.0-dev", "(devel)": "0.0.0-dev", "dev": "0.0.0-dev", "": "0.0.0-dev",
	} {
		c := install(t, repo, built)
		s := c.Status()
		if s.Running != runs || s.Off != "" {
			t.Errorf("%q runs as %q; off: %q", built, s.Running, s.Off)
		}
		r, err := c.update()
		if newer := runs == "1.0.0" || runs == "1.0.0-rc.1"; newer != (err == nil && r.Installed == "1.2.0") {
			t.Errorf("%q: installed %q, %v", built, r.Installed, err)
		}
	}
}

func TestBuildVersion(t *testing.T) {
	for main, want := range map[string]string{
		"v1.2.0": "1.2.0", "v1.2.0+dirty": "1.2.0-dev", "(devel)": "0.0.0-dev", "": "0.0.0-dev", "v1.2.1-0.20261121093000-abcdef123456": "1.2.1-dev",
		"nonsense": "0.0.0-dev",
	} {
		if got := buildVersion(&debug.BuildInfo{Main: debug.Module{Version: main}}); got != want {
			t.Errorf("%q: %q, want %q", main, got, want)
		}
	}
}

// The Go command writes what BuildVersion reads.
func TestBuildVersionOfARealBuild(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long)
	testenv.Need(t, "git")
	dir := t.TempDir()
	tool := filepath.Join(dir, "tool")
	run := func(command string, args ...string) string {
		t.Helper()
		cmd := exec.Command(command, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=true", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", command, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	file := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	built := func(want string) {
		t.Helper()
		run("go", "build", "-o", tool, ".")
		if got := buildVersion(&debug.BuildInfo{Main: debug.Module{Version: run(tool)}}); got != want {
			t.Errorf("%q is %q, want %q", run(tool), got, want)
		}
	}
	file("go.mod", "module example.com/tool\n\ngo 1.26\n")
	file(".gitignore", "tool\n")
	file("main.go", "package main\n\nimport \"runtime/debug\"\n\nfunc main() {\n\ti, _ := debug.ReadBuildInfo()\n\tprintln(i.Main.Version)\n}\n")
	run("git", "init", "-q")
	run("git", "add", ".")
	run("git", "commit", "-qm", "one")
	run("git", "tag", "v1.2.0")
	built("1.2.0")
	file("main_linux.go", "package main\n")
	built("1.2.0-dev")
	run("git", "add", ".")
	run("git", "commit", "-qm", "two")
	built("1.2.1-dev")
}

// Where a program runs, and what it was built as, does not end it.
func TestOff(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	for _, odd := range []string{"banana", "1.2.3.4", "1.0.0\x1b[31m"} {
		c := install(t, repo, odd)
		if s := c.Status(); !strings.Contains(s.Off, "Options.Version: version") || strings.Contains(s.Off, "\x1b") {
			t.Errorf("%q: the status says %q", odd, s.Off)
		}
		for name, do := range map[string]func() error{
			"Update":   func() error { _, err := c.update(); return err },
			"by name":  func() error { _, err := c.Update(t.Context(), "1.1.0"); return err },
			"Check":    func() error { _, err := c.Check(t.Context()); return err },
			"Rollback": func() error { _, err := c.Rollback(t.Context()); return err },
		} {
			if err := do(); !errors.Is(err, ErrOff) {
				t.Errorf("%q: %s: %v", odd, name, err)
			}
		}
		if err := c.Undo(t.Context(), errors.New("it failed")); err != nil {
			t.Error(err)
		}
	}
}

func TestOffIsSaid(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "banana")
	for args, want := range map[string]string{
		"": "updates are off: Options.Version", "--check": "updates are off", "--rollback": "updates are off", "--dry-run": "updates are off", "--history": "updates are off",
		"--doctor": "PROBLEM  updates are off: Options.Version",
	} {
		code, stdout, stderr := c.run(strings.Fields(args)...)
		if code != ExitError || !strings.Contains(stdout+stderr, want) || strings.Count(stdout+stderr, "\n") > 3 {
			t.Errorf("%q: %d %q %q", args, code, stdout, stderr)
		}
	}
	if code, stdout, _ := c.run("--json"); code != ExitError || !strings.Contains(stdout, `"outcome":"off"`) {
		t.Errorf("%d %s", code, stdout)
	}
	for method, want := range map[string]int{"GET": http.StatusOK, "POST": http.StatusServiceUnavailable} {
		r := httptest.NewRequest(method, "/update", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		r.Host, r.RemoteAddr = "127.0.0.1", "127.0.0.1:1"
		w := httptest.NewRecorder()
		c.opts.AdminToken = token
		c.Handler().ServeHTTP(w, r)
		var s Status
		if err := json.Unmarshal(w.Body.Bytes(), &s); w.Code != want || err != nil || s.Off == "" {
			t.Errorf("%s: %d %v %s", method, w.Code, err, w.Body)
		}
	}
	if n := len(repo.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A service with updates that are off runs on, and says so once.
func TestOffRuns(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "banana")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		default:
		}
		if ev := c.events.of(EventOff); len(ev) != 1 || !errors.Is(ev[0].Err, ErrOff) {
			t.Errorf("%+v", ev)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
