package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// program is a real executable that says its version: what these tests install.
func program(version string) []byte {
	return []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo \"hello " + version + "\"\n")
}

// client is an installed program and its updater.
type client struct {
	*Updater
	t      *testing.T
	repo   *testrelease.Repo
	path   string
	events *events
}

// events collects what was sent.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) of(kind Kind) (found []Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == kind {
			found = append(found, ev)
		}
	}
	return found
}

// install puts program version at a path of its own and makes its updater.
func install(t *testing.T, repo *testrelease.Repo, version string, edit ...func(*Options)) *client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(path, program(version), 0o755); err != nil {
		t.Fatal(err)
	}
	return again(t, repo, path, version, edit...)
}

// again is another process of the program at path: a new Updater that knows only what is on disk.
func again(t *testing.T, repo *testrelease.Repo, path, version string, edit ...func(*Options)) *client {
	t.Helper()
	ev := &events{}
	opts := Options{
		App: repo.App, Version: version, Key: repo.Key(), Source: repo.URL(), Executable: path,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), OnEvent: ev.add, Stall: 2 * time.Second,
	}
	for _, e := range edit {
		e(&opts)
	}
	u, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return &client{Updater: u, t: t, repo: repo, path: path, events: ev}
}

func (c *client) update() (Result, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	return c.Update(ctx, "")
}

func (c *client) mustUpdate(want string) Result {
	c.t.Helper()
	r, err := c.update()
	if err != nil {
		c.t.Fatalf("update: %v", err)
	}
	if r.Installed != want {
		c.t.Fatalf("installed %q, want %q", r.Installed, want)
	}
	c.holds(want)
	return r
}

// holds checks which program is at the path, by its bytes.
func (c *client) holds(version string) {
	c.t.Helper()
	b, err := os.ReadFile(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Equal(b, program(version)) {
		c.t.Fatalf("the file at the path is not program %s:\n%s", version, b)
	}
}

func (c *client) state() *state.State {
	c.t.Helper()
	st, err := state.Load(c.disk.Home)
	if err != nil && !errors.Is(err, state.ErrNone) {
		c.t.Fatal(err)
	}
	return st
}

// snapshot is what condition D0 of attacks.md compares.
type snapshot struct {
	bytes    []byte
	mode     os.FileMode
	info     os.FileInfo
	beside   []string
	failed   string
	trust    string
	sequence int64
	channel  string
	floor    time.Time
}

func (c *client) snapshot() snapshot {
	c.t.Helper()
	b, err := os.ReadFile(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	info, err := os.Stat(c.path)
	if err != nil {
		c.t.Fatal(err)
	}
	st := c.state()
	s := snapshot{bytes: b, mode: info.Mode(), info: info, beside: c.beside(), failed: fmt.Sprint(st.Failed), floor: st.Floor}
	if st.Trust != nil {
		s.trust = st.Trust.File
	}
	if ch := st.Channels["stable"]; ch != nil {
		s.sequence, s.channel = ch.Sequence, ch.File
	}
	return s
}

// beside lists what is in the program's folder and, of the state folder, what is neither state nor lock nor an
// earlier version.
func (c *client) beside() (names []string) {
	c.t.Helper()
	for _, dir := range []string{c.disk.Dir, c.disk.Home} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			c.t.Fatal(err)
		}
		for _, e := range entries {
			if dir == c.disk.Home && (e.Name() == "state" || e.Name() == "lock" || strings.HasPrefix(e.Name(), "previous-")) {
				continue
			}
			if dir == c.disk.Dir && e.Name() == filepath.Base(c.disk.Home) {
				continue
			}
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// unchanged is D0: nothing that an attack touched is different. documents may have advanced the remembered channel
// where the attack came after a genuine one; partial: one partial download may stay.
func (c *client) unchanged(before snapshot, advanced, partial bool) {
	c.t.Helper()
	now := c.snapshot()
	if !bytes.Equal(before.bytes, now.bytes) || before.mode != now.mode || !os.SameFile(before.info, now.info) {
		c.t.Error("the program's file was changed")
	}
	allowed := 0
	if partial {
		allowed = 1
	}
	if len(now.beside) > len(before.beside)+allowed {
		c.t.Errorf("left behind: %v (before: %v)", now.beside, before.beside)
	}
	if now.failed != before.failed || now.trust != before.trust {
		c.t.Errorf("failed or trust changed: %v, %v", now.failed, now.trust)
	}
	if !advanced && (now.sequence != before.sequence || now.channel != before.channel || !now.floor.Equal(before.floor)) {
		c.t.Errorf("the remembered channel changed: sequence %d to %d, floor %v to %v", before.sequence, now.sequence, before.floor, now.floor)
	}
}

// The files of a release lie with it, as those of a GitHub release do; an update by a delta takes that there, too.
func TestFilesWithTheirRelease(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", program("1.0.0"))
	repo.Publish("1.1.0", program("1.1.0"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/download/v1.1.0/")
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(repo.Get("files/" + name))
	}))
	t.Cleanup(server.Close)
	c := install(t, repo, "1.0.0", func(o *Options) { o.Files = server.URL + "/download/v{version}/{name}" })
	if _, err := c.Update(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	c.holds("1.1.0")
	if n := repo.Requested("files/"); n != 0 {
		t.Errorf("%d files were asked for below the source", n)
	}
}
