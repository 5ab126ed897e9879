package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
)

// A counter is a gate as a server has it: it knows who is in, by installation. Nobody else's Leave lets anybody out.
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
