package updater

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
)

// slow is a client at 1.1.0, from where 1.0.0 is kept, whose update to 1.2.0 hangs at a source that sends the first bytes
// of what is asked for (a document or the file) and then nothing. asked is closed when it hangs. Later requests are served.
func slow(t *testing.T, what string) (c *client, asked chan struct{}) {
	t.Helper()
	repo := published(t, "1.0.0", "1.1.0")
	c = install(t, repo, "1.0.0", func(o *Options) { o.Stall = 10 * time.Minute })
	c.mustUpdate("1.1.0")
	c.remembers(func(st *state.State) { st.Installed.Proved = true })
	c = again(t, repo, c.path, "1.1.0", func(o *Options) { o.Stall = 10 * time.Minute })
	repo.Publish("1.2.0", program("1.2.0"))
	asked = make(chan struct{})
	var once atomic.Bool
	for _, path := range repo.Files() {
		if strings.HasPrefix(path, what) {
			repo.Hook(path, func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
				if once.Swap(true) {
					honest.ServeHTTP(w, r)
					return
				}
				close(asked)
				repo.Stall(5)(w, r, honest)
			})
		}
	}
	repo.Forget()
	return c, asked
}

// R19: a source that sends next to nothing keeps nobody from what they need of the installation. Whoever downloads gives way
// and comes back, and what was downloaded is not downloaded again.
func TestR19NobodyWaitsForASource(t *testing.T) {
	rollback := func(t *testing.T, c *client) {
		if code, _, stderr := again(t, c.repo, c.path, "1.1.0").run("--rollback"); code != ExitOK {
			t.Errorf("--rollback: %d %s", code, stderr)
		}
	}
	for _, need := range []struct {
		name string
		do   func(*testing.T, *client)
		// interval: a download that a person has asked for does not give way to this.
		interval bool
		then     string // what the path holds then
		kept     bool   // the update comes back
	}{
		{name: "--rollback", do: rollback, then: "1.2.0", kept: true},
		{name: "recover", then: "1.2.0", kept: true, do: func(t *testing.T, c *client) {
			if r, err := Recover(t.Context(), c.path, nil); err != nil || r.Busy != nil {
				t.Errorf("%+v, %v", r, err)
			}
		}},
		{name: "an undo", then: "1.2.0", kept: true, do: func(t *testing.T, c *client) {
			if err := again(t, c.repo, c.path, "1.1.0").Undo(t.Context(), errors.New("it crashed")); err != nil {
				t.Error(err)
			}
		}},
		{name: "self-update", interval: true, then: "1.2.0", do: func(t *testing.T, c *client) {
			if code, _, stderr := again(t, c.repo, c.path, "1.1.0").run("--from", bundled(t, c.repo)); code != ExitOK {
				t.Errorf("self-update: %d %s", code, stderr)
			}
			c.holds("1.2.0")
		}},
		{name: "--dry-run", interval: true, then: "1.2.0", kept: true, do: func(t *testing.T, c *client) {
			if code, _, stderr := again(t, c.repo, c.path, "1.1.0").run("--dry-run", "--from", bundled(t, c.repo)); code != ExitOK {
				t.Errorf("--dry-run: %d %s", code, stderr)
			}
		}},
		{name: "a rollback that this process is asked for", then: "1.0.0", do: func(t *testing.T, c *client) {
			if r, err := c.Rollback(t.Context()); err != nil || r.Installed != "1.0.0" {
				t.Errorf("%+v, %v", r, err)
			}
		}},
		{name: "an update that this process is asked for", interval: true, then: "1.2.0", do: func(t *testing.T, c *client) {
			if r, err := c.Update(t.Context(), ""); err != nil || r.Installed != "1.2.0" {
				t.Errorf("%+v, %v", r, err)
			}
		}},
	} {
		for _, held := range []struct {
			by     string
			update func(*client, context.Context) (Result, error)
		}{
			{"the interval", (*client).polls},
			{"a person", func(c *client, ctx context.Context) (Result, error) { return c.Update(ctx, "") }},
		} {
			if need.interval && held.by == "a person" {
				continue
			}
			for _, what := range []string{"files/", "stable"} {
				t.Run(need.name+" while "+held.by+" waits for "+what, func(t *testing.T) {
					t.Parallel()
					c, asked := slow(t, what)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					ended := make(chan error, 1)
					go func() {
						_, err := held.update(c, ctx)
						ended <- err
					}()
					<-asked
					if need.do(t, c); t.Failed() {
						cancel()
					}
					err := <-ended
					if need.kept && err != nil || err != nil && !errors.Is(err, ErrBusy) {
						t.Errorf("the update that gave way: %v", err)
					}
					c.holds(need.then)
					if n := len(c.beside()); n > 2 || need.kept && n > 1 {
						t.Errorf("left behind: %v", c.beside())
					}
					for n, q := range c.repo.Requests() {
						if need.kept && what == "files/" && n > 0 && strings.HasPrefix(q.Path, what) && q.Status != http.StatusOK && q.Header.Get("Range") == "" {
							t.Errorf("what was downloaded is downloaded again: %v", c.repo.Requests())
						}
					}
				})
			}
		}
	}
}

func (c *client) polls(ctx context.Context) (Result, error) { return c.poll(ctx) }

// Two people who ask for an update want the same: the second is told that the first is on it, and the first is not
// disturbed.
func TestTwoPeopleWantAnUpdate(t *testing.T) {
	c, asked := slow(t, "files/")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Update(ctx, "")
		ended <- err
	}()
	<-asked
	other := again(t, c.repo, c.path, "1.1.0")
	other.patience = 500 * time.Millisecond
	if code, _, stderr := other.run(); code != ExitBusy || !strings.Contains(stderr, "another update of this program is running") {
		t.Errorf("another process: %d %s", code, stderr)
	}
	if _, err := c.Update(t.Context(), ""); !errors.Is(err, ErrBusy) {
		t.Errorf("the same process: %v", err)
	}
	if n := c.repo.Requested("files/"); n != 1 {
		t.Errorf("%d downloads", n)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A start that proves itself is written down, whoever downloads meanwhile.
func TestR19ProofIsWrittenDown(t *testing.T) {
	c, asked := slow(t, "files/")
	c.remembers(func(st *state.State) { st.Installed.Proved = false })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Update(ctx, "")
		ended <- err
	}()
	<-asked
	if service := again(t, c.repo, c.path, "1.1.0"); !service.proveRunning(t.Context()) {
		t.Error("it was not written down")
		cancel()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if st := c.state(); st.Previous == nil || st.Previous.Version != "1.1.0" || !st.Previous.Proved {
		t.Errorf("previous is recorded as %+v", st.Previous)
	}
}
