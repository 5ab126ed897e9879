package updater

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/managed"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// marked puts the marker file beside the program of a client.
func marked(t *testing.T, repo *testrelease.Repo, edit ...func(*Options)) *client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(path, program("1.0.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(filepath.Dir(path), managed.MarkerName("hello"))
	if err := os.WriteFile(marker, []byte("sudo apt-get install hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return again(t, repo, path, "1.0.0", edit...)
}

// untouched: there is nothing beside the program but the marker.
func (c *client) untouched() {
	c.t.Helper()
	c.holds("1.0.0")
	entries, err := os.ReadDir(filepath.Dir(c.path))
	if err != nil {
		c.t.Fatal(err)
	}
	if len(entries) != 2 {
		c.t.Errorf("something was written beside a program of somebody else's: %v", entries)
	}
}

func TestManagedIsRefused(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	for _, row := range []struct {
		name string
		do   func(*client) error
	}{
		{"Update", func(c *client) error { _, err := c.update(); return err }},
		{"Update to a version", func(c *client) error { _, err := c.Update(t.Context(), "1.1.0"); return err }},
		{"Rollback", func(c *client) error { _, err := c.Rollback(t.Context()); return err }},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := marked(t, repo)
			repo.Forget()
			err := row.do(c)
			if !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "run: sudo apt-get install hello") {
				t.Errorf("%v", err)
			}
			if n := len(repo.Requests()); n != 0 {
				t.Errorf("%d requests before it was refused", n)
			}
			c.untouched()
		})
	}
	for _, args := range []string{"", "--rollback", "--dry-run", "--version 1.1.0"} {
		t.Run("self-update "+args, func(t *testing.T) {
			c := marked(t, repo)
			repo.Forget()
			code, stdout, stderr := c.run(strings.Fields(args)...)
			if code != ExitNothing || stdout != "" || !strings.Contains(stderr, "sudo apt-get install hello") || len(repo.Requests()) != 0 {
				t.Errorf("exit code %d, %q, %q, %d requests", code, stdout, stderr, len(repo.Requests()))
			}
			c.untouched()
		})
	}
}

func TestManagedIsChecked(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := marked(t, repo)
	r, err := c.Check(t.Context())
	if err != nil || r.Offered != "1.1.0" || !strings.Contains(r.Managed, "sudo apt-get install hello") {
		t.Errorf("%+v, %v", r, err)
	}
	if st := c.Status(); !strings.Contains(st.Managed, "sudo apt-get install hello") {
		t.Errorf("status %+v", st)
	}
	code, stdout, _ := c.run("--check")
	if code != ExitFound || !strings.Contains(stdout, "sudo apt-get install hello") {
		t.Errorf("--check: %d %q", code, stdout)
	}
	_, stdout, _ = c.run("--check", "--json")
	var out commandResult
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || out.Offered != "1.1.0" || out.Managed == "" {
		t.Errorf("--check --json: %v %s", err, stdout)
	}
	c.untouched()
}

// The interval checks and reports, once a version; it restarts and writes nothing.
func TestManagedRunOnlyChecks(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	offered := make(chan Event, 16)
	c := marked(t, repo, func(o *Options) {
		o.Interval = time.Second
		o.Restart = func(context.Context) error { t.Error("restarted"); return nil }
		o.OnEvent = func(e Event) {
			if e.Kind == EventManaged && strings.Contains(e.Text, "on offer") {
				offered <- e
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	if e := <-offered; !strings.Contains(e.Text, "1.1.0") {
		t.Errorf("%+v", e)
	}
	repo.Forget()
	for deadline := time.Now().Add(3 * time.Minute); repo.Requested("stable") < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Run has stopped to check")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if len(offered) != 0 {
		t.Errorf("it is told at every poll: %+v", <-offered)
	}
	if repo.Requested("files/") != 0 {
		t.Error("it downloaded")
	}
	if err := c.Undo(t.Context(), errors.New("a handover failed")); err != nil {
		t.Errorf("Undo: %v", err)
	}
	c.untouched()
}

func TestManagedOverrides(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	t.Run("the environment says nobody does", func(t *testing.T) {
		t.Setenv(managed.Variable, "0")
		c := marked(t, repo)
		c.mustUpdate("1.1.0")
	})
	t.Run("the environment says somebody does", func(t *testing.T) {
		t.Setenv(managed.Variable, "make deploy")
		if _, err := install(t, repo, "1.0.0").update(); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "make deploy") {
			t.Error(err)
		}
	})
	t.Run("the link-time switch", func(t *testing.T) {
		managedBy = "guix upgrade hello"
		defer func() { managedBy = "" }()
		_, err := install(t, repo, "1.0.0", func(o *Options) { o.Unmanaged = true }).update()
		if !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "guix upgrade hello") {
			t.Error(err)
		}
	})
	t.Run("Unmanaged overrides what is found", func(t *testing.T) {
		keg := filepath.Join(t.TempDir(), "Cellar", "hello", "1.0.0")
		path := filepath.Join(keg, "bin", "hello")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{path: program("1.0.0"), filepath.Join(keg, "INSTALL_RECEIPT.json"): nil} {
			if err := os.WriteFile(name, b, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := again(t, repo, path, "1.0.0").update(); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "brew upgrade hello") {
			t.Errorf("in a keg: %v", err)
		}
		again(t, repo, path, "1.0.0", func(o *Options) { o.Unmanaged = true }).mustUpdate("1.1.0")
	})
	t.Run("and not what was said", func(t *testing.T) {
		if _, err := marked(t, repo, func(o *Options) { o.Unmanaged = true }).update(); !errors.Is(err, ErrNothing) {
			t.Error(err)
		}
	})
}

// Options.Keep versions are there to go back to, one after the other; the one before them is swept.
func TestKeep(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0", "1.2.0", "1.3.0")
	keep := func(o *Options) { o.Keep = 2 }
	path := install(t, repo, "1.0.0").path
	var c *client
	for _, step := range [][2]string{{"1.0.0", "1.1.0"}, {"1.1.0", "1.2.0"}, {"1.2.0", "1.3.0"}} {
		c = again(t, repo, path, step[0], keep, func(o *Options) { o.Restart = func(context.Context) error { return nil } })
		if _, err := c.Update(t.Context(), step[1]); err != nil {
			t.Fatal(err)
		}
		c.holds(step[1])
	}
	files, err := filepath.Glob(filepath.Join(c.disk.Home, "previous-*"))
	if err != nil || len(files) != 2 {
		t.Errorf("kept %q, %v", files, err)
	}
	for _, step := range [][2]string{{"1.3.0", "1.2.0"}, {"1.2.0", "1.1.0"}} {
		if r, err := again(t, repo, path, step[0], keep).Rollback(t.Context()); err != nil || r.Installed != step[1] {
			t.Fatalf("rollback from %s: %+v, %v", step[0], r, err)
		}
		c.holds(step[1])
	}
	if _, err := again(t, repo, path, "1.1.0", keep).Rollback(t.Context()); !errors.Is(err, ErrNothing) {
		t.Errorf("a third rollback: %v", err)
	}
	if _, err := New(Options{App: "hello", Version: "1.0.0", Key: repo.Key(), Source: repo.URL(), Keep: -1}); err == nil || !strings.Contains(err.Error(), "Keep") {
		t.Errorf("Keep: -1: %v", err)
	}
}
