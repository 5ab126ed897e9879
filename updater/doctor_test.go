package updater

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/release"
)

func TestDoctor(t *testing.T) {
	for _, row := range []struct {
		name  string
		opts  func(*Options)
		spoil func(t *testing.T, repo *testrelease.Repo, c *client)
		code  int
		want  string // in the text of a finding
		fix   string // in the command beside it
	}{
		{name: "nothing", want: ""},
		{name: "managed", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			write(t, filepath.Join(filepath.Dir(c.path), ".hello.managed"), "make deploy")
		}, code: ExitNothing, want: "keeps it current", fix: "make deploy"},
		{name: "a link that leads elsewhere now", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			other := filepath.Join(t.TempDir(), "hello")
			write(t, other, "x")
			c.invoked = filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(other, c.invoked); err != nil {
				t.Fatal(err)
			}
		}, code: ExitError, want: "now leads to", fix: "ls -l"},
		{name: "hard links", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			if err := os.Link(c.path, filepath.Join(filepath.Dir(c.path), "hello2")); err != nil {
				t.Fatal(err)
			}
		}, want: "1 other names", fix: "-samefile"},
		{name: "a note before a problem", opts: func(o *Options) { o.Source = "http://127.0.0.1:1" }, spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			if err := os.Link(c.path, filepath.Join(filepath.Dir(c.path), "hello2")); err != nil {
				t.Fatal(err)
			}
		}, code: ExitUnreachable, want: "nothing listens"},
		{name: "lock", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			lock, err := state.TryLock(c.disk.Home)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = lock.Unlock() })
			c.patience = 50 * time.Millisecond
		}, code: ExitBusy, want: "another update", fix: "fuser"},
		{name: "state", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			write(t, filepath.Join(c.disk.Home, "state"), "{")
			lock, err := state.TryLock(c.disk.Home)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = lock.Unlock() })
			c.patience = 50 * time.Millisecond
		}, code: ExitBusy, want: "remembered state", fix: "rm "},
		{name: "interrupted", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			c.remembers(func(st *state.State) { st.Journal = &state.Journal{Step: state.Swap, To: state.File{Version: "1.1.0"}} })
		}, want: "interrupted", fix: "theseus recover"},
		{name: "failed version", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			c.remembers(func(st *state.State) {
				st.Failed["1.0.5"] = state.Failure{Reason: text.Of("it crashed"), At: time.Now()}
			})
		}, want: "1.0.5 failed here: it crashed; not tried again before", fix: "--version 1.0.5"},
		{name: "foreign file", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			c.remembers(func(st *state.State) { st.Installed = &state.File{Version: "0.9.0"} })
		}, want: "deployed it by hand"},
		{name: "unreachable", opts: func(o *Options) { o.Source = "http://127.0.0.1:1/dl" }, code: ExitUnreachable, want: "nothing listens", fix: "curl -v http://127.0.0.1:1/dl/stable"},
		{name: "a mirror that fails", opts: func(o *Options) { o.Source, o.Mirrors = "http://127.0.0.1:1", []string{o.Source} }, want: "another source did"},
		{name: "expired channel", spoil: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Resign(func(c *release.Channel) {
				c.Issued, c.Expires = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
			})
		}, code: ExitRefused, want: "expired", fix: "theseus refresh"},
		{name: "a channel that ends soon", spoil: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Resign(func(c *release.Channel) {
				c.Issued, c.Expires = time.Now().Add(-24*time.Hour), time.Now().Add(48*time.Hour)
			})
		}, want: "the channel stable ends in", fix: "theseus refresh"},
		{name: "clock behind the channel", spoil: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Resign(func(c *release.Channel) {
				c.Issued, c.Expires = time.Now().Add(72*time.Hour), time.Now().Add(96*time.Hour)
			})
		}, code: ExitRefused, want: "clock", fix: "timedatectl"},
		{name: "clock behind the build", opts: func(o *Options) { o.Built = time.Now().Add(72 * time.Hour) }, want: "behind dates that were signed", fix: "timedatectl"},
		{name: "paused", spoil: func(t *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Publish("1.1.0", program("1.1.0"), testrelease.Entry(func(e *release.Entry) { e.Paused = "errors in production" }))
		}, code: ExitNothing, want: "errors in production", fix: "--explain"},
		{name: "no space", spoil: func(t *testing.T, _ *testrelease.Repo, c *client) {
			write(t, c.path, "#!/bin/sh\necho hello 1.0.0\nexit\n") // or the shell reads all of it
			if err := os.Truncate(c.path, 1<<60); err != nil {
				if err := os.Truncate(c.path, 1<<43); err != nil { // ext4's limit is 16 TiB
					t.Fatal(err)
				}
			}
		}, code: ExitError, want: "are free", fix: "df -h"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			repo := published(t, "1.0.0")
			c := install(t, repo, "1.0.0", func(o *Options) {
				if row.opts != nil {
					row.opts(o)
				}
			})
			if row.spoil != nil {
				row.spoil(t, repo, c)
			}
			code, stdout, stderr := c.run("self-update", "--doctor", "--json")
			var d diagnosis
			if err := json.Unmarshal([]byte(stdout), &d); err != nil || stderr != "" {
				t.Fatalf("%v\n%s\n%s", err, stdout, stderr)
			}
			if code != row.code || d.Code != code || d.Path != c.path {
				t.Errorf("exit code %d, want %d\n%s", code, row.code, stdout)
			}
			found := row.want == "" && len(d.Findings) == 0
			for _, f := range d.Findings {
				found = found || row.want != "" && strings.Contains(f.Text, row.want) && strings.Contains(f.Fix, row.fix)
			}
			if !found {
				t.Errorf("no finding with %q and %q:\n%s", row.want, row.fix, stdout)
			}
			if _, text, _ := c.run("--doctor"); row.want == "" && !strings.Contains(text, "Nothing keeps") || row.want != "" && !strings.Contains(text, row.want) {
				t.Errorf("as text: %s", text)
			}
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// remembers changes what the installation remembers.
func (c *client) remembers(change func(*state.State)) {
	c.t.Helper()
	lock, err := state.TryLock(c.disk.Home)
	if err != nil {
		c.t.Fatal(err)
	}
	defer lock.Unlock()
	st, _ := state.Load(c.disk.Home)
	change(st)
	if err := lock.Save(st); err != nil {
		c.t.Fatal(err)
	}
}

func TestDryRun(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0", "1.2.0")
	first := install(t, repo, "1.0.0")
	if err := os.Chmod(first.path, 0o750); err != nil {
		t.Fatal(err)
	}
	done := func(o *Options) { o.Keep, o.Restart = 1, func(context.Context) error { return nil } }
	if _, err := first.Update(t.Context(), "1.1.0"); err != nil {
		t.Fatal(err)
	}
	c := again(t, repo, first.path, "1.1.0", done)
	c.remembers(func(st *state.State) { st.Installed.Proved = true })
	repo.Forget()
	code, stdout, stderr := c.run("--dry-run", "--json")
	var p plan
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != 0 || stderr != "" {
		t.Fatalf("%v, exit code %d\n%s%s", err, code, stdout, stderr)
	}
	if repo.Requested("files/") != 0 {
		t.Error("a dry run downloads")
	}
	c.holds("1.1.0")
	if p.Installed != "1.1.0" || p.Offered != "1.2.0" || p.Path != c.path || p.Staged != c.disk.Home || p.Mode != "-rwxr-x---" || p.Error != "" {
		t.Errorf("%+v", p)
	}
	if len(p.Downloads) != 1 || p.Downloads[0].Bytes <= 0 || p.Downloads[0].Makes != int64(len(program("1.2.0"))) || !strings.HasPrefix(p.Downloads[0].From, repo.URL()+"/files/") {
		t.Errorf("downloads %+v", p.Downloads)
	}
	if len(p.Kept) != 1 || p.Kept[0].Version != "1.1.0" || len(p.Removed) != 1 || p.Removed[0].Version != "1.0.0" {
		t.Errorf("kept %+v, removed %+v", p.Kept, p.Removed)
	}
	_, text, _ := c.run("--dry-run")
	for _, want := range []string{"1.1.0 would be replaced by 1.2.0", p.Downloads[0].From, p.Staged, "SIGHUP", "-rwxr-x---"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}

	// What it foretold is what an update does.
	before := p
	c.mustUpdate("1.2.0")
	for _, f := range before.Kept {
		if _, err := os.Stat(f.File); err != nil {
			t.Errorf("not kept: %v", err)
		}
	}
	for _, f := range before.Removed {
		if _, err := os.Stat(f.File); err == nil {
			t.Errorf("%s is still there", f.File)
		}
	}
	if n := repo.Requested(strings.TrimPrefix(before.Downloads[0].From, repo.URL()+"/")); n != 1 {
		t.Errorf("the file it named was asked for %d times", n)
	}
	if info, err := os.Stat(c.path); err != nil || info.Mode().String() != before.Mode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if code, text, _ := again(t, repo, c.path, "1.2.0").run("--dry-run"); code != 0 || !strings.Contains(text, "would do nothing") {
		t.Errorf("with nothing on offer: %d %s", code, text)
	}
}

// A dry run ends with the code of the update that it is about.
func TestDryRunForetellsFailure(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*testing.T, *testrelease.Repo, *client)
		code  int
	}{
		{"lock", func(t *testing.T, _ *testrelease.Repo, c *client) {
			lock, err := state.TryLock(c.disk.Home)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = lock.Unlock() })
			c.patience = 50 * time.Millisecond
		}, ExitBusy},
		{"a page", func(_ *testing.T, repo *testrelease.Repo, _ *client) { repo.Hook("stable", testrelease.Page()) }, ExitRefused},
		{"set-user-id", func(t *testing.T, _ *testrelease.Repo, c *client) {
			if err := os.Chmod(c.path, 0o755|os.ModeSetuid); err != nil {
				t.Fatal(err)
			}
		}, ExitError},
	} {
		t.Run(row.name, func(t *testing.T) {
			repo := published(t, "1.0.0", "1.1.0")
			c := install(t, repo, "1.0.0")
			row.spoil(t, repo, c)
			foretold, _, stderr := c.run("--dry-run")
			if foretold != row.code || stderr == "" {
				t.Errorf("--dry-run: exit code %d, want %d: %q", foretold, row.code, stderr)
			}
			if code, _, _ := c.run(); code != foretold {
				t.Errorf("the update ends with %d, foretold was %d", code, foretold)
			}
			c.holds("1.0.0")
		})
	}
}
