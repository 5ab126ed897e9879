package updater

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

func published(t *testing.T, versions ...string) *testrelease.Repo {
	t.Helper()
	repo := testrelease.New(t)
	for _, v := range versions {
		repo.Publish(v, program(v), testrelease.Both())
	}
	return repo
}

func TestUpdateWithoutRestart(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	r := c.mustUpdate("1.1.0")
	if r.Replaced != "1.0.0" || r.Restarted {
		t.Errorf("result %+v", r)
	}
	st := c.state()
	if st.Installed == nil || st.Installed.Version != "1.1.0" || st.Installed.Proved {
		t.Errorf("installed is recorded as %+v", st.Installed)
	}
	if st.Previous == nil || st.Previous.Version != "1.0.0" || !st.Previous.Proved {
		t.Errorf("previous is recorded as %+v", st.Previous)
	}
	if st.Journal != nil {
		t.Errorf("the journal is not settled: %+v", st.Journal)
	}
	if b := c.beside(); len(b) != 1 {
		t.Errorf("left behind: %v", b)
	}
	// The process still runs 1.0.0; the file is current, so there is nothing to do.
	if r, err := c.update(); err != nil || r.Installed != "" {
		t.Errorf("second update: %+v, %v", r, err)
	}
}

func TestUpdateThreeTimesInOneProcess(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	for _, v := range []string{"1.2.0", "1.3.0"} {
		repo.Publish(v, program(v), testrelease.Zstd())
		c.mustUpdate(v)
	}
}

func TestUpdateProvesWhatWasRestarted(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	calls := 0
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error { calls++; return nil }
	})
	r := c.mustUpdate("1.1.0")
	if calls != 1 || !r.Restarted {
		t.Errorf("restarted %d times, result %+v", calls, r)
	}
	if st := c.state(); !st.Installed.Proved {
		t.Error("not recorded as proved")
	}
	if len(c.events.of(EventProved)) != 1 {
		t.Error("no event that it proved itself")
	}
}

func TestUpdateUndoesWhatDoesNotStart(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	crash := errors.New("exit status 2")
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error { return crash }
	})
	old, err := os.Stat(c.path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.update()
	if !errors.Is(err, ErrUndone) || !errors.Is(err, crash) {
		t.Fatalf("error %v", err)
	}
	c.holds("1.0.0")
	if now, err := os.Stat(c.path); err != nil || !os.SameFile(old, now) {
		t.Error("what was put back is not the file that was there: undoing needs no copy")
	}
	if st := c.state(); st.Failed["1.1.0"].Reason.IsZero() || st.Installed.Version != "1.0.0" || !st.Installed.Proved {
		t.Errorf("state after undo: %+v", st)
	}
	// It is not tried again by itself, and is when it is named.
	if r, err := again(t, repo, c.path, "1.0.0").update(); r.Installed != "" || !errors.Is(err, ErrNothing) {
		t.Errorf("a failed version was tried again: %+v, %v", r, err)
	}
	d := again(t, repo, c.path, "1.0.0")
	if r, err := d.Update(t.Context(), "1.1.0"); err != nil || r.Installed != "1.1.0" {
		t.Errorf("a failed version that is named: %+v, %v", r, err)
	}
	if s := d.Status(); len(s.Failed) != 0 {
		t.Errorf("a version that is installed counts as failed: %v", s.Failed)
	}
}

// F34: Ctrl-C in probation takes the new file away, and blames nobody.
func TestF34AnnouncedStopIsNoFailure(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error { return fmt.Errorf("called off (%w)", context.Canceled) }
	})
	if _, err := c.update(); err == nil {
		t.Fatal("no error")
	}
	c.holds("1.0.0")
	if st := c.state(); len(st.Failed) != 0 {
		t.Errorf("failed list: %v", st.Failed)
	}
	again(t, repo, c.path, "1.0.0").mustUpdate("1.1.0")
}

func TestUndoLeavesAloneWhatItDidNotInstall(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	t.Run("nothing installed", func(t *testing.T) {
		c := install(t, repo, "1.0.0")
		if err := c.Undo(t.Context(), errors.New("crashed")); err != nil {
			t.Fatal(err)
		}
		c.holds("1.0.0")
	})
	t.Run("proved by another process", func(t *testing.T) {
		c := install(t, repo, "1.0.0", func(o *Options) { o.Restart = func(context.Context) error { return nil } })
		c.mustUpdate("1.1.0")
		if err := c.Undo(t.Context(), errors.New("crashed")); err != nil {
			t.Fatal(err)
		}
		c.holds("1.1.0")
	})
	t.Run("deployed by hand since", func(t *testing.T) {
		c := install(t, repo, "1.0.0")
		c.mustUpdate("1.1.0")
		deploy(t, c.path, "7.0.0")
		if err := c.Undo(t.Context(), errors.New("crashed")); err != nil {
			t.Fatal(err)
		}
		c.holds("7.0.0")
	})
	t.Run("twice", func(t *testing.T) {
		c := install(t, repo, "1.0.0")
		c.mustUpdate("1.1.0")
		for range 2 {
			if err := c.Undo(t.Context(), errors.New("crashed")); err != nil {
				t.Fatal(err)
			}
			c.holds("1.0.0")
		}
	})
}

// deploy puts a program at the path as a person would: a new file, renamed.
func deploy(t *testing.T, path, version string) {
	t.Helper()
	tmp := filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(tmp, program(version), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// F32: a successor whose updater is told to update to itself does nothing.
func TestF32RestartStorm(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	restarts := 0
	restart := func(o *Options) { o.Restart = func(context.Context) error { restarts++; return nil } }
	c := install(t, repo, "1.0.0", restart)
	c.mustUpdate("1.1.0")
	repo.Forget()
	for range 5 {
		d := again(t, repo, c.path, "1.1.0", restart)
		if r, err := d.update(); err != nil || r.Installed != "" || r.Restarted {
			t.Fatalf("updated to itself: %+v, %v", r, err)
		}
	}
	if restarts != 1 || repo.Requested("files/") != 0 {
		t.Errorf("%d restarts, %d downloads", restarts, repo.Requested("files/"))
	}
}

func TestHandOverOnlyWhereAnotherProcessInstalled(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	restarts := 0
	service := install(t, repo, "1.0.0", func(o *Options) { o.Restart = func(context.Context) error { restarts++; return nil } })
	again(t, repo, service.path, "1.0.0").mustUpdate("1.1.0") // a command line beside it
	repo.Forget()
	r, err := service.update()
	if err != nil || !r.Restarted || r.Installed != "" || restarts != 1 {
		t.Errorf("%+v, %v, %d restarts", r, err, restarts)
	}
	if repo.Requested("files/") != 0 {
		t.Error("it was downloaded again")
	}
	if !service.state().Installed.Proved {
		t.Error("the version that now runs is not proved")
	}
}

func TestProbe(t *testing.T) {
	for _, row := range []struct {
		name, script string
		remembered   bool
	}{
		{"fails", "exit 3", true},
		{"names another version", "echo hello 1.0.9", true},
		{"prints no version", "echo hello there", true},
		{"is ended by a signal", "kill -9 $$", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			repo := published(t, "1.0.0")
			repo.Publish("1.1.0", []byte("#!/bin/sh\n"+row.script+"\n"))
			c := install(t, repo, "1.0.0")
			before := c.snapshot()
			_, err := c.update()
			if !errors.Is(err, ErrUndone) || exitCode(err) != ExitUndone {
				t.Fatalf("error %v, exit code %d", err, exitCode(err))
			}
			c.holds("1.0.0")
			st := c.state()
			if waits := st.Failed["1.1.0"].Waits(time.Now(), false); waits != row.remembered {
				t.Errorf("it is left alone: %v, want %v", waits, row.remembered)
			}
			if want := len(before.beside); len(c.beside()) != want && (row.remembered || len(c.beside()) != want+1) {
				t.Errorf("left behind: %v", c.beside())
			}
		})
	}
	t.Run("does not end", func(t *testing.T) {
		t.Parallel()
		repo := published(t, "1.0.0")
		repo.Publish("1.1.0", []byte("#!/bin/sh\necho hello 1.1.0\nsleep 60 & wait\n"))
		c := install(t, repo, "1.0.0")
		ctx, cancel := context.WithCancel(t.Context())
		c.OnProbe(cancel)
		if _, err := c.Update(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
		c.holds("1.0.0")
		if len(c.state().Failed) != 0 {
			t.Error("on the failed list although nobody waited for it")
		}
	})
	t.Run("environment", func(t *testing.T) {
		got := probeEnvironment([]string{"PATH=/bin", "LISTEN_FDS=3", "LISTEN_PID=1", "NOTIFY_SOCKET=/x", "TABLEFLIP_HAS_PARENT_7DIU3=yes", "THESEUS_X=1", "WATCHDOG_USEC=1", "HOME=/root"})
		if s := strings.Join(got, " "); s != "PATH=/bin HOME=/root" {
			t.Errorf("inherited: %s", s)
		}
	})
}

// OnProbe calls f when the default probe of the next update has begun.
func (c *client) OnProbe(f func()) {
	c.opts.Probe = func(ctx context.Context, file, version string) error {
		f()
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestRollback(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	if _, err := c.Rollback(t.Context()); !errors.Is(err, ErrNothing) {
		t.Fatalf("rollback without an earlier version: %v", err)
	}
	c.mustUpdate("1.1.0")
	r, err := c.Rollback(t.Context())
	if err != nil || r.Installed != "1.0.0" || r.Replaced != "1.1.0" {
		t.Fatalf("%+v, %v", r, err)
	}
	c.holds("1.0.0")
	st := c.state()
	if f := st.Failed["1.1.0"]; !f.ByHand {
		t.Errorf("failed list: %+v", st.Failed)
	}
	if _, err := c.update(); !errors.Is(err, ErrNothing) {
		t.Errorf("the version left by hand was installed again: %v", err)
	}
	if _, err := c.Rollback(t.Context()); !errors.Is(err, ErrNothing) {
		t.Errorf("a second rollback: %v", err)
	}
}

func TestRollbackStopsAtTheSignedFloor(t *testing.T) {
	repo := published(t, "1.0.0")
	repo.Publish("1.1.0", program("1.1.0"), testrelease.Entry(func(e *release.Entry) { e.Critical = e.Version }))
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	if _, err := c.Rollback(t.Context()); !errors.Is(err, ErrNothing) || !strings.Contains(fmt.Sprint(err), "lowest safe version") {
		t.Fatalf("went below a version that was signed as critical: %v", err)
	}
	c.holds("1.1.0")
}

func TestRun(t *testing.T) {
	t.Run("returns ErrRestart when there is nobody to restart", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		c := install(t, repo, "1.0.0", func(o *Options) { o.Interval = time.Second })
		if err := c.Run(t.Context()); !errors.Is(err, ErrRestart) {
			t.Fatalf("Run: %v", err)
		}
		c.holds("1.1.0")
	})
	t.Run("returns nil when a successor serves", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		c := install(t, repo, "1.0.0", func(o *Options) {
			o.Interval = time.Second
			o.Restart = func(context.Context) error { return nil }
		})
		if err := c.Run(t.Context()); err != nil {
			t.Fatalf("Run: %v", err)
		}
	})
	t.Run("goes on after a failed update", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		ctx, cancel := context.WithCancel(t.Context())
		tries := 0
		c := install(t, repo, "1.0.0", func(o *Options) {
			o.Interval = time.Second
			o.Restart = func(context.Context) error {
				if tries++; tries == 2 {
					cancel()
				}
				go repo.Publish("1.2.0", program("1.2.0"))
				return errors.New("exit status 2")
			}
		})
		if err := c.Run(ctx); err != nil {
			t.Fatalf("Run: %v", err)
		}
		c.holds("1.0.0")
		if st := c.state(); len(st.Failed) != 2 {
			t.Errorf("failed: %v", st.Failed)
		}
	})
	t.Run("proves what runs for ten seconds", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		c := install(t, repo, "1.0.0")
		c.mustUpdate("1.1.0")
		d := again(t, repo, c.path, "1.1.0")
		ctx, cancel := context.WithCancel(t.Context())
		d.proveAfter = 10 * time.Millisecond
		d.Updater.events.on = func(e Event) {
			if e.Kind == EventProved {
				cancel()
			}
		}
		if err := d.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if st := d.state(); !st.Installed.Proved || st.Installed.Starts != 0 {
			t.Errorf("%+v", st.Installed)
		}
	})
	t.Run("undoes what was started three times and never proved", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		c := install(t, repo, "1.0.0")
		c.mustUpdate("1.1.0")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for start := 1; start <= 3; start++ {
			d := again(t, repo, c.path, "1.1.0")
			if err := d.Run(ended); err != nil {
				t.Fatal(err)
			}
			c.holds("1.1.0")
			if st := c.state(); st.Installed.Starts != start {
				t.Fatalf("start %d was counted as %d", start, st.Installed.Starts)
			}
		}
		if err := again(t, repo, c.path, "1.1.0").Run(ended); !errors.Is(err, ErrRestart) {
			t.Fatalf("the fourth start: %v", err)
		}
		c.holds("1.0.0")
		if c.state().Failed["1.1.0"].Reason.IsZero() {
			t.Error("not on the failed list")
		}
	})
	t.Run("checks and commands count no start", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		c := install(t, repo, "1.0.0")
		c.mustUpdate("1.1.0")
		for range 5 {
			if _, err := again(t, repo, c.path, "1.1.0").Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := c.state().Installed.Starts; n != 0 {
			t.Errorf("%d starts", n)
		}
	})
	t.Run("dev versions are replaced only by name", func(t *testing.T) {
		repo := published(t, "1.1.0")
		c := install(t, repo, "0.0.0-dev")
		if _, err := c.poll(t.Context()); !errors.Is(err, ErrNothing) {
			t.Error(err)
		}
		if _, err := c.Update(t.Context(), ""); !errors.Is(err, ErrNothing) {
			t.Error(err)
		}
		if code, _, stderr := c.run(); code != ExitNothing || !strings.Contains(stderr, "a version that a person names") {
			t.Errorf("%d %q", code, stderr)
		}
		c.holds("0.0.0-dev")
		if _, err := c.Update(t.Context(), "1.1.0"); err != nil {
			t.Error(err)
		}
		c.holds("1.1.0")
	})
}

func TestPollSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &Updater{opts: &settings{Options: Options{Interval: time.Hour}}, now: time.Now}
		for range 1000 {
			if d := u.schedule(untilNext(nil, time.Hour, rand.Float64)); d < 48*time.Minute || d > 72*time.Minute {
				t.Fatalf("an interval of 1h became %v", d)
			}
			if d := u.retry(3, errors.New("down")); d < 0 || d > 40*time.Second {
				t.Fatalf("third retry after %v", d)
			}
			if d := u.retry(1000, errors.New("down")); d > time.Hour {
				t.Fatalf("retry after %v", d)
			}
		}
	})
}

// F20: many updaters at once, in one process and in several, install once.
func TestF20TwoUpdatersAtOnce(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	var wg sync.WaitGroup
	var mu sync.Mutex
	installed := 0
	for range 8 {
		d := again(t, repo, c.path, "1.0.0")
		wg.Go(func() {
			r, err := d.update()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && r.Installed != "":
				installed++
			case err == nil, errors.Is(err, ErrBusy):
			default:
				t.Errorf("a spurious error: %v", err)
			}
		})
	}
	wg.Wait()
	if installed != 1 {
		t.Errorf("installed %d times", installed)
	}
	c.holds("1.1.0")
}

func TestSettlesAnInterruptedSwap(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0", "1.2.0")
	c := install(t, repo, "1.0.0")
	if _, err := c.Update(t.Context(), "1.1.0"); err != nil {
		t.Fatal(err)
	}
	// As if the process had been killed after the rename and before the record.
	st := c.state()
	st.Journal = &state.Journal{Step: state.Swap, From: *st.Previous, To: *st.Installed, Started: time.Now()}
	st.Installed, st.Previous = nil, nil
	save(t, c, st)
	d := again(t, repo, c.path, "1.1.0")
	d.mustUpdate("1.2.0")
	if len(d.events.of(EventSettled)) != 1 {
		t.Error("no event that the journal was settled")
	}
	if r, err := d.Rollback(t.Context()); err != nil || r.Installed != "1.1.0" {
		t.Errorf("1.1.0 has installed its successor, so the way back is 1.1.0: %+v, %v", r, err)
	}
}

// What POST asked for is part of Run: whoever waits for Run to end waits for the last record of the update.
func TestRunDoesWhatPostAsksFor(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	ready := make(chan struct{})
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error { return nil }
		o.OnEvent = nil
	})
	c.opts.Interval = 24 * time.Hour
	ended := make(chan error, 1)
	go func() {
		for c.Status().NextCheck.IsZero() {
			time.Sleep(time.Millisecond)
		}
		close(ready)
	}()
	go func() { ended <- c.Run(t.Context()) }()
	<-ready
	if w := call(c.Handler(), "POST", "/update", "{}"); w.Code != 202 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if st := c.state(); st.Installed == nil || !st.Installed.Proved {
		t.Errorf("Run ended before the update was recorded: %+v", st.Installed)
	}
}

// A service that nobody restarts ends itself when another process installed.
func TestRunEndsForWhatAnotherProcessInstalled(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", func(o *Options) { o.Interval = time.Second })
	again(t, repo, c.path, "1.0.0").mustUpdate("1.1.0")
	if err := c.Run(t.Context()); !errors.Is(err, ErrRestart) {
		t.Errorf("Run: %v", err)
	}
}

// What could not be undone is installed, and nothing says otherwise.
func TestUndoThatFailsIsNotCalledUndone(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	var c *client
	c = install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error {
			kept, err := filepath.Glob(filepath.Join(c.disk.Home, "previous-*"))
			if err != nil || len(kept) != 1 {
				t.Errorf("kept: %v, %v", kept, err)
			}
			for _, k := range kept {
				if err := os.Remove(k); err != nil {
					t.Error(err)
				}
			}
			return errors.New("exit status 2")
		}
	})
	_, err := c.update()
	var e *Error
	if err == nil || errors.Is(err, ErrUndone) || !errors.As(err, &e) || e.Step != StepRestarting || e.Version != "1.1.0" {
		t.Errorf("error %v", err)
	}
	c.holds("1.1.0")
}

func TestUndoWithoutACause(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	if err := c.Undo(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.holds("1.0.0")
}
