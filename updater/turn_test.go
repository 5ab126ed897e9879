package updater

import (
	"context"
	"net/http"
	"testing"

	"github.com/theseus-go/theseus/internal/testrelease"
)

// A check that somebody makes while an update runs neither waits for it nor says in the status that nothing runs.
func TestCheckBesideAnUpdate(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	restarting, restarted := make(chan struct{}), make(chan struct{})
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Restart = func(context.Context) error { close(restarting); <-restarted; return nil }
	})
	ended := make(chan error, 1)
	go func() { _, err := c.update(); ended <- err }()
	<-restarting
	if _, err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if s := c.Status(); s.State != StepRestarting {
		t.Errorf("while it restarts, the status says %s", s.State)
	}
	if _, err := c.Update(t.Context(), ""); exitCode(err) != ExitBusy {
		t.Errorf("a second update: %v", err)
	}
	close(restarted)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s := c.Status(); s.State != StepIdle {
		t.Errorf("after it, the status says %s", s.State)
	}
}

// Where a command takes a release from is its own business: the Updater asks its sources as before.
func TestFromIsOfOneRequest(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	path := bundled(t, repo)
	repo.Hook("*", testrelease.Status(http.StatusServiceUnavailable))
	if code, _, stderr := c.run("--from", path, "--check"); code != ExitOK {
		t.Errorf("%d %s", code, stderr)
	}
	if _, err := c.Check(t.Context()); exitCode(err) != ExitUnreachable {
		t.Errorf("after --from, a check of the same Updater does not ask its source: %v", err)
	}
	if n := len(repo.Requests()); n == 0 {
		t.Error("the source was not asked")
	}
}
