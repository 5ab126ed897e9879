package fleet_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/theseus-go/theseus/fleet"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/updater"
)

// Real updaters at a real server: one waits for the other, the third for an operator.
func TestGate(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	repo.Publish("1.1.0", []byte("two"))
	policy, err := fleet.ParsePolicy("canary 1, then all; max 1 at once; halt after 1 failure")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	c, err := fleet.New(fleet.Options{Store: &fleet.Memory{}, Groups: []fleet.Group{{Name: "web", Policy: policy}}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(fleet.Handler(c, fleet.Access{}))
	defer srv.Close()
	machine := func(id string, restart func(context.Context) error) *updater.Updater {
		path := filepath.Join(t.TempDir(), "hello")
		if err := os.WriteFile(path, []byte("one"), 0o755); err != nil {
			t.Fatal(err)
		}
		u, err := updater.New(updater.Options{
			App: repo.App, Version: "1.0.0", Key: repo.Key(), Source: repo.URL(), Executable: path, Logger: log, Restart: restart,
			Probe: func(context.Context, string, string) error { return nil },
			Gates: []updater.Gate{(&fleet.Client{URL: srv.URL, Group: "web", ID: id}).Gate()},
		})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	held := func(u *updater.Updater, kind fleet.Kind) {
		t.Helper()
		_, err := u.Update(t.Context(), "")
		var h *updater.Held
		if !errors.As(err, &h) || h.Kind != string(kind) || h.Reason == "" || h.After <= 0 {
			t.Fatalf("%v, want it held because of %s", err, kind)
		}
	}
	restarting, restarted, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	first := machine("first", func(context.Context) error { close(restarting); <-restarted; return nil })
	second := machine("second", func(context.Context) error { return errors.New("it does not start") })
	third := machine("third", func(context.Context) error { return nil })
	go func() { _, err := first.Update(t.Context(), ""); ended <- err }()
	<-restarting
	held(second, fleet.KindFull)
	close(restarted)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := second.Update(t.Context(), ""); err == nil {
		t.Fatal("a version that does not start is installed")
	}
	held(third, fleet.KindHalted)
	s, err := c.Status(t.Context(), "", "web")
	if err != nil || s.Proved != 1 || len(s.Holders) != 0 || len(s.Failed) != 1 || s.Failed[0].ID != "second" || s.Failed[0].Reason == "" {
		t.Fatalf("%+v %v", s, err)
	}
	if err := c.Resume(t.Context(), "", "web", "it was the machine"); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Update(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	// A server that is away holds everybody back.
	srv.Close()
	held2 := machine("fourth", func(context.Context) error { return nil })
	if _, err := held2.Update(t.Context(), ""); !errors.Is(err, updater.ErrHeld) {
		t.Fatal(err)
	}
}
