package updater

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// run is one call of the command line.
func (c *client) run(args ...string) (code int, stdout, stderr string) {
	c.t.Helper()
	var out, errs bytes.Buffer
	cmd := command{u: c.Updater, stdout: &out, stderr: &errs}
	code = cmd.main(c.t.Context(), args)
	return code, out.String(), errs.String()
}

func TestCommand(t *testing.T) {
	newer := func(t *testing.T) *testrelease.Repo { return published(t, "1.0.0", "1.1.0") }
	for _, row := range []struct {
		name   string
		repo   func(*testing.T) *testrelease.Repo
		spoil  func(*testrelease.Repo, *Options)
		args   string
		code   int
		stdout string
		stderr string
		now    string // the version at the path afterwards
	}{
		{name: "installs", repo: newer, code: ExitOK, stdout: "hello 1.1.0 is installed (was 1.0.0).\nA running service takes it at its next SIGHUP or restart.\n", now: "1.1.0"},
		{name: "with the word", repo: newer, args: "self-update", code: ExitOK, stdout: "is installed", now: "1.1.0"},
		{name: "current", repo: func(t *testing.T) *testrelease.Repo { return published(t, "1.0.0") }, code: ExitOK, stdout: "hello 1.0.0 is current.\n"},
		{name: "check finds one", repo: newer, args: "--check", code: ExitFound, stdout: "hello 1.1.0 is available (installed: 1.0.0).\n"},
		{name: "check finds none", repo: func(t *testing.T) *testrelease.Repo { return published(t, "1.0.0") }, args: "self-update --check", code: ExitOK, stdout: "is current"},
		{name: "a version", repo: func(t *testing.T) *testrelease.Repo { return published(t, "1.0.0", "1.1.0", "1.2.0") }, args: "--version 1.1.0", code: ExitOK, stdout: "hello 1.1.0 is installed", now: "1.1.0"},
		{name: "help", repo: newer, args: "self-update --help", code: ExitOK, stdout: "usage: hello self-update"},
		{name: "unknown flag", repo: newer, args: "--force", code: ExitUsage, stderr: "Try: hello self-update --help"},
		{name: "unexpected argument", repo: newer, args: "self-update now", code: ExitUsage, stderr: `unexpected argument "now"`},
		{name: "no version", repo: newer, args: "--version newest", code: ExitUsage, stderr: "--version"},
		{name: "rollback and version", repo: newer, args: "--rollback --version 1.0.0", code: ExitUsage, stderr: "--rollback"},
		{name: "a version that is not there", repo: newer, args: "--version 5.0.0", code: ExitNothing, stderr: "5.0.0"},
		{name: "no artifact for this platform", repo: func(t *testing.T) *testrelease.Repo {
			repo := published(t, "1.0.0")
			repo.Publish("1.1.0", program("1.1.0"), testrelease.On("plan9/mips"))
			return repo
		}, code: ExitNothing, stderr: "1.1.0"},
		{name: "paused", repo: func(t *testing.T) *testrelease.Repo {
			repo := published(t, "1.0.0")
			repo.Publish("1.1.0", program("1.1.0"), testrelease.Entry(func(e *release.Entry) { e.Paused = "errors in production" }))
			return repo
		}, code: ExitNothing, stderr: "errors in production"},
		{name: "a page instead of a document", repo: newer, spoil: func(r *testrelease.Repo, _ *Options) { r.Hook("stable", testrelease.Page()) }, code: ExitRefused, stderr: "HTML"},
		{name: "another key", repo: newer, spoil: func(_ *testrelease.Repo, o *Options) { o.Key = otherKey }, code: ExitRefused, stderr: "sign"},
		{name: "nobody there", repo: newer, spoil: func(_ *testrelease.Repo, o *Options) { o.Source = "http://127.0.0.1:1" }, code: ExitUnreachable, stderr: "nothing listens"},
		{name: "not found", repo: newer, spoil: func(_ *testrelease.Repo, o *Options) { o.Channel = "beta" }, code: ExitUnreachable, stderr: "404"},
		{name: "probe refuses", repo: func(t *testing.T) *testrelease.Repo {
			repo := published(t, "1.0.0")
			repo.Publish("1.1.0", []byte("#!/bin/sh\nexit 1\n"))
			return repo
		}, code: ExitUndone, stderr: "the release is not installed, and tried again later: --version failed"},
		{name: "rollback without an earlier version", repo: newer, args: "--rollback", code: ExitNothing, stderr: "no earlier version"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			repo := row.repo(t)
			c := install(t, repo, "1.0.0", func(o *Options) {
				o.Restart = func(context.Context) error { t.Error("the command restarted something"); return nil }
				if row.spoil != nil {
					row.spoil(repo, o)
				}
			})
			code, stdout, stderr := c.run(strings.Fields(row.args)...)
			if code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			if !strings.Contains(stdout, row.stdout) || row.stdout == "" && stdout != "" {
				t.Errorf("standard output: %q, want %q", stdout, row.stdout)
			}
			if !strings.Contains(stderr, row.stderr) || row.stderr == "" && stderr != "" {
				t.Errorf("standard error: %q, want %q", stderr, row.stderr)
			}
			if strings.Count(strings.TrimSpace(stderr), "\n") > 1 {
				t.Errorf("an error of more than one sentence: %q", stderr)
			}
			if row.now == "" {
				row.now = "1.0.0"
			}
			c.holds(row.now)
		})
	}
}

var otherKey = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3" // minisign's own, of its manual page

func TestCommandRollback(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	service := func(o *Options) { o.Restart = func(context.Context) error { return nil } }
	code, stdout, stderr := again(t, repo, c.path, "1.1.0", service).run("--rollback")
	if code != ExitOK || stdout != "hello is back at 1.0.0. 1.1.0 will not be installed again unless you name it.\nA running service takes it at its next SIGHUP or restart.\n" || stderr != "" {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	c.holds("1.0.0")
}

func TestCommandJSON(t *testing.T) {
	repo := published(t, "1.0.0")
	repo.Publish("1.1.0", program("1.1.0"), testrelease.Manifest(func(m *release.Manifest) { m.Notes = "Fixes <everything>.\n" }))
	c := install(t, repo, "1.0.0")
	code, stdout, stderr := c.run("--json")
	var out commandResult
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatal(err)
	}
	if code != 0 || out.Installed != "1.1.0" || out.Running != "1.0.0" || out.Notes != "Fixes <everything>.\n" || out.Code != 0 || stderr != "" {
		t.Errorf("%d %+v %q", code, out, stderr)
	}
	if strings.Count(stdout, "\n") != 1 {
		t.Errorf("more than one line: %q", stdout)
	}
	repo.Hook("stable", testrelease.Page())
	code, stdout, stderr = again(t, repo, c.path, "1.1.0").run("--json", "--check")
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatal(err)
	}
	if code != ExitRefused || out.Code != ExitRefused || out.Error == "" || stderr != "" {
		t.Errorf("%d %+v %q", code, out, stderr)
	}
}

func TestCommandExplain(t *testing.T) {
	repo := published(t, "1.0.0")
	repo.Publish("1.1.0", program("1.1.0"), testrelease.Entry(func(e *release.Entry) { e.Paused = "errors in production" }))
	c := install(t, repo, "1.0.0")
	code, stdout, _ := c.run("--check", "--explain")
	if code != ExitNothing || !strings.Contains(stdout, "STOP  1.1.0 paused") {
		t.Errorf("%d\n%s", code, stdout)
	}
}

// While another process works, the command waits a moment, then says so and changes nothing.
func TestCommandBusy(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	h, err := c.disk.TryHold()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	other := again(t, repo, c.path, "1.0.0")
	other.patience = 50 * time.Millisecond
	begun := time.Now()
	code, _, stderr := other.run()
	if code != ExitBusy || !strings.Contains(stderr, "another update") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%d %q", code, stderr)
	}
	if d := time.Since(begun); d < other.patience {
		t.Errorf("it waited only %v", d)
	}
	c.holds("1.0.0")
}

// A service that only looks for a release holds the lock for as long as its source takes to answer; a person waits
// for that, and is not sent away.
func TestCommandWaitsForALook(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	var first atomic.Bool
	asked, answer := make(chan struct{}), make(chan struct{})
	repo.Hook("stable", func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		if first.CompareAndSwap(false, true) {
			close(asked)
			<-answer
		}
		honest.ServeHTTP(w, r)
	})
	polled := make(chan error, 1)
	go func() {
		_, err := c.poll(t.Context())
		polled <- err
	}()
	<-asked
	// The command cannot be seen to wait; if it comes later than this, it passes too.
	time.AfterFunc(100*time.Millisecond, func() { close(answer) })
	if code, stdout, stderr := again(t, repo, c.path, "1.0.0").run(); code != ExitOK || !strings.Contains(stdout, "is current") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if err := <-polled; err != nil {
		t.Error(err)
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	repo := published(t, "1.0.0")
	good := install(t, repo, "1.0.0").opts.Options
	for want, spoil := range map[string]func(*Options){
		"Options.App is empty":    func(o *Options) { o.App = "" },
		"Options.App":             func(o *Options) { o.App = "../hello" },
		"Options.Key is empty":    func(o *Options) { o.Key = "" },
		"Options.Key":             func(o *Options) { o.Key = "untrusted comment: minisign encrypted secret key\nRWRTY0Iy" },
		"Options.Source is empty": func(o *Options) { o.Source = "" },
		"Options.Source":          func(o *Options) { o.Source = "http://dl.example.com/hello" },
		"Options.Channel":         func(o *Options) { o.Channel = "Trust" },
		"Options.Interval":        func(o *Options) { o.Interval = 1 },
		"this program's file":     func(o *Options) { o.Executable = "/nonexistent/hello" },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: New said %v", want, err)
		}
	}
	dir := good.Executable + ".dir"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o := good
	o.Executable = dir
	if _, err := New(o); err == nil {
		t.Error("a folder was taken for a program")
	}
}

// A folder's name is whatever its maker liked, and root reads what is said of it on a terminal.
func TestFolderNameDoesNotReachTheTerminalRaw(t *testing.T) {
	const name = "x\x1b]0;owned\a"
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	var out, told strings.Builder
	cmd := command{u: c.Updater, stdout: &out, stderr: &told}
	if code := cmd.main(t.Context(), []string{"--from", filepath.Join(t.TempDir(), name)}); code == ExitOK {
		t.Error("what is not there was taken")
	}
	cmd.complain(&os.PathError{Op: "open", Path: name, Err: os.ErrNotExist})
	if told.Len() == 0 || strings.ContainsAny(told.String(), "\x1b\a") {
		t.Errorf("printed %q", told.String())
	}
	o := c.opts.Options
	o.Executable = filepath.Join(t.TempDir(), name, "hello")
	if _, err := New(o); err == nil || strings.ContainsAny(err.Error(), "\x1b\a") {
		t.Errorf("New: %q", err)
	}
}
