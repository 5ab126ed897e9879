package updater

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// later lets the failures of an installation be so much older.
func (c *client) later(d time.Duration) {
	c.t.Helper()
	c.remembers(func(st *state.State) {
		for version, f := range st.Failed {
			f.At = f.At.Add(-d)
			for i := range f.Recent {
				f.Recent[i] = f.Recent[i].Add(-d)
			}
			st.Failed[version] = f
		}
	})
}

// tries reports whether the interval tries the failed release now.
func (c *client) tries() bool {
	c.t.Helper()
	r, err := c.update()
	switch {
	case errors.Is(err, ErrUndone), err == nil && r.Installed != "":
		return true
	case errors.Is(err, ErrNothing):
		return false
	}
	c.t.Fatalf("%+v, %v", r, err)
	return false
}

// schedule expects that a release which fails is left alone for these times, one after the other.
func (c *client) schedule(waits ...time.Duration) {
	c.t.Helper()
	for _, wait := range waits {
		c.later(wait - time.Minute)
		if c.tries() {
			c.t.Fatalf("it was tried again before %v were over", wait)
		}
		c.later(time.Minute)
		if !c.tries() {
			c.t.Fatalf("it was not tried again after %v", wait)
		}
	}
}

const (
	hour = time.Hour
	day  = 24 * hour
	week = 7 * day
)

// What is the release's fault is downloaded once, and tried again ever more rarely.
func TestFailedListFades(t *testing.T) {
	for name, script := range map[string]string{
		"exit 1":               "#!/bin/sh\nexit 1\n",
		"_exit(0)":             "#!/bin/sh\nexit 0\n",
		"illegal instruction":  "#!/bin/sh\nkill -ILL $$\n",
		"segmentation fault":   "#!/bin/sh\nkill -SEGV $$\n",
		"a loader that is not": "#!/lib/ld-of-another-libc.so\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := published(t, "1.0.0")
			repo.Publish("1.1.0", []byte(script), testrelease.Zstd())
			c := install(t, repo, "1.0.0")
			if !c.tries() {
				t.Fatal("not tried at all")
			}
			if o := c.Status().Outcome; o.Blame != BlameRelease {
				t.Errorf("blamed is %q: %s", o.Blame, o.Error)
			}
			for range 3 {
				if c.tries() {
					t.Fatal("tried again at once")
				}
			}
			if n := repo.Requested("files/"); n != 1 {
				t.Errorf("%d downloads", n)
			}
			if s := c.Status().Failed["1.1.0"]; !strings.Contains(s, "not tried again before ") || !strings.Contains(s, "unless it is named") {
				t.Errorf("the status does not say until when, and what ends it: %q", s)
			}
			c.schedule(hour, 4*hour, day, 3*day, week, week)
			c.holds("1.0.0")
		})
	}
}

// Another version than it should be stays that for ever, and RetryNever waits for a person.
func TestFailuresThatDoNotFade(t *testing.T) {
	t.Run("another version", func(t *testing.T) {
		repo := published(t, "1.0.0")
		repo.Publish("1.1.0", program("1.0.9"))
		c := install(t, repo, "1.0.0")
		if !c.tries() {
			t.Fatal("not tried at all")
		}
		c.later(52 * week)
		if c.tries() {
			t.Error("tried again")
		}
		if s := c.Status().Failed["1.1.0"]; !strings.Contains(s, "not tried again unless it is named") {
			t.Errorf("%q", s)
		}
	})
	t.Run("RetryNever", func(t *testing.T) {
		repo := published(t, "1.0.0", "1.1.0")
		c := install(t, repo, "1.0.0", func(o *Options) {
			o.RetryFailed = RetryNever
			o.Probe = func(context.Context, string, string) error { return errors.New("broken") }
		})
		if !c.tries() {
			t.Fatal("not tried at all")
		}
		c.later(52 * week)
		if c.tries() {
			t.Error("tried again")
		}
		if _, err := c.Update(t.Context(), "1.1.0"); !errors.Is(err, ErrUndone) {
			t.Errorf("a person who named it was not obeyed: %v", err)
		}
	})
}

// handover is the error of a restart, as restart.HandoverError tells it.
type handover struct {
	blame  string
	served bool
}

func (h *handover) Error() string { return "the new process failed" }
func (h *handover) Blame() string { return h.blame }
func (h *handover) Served() bool  { return h.served }

// What failed after it had accepted connections gets one more chance, after a day.
func TestFailedAfterItServed(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error { return &handover{"release", true} }
	})
	if !c.tries() {
		t.Fatal("not tried at all")
	}
	c.schedule(day)
	c.later(52 * week)
	if c.tries() {
		t.Error("users met it a third time")
	}
}

// A critical release waits for less, once.
func TestCriticalFailureFadesFaster(t *testing.T) {
	repo := published(t, "1.0.0")
	repo.Publish("1.1.0", []byte("#!/bin/sh\nexit 1\n"), testrelease.Entry(func(e *release.Entry) { e.Critical = e.Version }))
	c := install(t, repo, "1.0.0")
	if !c.tries() || c.tries() {
		t.Fatal("not tried once")
	}
	c.schedule(state.CriticalWait, 4*hour)
}

// R06: what a machine is short of at the probe, or a signal from somewhere, is not the release's fault before the third
// time within a day. The file is kept meanwhile, and goes through once the shortage is over.
func TestR06ShortageAtTheProbe(t *testing.T) {
	causes := []error{
		syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ENOSPC, syscall.ETXTBSY, syscall.EIO,
		ErrInconclusive, &handover{blame: "unknown"},
	}
	for _, cause := range causes {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			repo := testrelease.New(t)
			repo.Publish("1.1.0", program("1.1.0"), testrelease.Zstd())
			short := true
			c := install(t, repo, "1.0.0", func(o *Options) {
				o.Probe = func(context.Context, string, string) error {
					if short {
						return &os.PathError{Op: "fork/exec", Path: "hello", Err: cause}
					}
					return nil
				}
			})
			for range 2 {
				if !c.tries() {
					t.Fatal("left alone before the third attempt")
				}
				if o := c.Status().Outcome; o.Blame == BlameRelease || o.Blame == BlameNobody {
					t.Errorf("blamed is %q: %s", o.Blame, o.Error)
				}
				if n := len(c.beside()); n != 2 {
					t.Errorf("kept: %v", c.beside())
				}
			}
			short = false
			c.mustUpdate("1.1.0")
			if n := repo.Requested("files/"); n != 1 {
				t.Errorf("%d downloads", n)
			}
			if n := len(c.beside()); n != 1 {
				t.Errorf("left behind: %v", c.beside())
			}
		})
	}
}

// Nothing is exempt for ever: a release whose fault it never is, and which never works, is tried a few times a day.
func TestR06NothingIsExemptForEver(t *testing.T) {
	for _, cause := range []error{syscall.ENOMEM, &handover{blame: "unknown"}, &handover{blame: "machine", served: true}} {
		t.Run(fmt.Sprintf("%+v", cause), func(t *testing.T) {
			t.Parallel()
			repo := published(t, "1.0.0", "1.1.0")
			c := install(t, repo, "1.0.0", func(o *Options) {
				o.Restart = func(context.Context) error { return fmt.Errorf("handing over: %w", cause) }
			})
			for n := range 3 {
				if !c.tries() {
					t.Fatalf("left alone after %d attempts", n)
				}
			}
			if s := c.Status().Failed["1.1.0"]; !strings.Contains(s, "did not prove itself here") {
				t.Errorf("the status says: %q", s)
			}
			c.schedule(hour, 4*hour, day, 3*day, week, week)
			if n := repo.Requested("files/"); n != 1 {
				t.Errorf("%d downloads", n)
			}
			c.holds("1.0.0")
		})
	}
}

// A file that waits is removed once it is withdrawn, or something else is on offer; and one that was changed meanwhile is
// not used.
func TestStagedFileIsJudgedAgain(t *testing.T) {
	scene := func(t *testing.T) (*testrelease.Repo, *client, *error) {
		repo := published(t, "1.0.0", "1.1.0")
		fault := error(syscall.EMFILE)
		c := install(t, repo, "1.0.0", func(o *Options) { o.Probe = func(context.Context, string, string) error { return fault } })
		if !c.tries() || len(c.beside()) != 2 {
			t.Fatalf("nothing is kept: %v", c.beside())
		}
		return repo, c, &fault
	}
	t.Run("withdrawn", func(t *testing.T) {
		repo, c, _ := scene(t)
		repo.Resign(func(ch *release.Channel) { ch.Entries[0].Yanked = &release.Yank{Reason: "bad", Action: "stay"} })
		if _, err := c.update(); err != nil || len(c.beside()) != 1 {
			t.Errorf("%v; kept: %v", err, c.beside())
		}
	})
	t.Run("superseded", func(t *testing.T) {
		repo, c, fault := scene(t)
		repo.Publish("1.2.0", program("1.2.0"))
		*fault = nil
		c.mustUpdate("1.2.0")
		if len(c.beside()) != 1 {
			t.Errorf("kept: %v", c.beside())
		}
	})
	t.Run("changed", func(t *testing.T) {
		repo, c, fault := scene(t)
		for _, name := range c.beside() {
			if strings.HasPrefix(name, "staged-") {
				if err := os.WriteFile(c.disk.Home+"/"+name, program("6.6.6"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		*fault = nil
		c.mustUpdate("1.1.0")
		if n := repo.Requested("files/"); n != 2 {
			t.Errorf("%d downloads", n)
		}
	})
}

// A count of starts is as many chances as starts, and what ended them nobody saw.
func TestManyStartsAreManyAttempts(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	for range 4 {
		if _, err := Recover(t.Context(), c.path, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.holds("1.0.0")
	d := again(t, repo, c.path, "1.0.0")
	if d.tries() {
		t.Fatal("tried again at once")
	}
	if s := d.Status().Failed["1.1.0"]; !strings.Contains(s, "did not prove itself here") {
		t.Errorf("%q", s)
	}
	repo.Forget()
	d.later(hour)
	if !d.tries() || repo.Requested("files/") != 0 {
		t.Errorf("tried again with %d downloads", repo.Requested("files/"))
	}
}

// What runs is withdrawn: that is said, also where the version to go back to was left by hand and nothing can be done.
func TestWithdrawnWhileRunning(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.1.0")
	yank := func(y *release.Yank) {
		repo.Resign(func(ch *release.Channel) {
			for i := range ch.Entries {
				if ch.Entries[i].Version.String() == "1.1.0" {
					ch.Entries[i].Yanked = y
				}
			}
		})
	}
	if err := os.WriteFile(c.path, program("1.1.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err := c.update(); err != nil || r.Installed != "" || len(c.events.of(EventWithdrawn)) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	c.remembers(func(st *state.State) { st.Failed["1.0.0"] = state.Failure{At: time.Now(), ByHand: true} })
	back := repo.Entry("1.0.0").Version
	yank(&release.Yank{Reason: "it loses mail", Action: "back", To: back})
	for range 2 {
		if _, err := c.update(); !errors.Is(err, ErrNothing) {
			t.Fatalf("error %v", err)
		}
	}
	ev := c.events.of(EventWithdrawn)
	if len(ev) != 1 || !strings.Contains(ev[0].Text, "it loses mail") || !strings.Contains(ev[0].Text, "1.0.0 cannot be installed here now") {
		t.Errorf("%+v", ev)
	}
	if s := c.Status(); s.Withdrawn == "" {
		t.Error("the status does not say so")
	}
	yank(nil)
	if _, err := c.update(); err != nil {
		t.Fatal(err)
	}
	if ev := c.events.of(EventWithdrawn); len(ev) != 2 || !ev[1].Ended || c.Status().Withdrawn != "" {
		t.Errorf("%+v", ev)
	}
}
