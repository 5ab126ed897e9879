package updater

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// A counter is a gate like a coordinator's: it knows which installations are inside, and only their own Leave lets them out.
type counter struct {
	mu     sync.Mutex
	in     map[string]bool
	calls  []string
	enter  func(m Move) error
	leave  func(m Move, o Outcome) error
	ctxErr error // of the last Leave's context
}

func (g *counter) Enter(_ context.Context, m Move) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, "enter "+m.To)
	if g.in == nil {
		g.in = map[string]bool{}
	}
	g.in[m.Installation] = true // even where the answer gets lost
	if g.enter != nil {
		return g.enter(m)
	}
	return nil
}

func (g *counter) Leave(ctx context.Context, m Move, o Outcome) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ctxErr = ctx.Err()
	g.calls = append(g.calls, "leave "+m.To+" "+o.Name)
	if g.leave != nil {
		if err := g.leave(m, o); err != nil {
			return err
		}
	}
	delete(g.in, m.Installation)
	return nil
}

func (g *counter) want(t *testing.T, calls ...string) {
	t.Helper()
	if !slices.Equal(g.calls, calls) {
		t.Errorf("the gate was asked and told\n\t%q, want\n\t%q", g.calls, calls)
	}
	g.calls = nil
}

func gated(gates ...Gate) func(*Options) { return func(o *Options) { o.Gates = gates } }

func no(reason string) func(Move) error {
	return func(Move) error { return &Held{Kind: "test", Reason: reason, After: time.Hour} }
}

// While a release is held back its file stays, and nothing is downloaded, told or written at each poll.
func TestHeldMachineDownloadsOnce(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	g := &counter{enter: no("not now")}
	c := install(t, repo, "1.0.0", gated(g))
	for range 5 {
		_, err := c.update()
		if held := (*Held)(nil); !errors.As(err, &held) || !errors.Is(err, ErrHeld) || exitCode(err) != ExitNothing || held.After != time.Hour {
			t.Fatalf("error %v, exit code %d", err, exitCode(err))
		}
		c.holds("1.0.0")
		g.want(t, "enter 1.1.0", "leave 1.1.0 held")
	}
	if n := repo.Requested("files/"); n != 1 {
		t.Errorf("downloaded %d times", n)
	}
	if n := len(c.events.of(EventHeld)); n != 1 {
		t.Errorf("it was told %d times that a release is held back", n)
	}
	if o, d := len(c.events.of(EventOffered)), len(c.events.of(EventDownloaded)); o != 1 || d != 1 {
		t.Errorf("it was told %d times that a release is on offer, and %d times that it is here", o, d)
	}
	s := c.Status()
	if s.Held == nil || s.Held.Version != "1.1.0" || s.Held.Kind != "test" || s.Held.Reason != "not now" || s.Held.Next.IsZero() || s.Outcome.Name != "held" {
		t.Errorf("status %+v, outcome %+v", s.Held, s.Outcome)
	}
	if st := c.state(); st.Hold == nil || st.Claim != nil || len(st.Failed) > 0 || st.Staged == nil {
		t.Errorf("state %+v", st)
	}

	// Another process goes on where this one was.
	g.enter = nil
	d := again(t, repo, c.path, "1.0.0", gated(g))
	d.mustUpdate("1.1.0")
	if n := repo.Requested("files/"); n != 1 {
		t.Errorf("another process downloaded it again: %d times", n)
	}
	if s := d.Status(); s.Held != nil || d.state().Hold != nil {
		t.Errorf("held still: %+v", s.Held)
	}
	g.want(t, "enter 1.1.0") // it is on trial
}

// Whatever becomes of a move, every gate is told, and nothing is kept taken.
func TestGatesAreToldTheEnd(t *testing.T) {
	crash := errors.New("exit status 2")
	for _, row := range []struct {
		name    string
		restart func(context.Context) error
		second  func(Move) error // the answer of another gate
		want    []string
		fails   error
	}{
		{"it proves itself", func(context.Context) error { return nil }, nil, []string{"enter 1.1.0", "leave 1.1.0 ok"}, nil},
		{"it does not start", func(context.Context) error { return crash }, nil, []string{"enter 1.1.0", "leave 1.1.0 undone"}, ErrUndone},
		{"another gate holds it back", nil, no("no"), []string{"enter 1.1.0", "leave 1.1.0 held"}, ErrHeld},
		{"another gate breaks", nil, func(Move) error { return crash }, []string{"enter 1.1.0", "leave 1.1.0 held"}, ErrHeld},
	} {
		t.Run(row.name, func(t *testing.T) {
			repo := published(t, "1.0.0", "1.1.0")
			g, second := &counter{}, &counter{enter: row.second}
			c := install(t, repo, "1.0.0", gated(g, second), func(o *Options) { o.Restart = row.restart })
			if _, err := c.update(); !errors.Is(err, row.fails) {
				t.Errorf("error %v", err)
			}
			g.want(t, row.want...)
			second.want(t, row.want...)
			if len(g.in)+len(second.in) > 0 || c.state().Claim != nil {
				t.Errorf("taken still: %v, %v, %+v", g.in, second.in, c.state().Claim)
			}
		})
	}
}

// Where this process does not restart itself, the next one tells the gates: that it runs, or that it was undone.
func TestNextProcessTellsTheGates(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	t.Run("it runs", func(t *testing.T) {
		g := &counter{}
		c := install(t, repo, "1.0.0", gated(g))
		c.mustUpdate("1.1.0")
		g.want(t, "enter 1.1.0")
		d := again(t, repo, c.path, "1.1.0", gated(g))
		if _, err := d.countStart(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.want(t) // on trial
		if !d.proveRunning(t.Context()) {
			t.Fatal("not proved")
		}
		g.want(t, "leave 1.1.0 ok")
	})
	t.Run("it never does", func(t *testing.T) {
		g := &counter{}
		c := install(t, repo, "1.0.0", gated(g))
		c.mustUpdate("1.1.0")
		for range 4 {
			if _, err := again(t, repo, c.path, "1.1.0", gated(g)).countStart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.holds("1.0.0")
		g.want(t, "enter 1.1.0", "leave 1.1.0 undone")
	})
	t.Run("a rescue shell puts it back", func(t *testing.T) {
		g := &counter{}
		c := install(t, repo, "1.0.0", gated(g))
		c.mustUpdate("1.1.0")
		for range 4 {
			if _, err := Recover(t.Context(), c.path, nil); err != nil {
				t.Fatal(err)
			}
		}
		c.holds("1.0.0")
		g.want(t, "enter 1.1.0")
		if _, err := again(t, repo, c.path, "1.0.0", gated(g)).countStart(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.want(t, "leave 1.1.0 undone")
	})
	t.Run("somebody goes back by hand", func(t *testing.T) {
		g := &counter{}
		c := install(t, repo, "1.0.0", gated(g))
		c.mustUpdate("1.1.0")
		if _, err := c.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.want(t, "enter 1.1.0", "leave 1.1.0 undone")
	})
	t.Run("it is a tool that nobody runs all the time", func(t *testing.T) {
		g := &counter{}
		c := install(t, repo, "1.0.0", gated(g))
		if code, _, stderr := c.run(); code != ExitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		g.want(t, "enter 1.1.0", "leave 1.1.0 ok")
	})
	t.Run("the next release takes its place", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		g := &counter{}
		c := install(t, repo, "1.0.0", gated(g))
		c.mustUpdate("1.1.0")
		repo.Publish("1.2.0", program("1.2.0"))
		c.mustUpdate("1.2.0")
		g.want(t, "enter 1.1.0", "leave 1.1.0 called off", "enter 1.2.0")
	})
}

// What a gate could not be told it is told until it has understood, before it is asked for anything else.
func TestGateIsToldUntilItAnswers(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	gone := errors.New("connection refused")
	g := &counter{enter: no("not now"), leave: func(Move, Outcome) error { return gone }}
	c := install(t, repo, "1.0.0", gated(g))
	for range 3 {
		if _, err := c.update(); !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
	}
	if c.state().Claim == nil {
		t.Error("the claim is forgotten although the gate was not told")
	}
	for _, call := range g.calls[1:] {
		if !strings.HasPrefix(call, "leave") {
			t.Errorf("it was asked again before it was told: %q", g.calls)
		}
	}
	g.leave = nil
	c.payGates(t.Context())
	if len(g.in) > 0 || c.state().Claim != nil {
		t.Errorf("taken still: %v", g.in)
	}
	g.calls = nil
	c.payGates(t.Context())
	g.want(t)
	// It is told where the request that began the move was called off, too.
	g.enter = nil
	ctx, cancel := context.WithCancel(t.Context())
	c.opts.Restart = func(context.Context) error { cancel(); return context.Canceled }
	if _, err := c.Update(ctx, ""); err == nil {
		t.Error("no error")
	}
	if g.ctxErr != nil || len(g.in) > 0 {
		t.Errorf("%v, taken still: %v", g.ctxErr, g.in)
	}
}

// Whoever stood still after the gates had agreed asks them again: what they gave may be another's by now.
func TestGatesAreAskedAgainAfterAPause(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	for _, row := range []struct {
		pauses int
		held   bool
	}{{0, false}, {1, false}, {2, false}, {3, true}} {
		t.Run(fmt.Sprintf("%d pauses", row.pauses), func(t *testing.T) {
			g := &counter{}
			c := install(t, repo, "1.0.0", gated(g))
			now := time.Now()
			c.now = func() time.Time { return now }
			left := row.pauses
			g.enter = func(Move) error {
				if left > 0 {
					left--
					now = now.Add(31 * time.Second)
				}
				return nil
			}
			_, err := c.update()
			if held := errors.Is(err, ErrHeld); held != row.held || err != nil && !held {
				t.Errorf("error %v", err)
			}
			if asked := strings.Count(strings.Join(g.calls, ","), "enter"); asked != min(row.pauses+1, 3) {
				t.Errorf("asked %d times: %q", asked, g.calls)
			}
		})
	}
}

// A hold of more than a week is worth an alarm, also if another release is on offer each day.
func TestLongHoldIsAnEvent(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	g := &counter{enter: no("not now")}
	c := install(t, repo, "1.0.0", gated(g))
	start := time.Now()
	for day := range 9 {
		now := start.Add(time.Duration(day) * 24 * time.Hour)
		c.now = func() time.Time { return now }
		if day > 0 {
			v := fmt.Sprintf("1.1.%d", day)
			repo.Now = now
			repo.Publish(v, program(v), testrelease.Zstd())
		}
		if _, err := c.update(); !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
		if n := len(c.events.of(EventHeldLong)); (n > 0) != (day == 8) {
			t.Errorf("day %d: %d alarms", day, n)
		}
	}
	g.enter = nil
	c.mustUpdate("1.1.8")
	if ended := c.events.of(EventHeldLong); len(ended) != 2 || !ended[1].Ended {
		t.Errorf("the alarm does not end: %+v", ended)
	}
}

func TestNilGateIsRefused(t *testing.T) {
	repo := published(t, "1.0.0")
	opts := Options{App: repo.App, Version: "1.0.0", Key: repo.Key(), Source: repo.URL(), Gates: []Gate{nil}}
	if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "Options.Gates") {
		t.Errorf("error %v", err)
	}
}

// A release is taken once it has been known here long enough, from the first check on and over restarts; of several the
// newest that is old enough. Nothing that a server says about dates counts.
func TestMinAge(t *testing.T) {
	const day = 24 * time.Hour
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", gated(MinAge(3*day)))
	passed := time.Duration(0) // it goes by without this machine being switched off
	c.upFor(&passed)
	poll := func() error {
		t.Helper()
		_, err := c.poll(t.Context())
		return err
	}
	held := (*Held)(nil)
	if err := poll(); !errors.As(err, &held) || held.Kind != "age" || held.After != 3*day {
		t.Fatalf("%v, after %v", err, held.After)
	}
	if s := c.Status(); s.Held == nil || s.Held.Version != "1.1.0" || s.Outcome.Name != "held" {
		t.Errorf("%+v, %+v", s.Held, s.Outcome)
	}
	passed = 2 * day
	repo.Publish("1.2.0", program("1.2.0"), testrelease.Zstd()) // each other day one, and never one that is old enough
	if err := poll(); !errors.As(err, &held) || held.After != day {
		t.Errorf("%v, after %v", err, held.After)
	}
	if n := repo.Requested("files/"); n != 0 {
		t.Errorf("what is too young was downloaded: %d times", n)
	}
	passed = 3 * day
	if err := poll(); err != nil {
		t.Fatal(err)
	}
	c.holds("1.1.0")
	if s := c.Status(); s.Held != nil {
		t.Errorf("held still: %+v", s.Held)
	}

	// Another process counts on. A critical release does not wait, and neither does a person.
	d := again(t, repo, c.path, "1.1.0", gated(MinAge(3*day)))
	d.upFor(&passed)
	if _, err := d.poll(t.Context()); !errors.As(err, &held) || held.After != 2*day {
		t.Errorf("%v, after %v", err, held.After)
	}
	if r, err := d.Check(t.Context()); err != nil || r.Offered != "1.2.0" {
		t.Errorf("a person is not offered it: %+v, %v", r, err)
	}
	repo.Publish("1.3.0", program("1.3.0"))
	repo.Resign(func(ch *release.Channel) { ch.Entries[0].Critical = ch.Entries[0].Version })
	if _, err := d.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.holds("1.3.0")
}

// upFor sets by how much more than now the machine has been up.
func (c *client) upFor(more *time.Duration) {
	start := time.Now()
	c.sinceBoot = func() (string, time.Duration) { return "this start", *more }
	c.now = func() time.Time { return start }
}

// The program says whether it is busy, and scripts do with a lock, which ends with them.
func TestInhibit(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	busy, lock := "a call is going on", filepath.Join(t.TempDir(), "busy")
	var during error
	c := install(t, repo, "1.0.0", gated(Inhibit(func(context.Context) string { return busy }), InhibitFile(lock)), func(o *Options) {
		o.Restart = func(context.Context) error {
			during = exec.Command("flock", "-n", lock, "true").Run()
			return nil
		}
	})
	held := (*Held)(nil)
	if _, err := c.update(); !errors.As(err, &held) || held.Kind != "inhibit" || held.Reason != busy || held.After != time.Minute {
		t.Errorf("%v", err)
	}
	busy = ""
	testenv.Need(t, "flock")
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	script := exec.Command("flock", "-F", lock, "sh", "-c", "echo locked; read end")
	in, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.update(); !errors.As(err, &held) || held.Kind != "inhibit" || !strings.Contains(held.Reason, lock) {
		t.Errorf("%v", err)
	}
	_ = script.Process.Kill() // however it ends
	_ = in.Close()
	_ = script.Wait()
	c.mustUpdate("1.1.0")
	if during == nil {
		t.Error("a script could begin in the middle of a restart")
	}
	if err := exec.Command("flock", "-n", lock, "true").Run(); err != nil {
		t.Errorf("the lock is not given back: %v", err)
	}
	if n := repo.Requested("files/"); n != 1 {
		t.Errorf("downloaded %d times", n)
	}
}

// What cannot be locked holds back, and what is not there does not.
func TestInhibitFileThatIsNone(t *testing.T) {
	for path, passes := range map[string]bool{filepath.Join(t.TempDir(), "missing"): true, t.TempDir(): false, os.DevNull: false} {
		g := InhibitFile(path)
		if err := g.Enter(t.Context(), Move{}); (err == nil) != passes {
			t.Errorf("%s: %v", path, err)
		}
		if v, _ := g.(looker).look(t.Context(), Move{}); v.Passed != passes {
			t.Errorf("%s: %+v", path, v)
		}
	}
}

// --explain says what each gate would say, and asks none that would keep something taken.
func TestExplainGates(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	g := &counter{}
	c := install(t, repo, "1.0.0", gated(MinAge(time.Hour), Windows("00:00-00:01 UTC"), Inhibit(func(context.Context) string { return "a call" }), g))
	c.now = func() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour) }
	code, out, stderr := c.run("--check", "--explain")
	for _, want := range []string{
		"ok    1.1.0 age                known here for 0s of 1 hours (too young, but a person asked)",
		"ok    1.1.0 window             00:00-00:01 UTC (not now, but a person asked)",
		"STOP  1.1.0 inhibit            the program (a call)",
		"ok    1.1.0 gate ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in exit code %d\n%s%s", want, code, out, stderr)
		}
	}
	g.want(t)
}
