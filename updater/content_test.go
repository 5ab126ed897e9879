package updater

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/release"
)

// R04: the server chooses a header that no file of text can keep. The update is installed, the state is saved, and
// the rollback floor holds in the next process.
func TestR04HeaderKeepsNothingFromBeingRemembered(t *testing.T) {
	for _, header := range []string{"\"\xff\"", "\"\xed\xa0\x80\"", "\"\u202e\"", `"` + strings.Repeat("\xff", 200) + `"`, "\xff"} {
		repo := published(t, "1.0.0", "1.1.0")
		old := repo.Get("stable") // offers 1.1.0
		repo.Publish("1.2.0", program("1.2.0"), testrelease.Both())
		repo.Resign(func(c *release.Channel) {
			for i := range c.Entries {
				if c.Entries[i].Version.String() == "1.1.0" {
					c.Entries[i].Yanked = &release.Yank{Reason: "a hole", Action: "stay"}
				}
			}
		})
		repo.Hook("stable", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header()["ETag"] = []string{header}
			w.Write(repo.Get("stable"))
		})
		c := install(t, repo, "1.0.0")
		if _, err := c.Check(t.Context()); err != nil {
			t.Errorf("%q: check: %v", header, err)
		}
		if n := len(c.events.of(EventCannotWrite)); n != 0 {
			t.Errorf("%q: %d events say that the state cannot be written", header, n)
		}
		now := repo.Get("stable")
		repo.Hook("stable", nil)
		repo.Put("stable", old)
		next := again(t, repo, c.path, "1.0.0")
		if _, err := next.update(); !errors.Is(err, release.ErrRollback) {
			t.Errorf("%q: the replayed document in a new process: %v", header, err)
		}
		next.holds("1.0.0")
		repo.Put("stable", now)
		next.mustUpdate("1.2.0")
	}
}

// R14: a bad release gives a reason that is no text, or no end of it. Its failure is remembered all the same: it is
// handed over to once, not in every turn.
func TestR14ReasonKeepsNoFailureFromBeingRemembered(t *testing.T) {
	for what, reason := range map[string]string{
		"half a letter": strings.Repeat("ä", 300)[:509],
		"bytes":         "\x00\xff\xfe",
		"no end":        strings.Repeat("\x01", 3<<20),
	} {
		repo := published(t, "1.0.0", "1.1.0")
		handovers := 0
		c := install(t, repo, "1.0.0", func(o *Options) {
			o.Restart = func(context.Context) error { handovers++; return errors.New(reason) }
		})
		for range 3 {
			c.poll(t.Context())
		}
		if _, failed := c.state().Failed["1.1.0"]; handovers != 1 || !failed {
			t.Errorf("%s: %d handovers, remembered as failed: %v", what, handovers, failed)
		}
		c.holds("1.0.0")
	}
}

// R04: whatever a server puts into its status line, a header and a body, a failing release into its reason, and a
// file at the path into its answer to --version: every save succeeds, and no floor is lost.
func FuzzR04NothingFromOutsideCostsASave(f *testing.F) {
	f.Add("200 OK", "ETag", "\"\xff\"", "", "\xff", "hello 1.0.0")
	f.Add("304 Not Modified", "ETag", `"a"`, "", "ä", "\x1b[2J")
	f.Add("503 \xff\u202e", "Retry-After", "99999999999999999999", "<html>\x00", strings.Repeat("ä", 300)[:509], "hello 1.0.0\xff")
	f.Add("302 Found", "Location", "http://\xff/\u2066?sig=1", "", "\x00", "hello v1")
	f.Add("200 OK", "Content-Encoding", "br\x1b[31m\xff", "theseus/channel/v1\n{\n", strings.Repeat("\x01\xff", 5000), strings.Repeat("9", 5000))
	f.Add("\xff", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, status, header, value, body, reason, printed string) {
		repo := testrelease.New(t)
		repo.Publish("1.0.0", program("1.0.0"))
		repo.Publish("1.1.0", program("1.1.0"))
		c := install(t, repo, "1.0.0", func(o *Options) {
			o.Restart = func(context.Context) error { return errors.New(reason) }
		})
		kept := func(c *client) {
			t.Helper()
			if n := len(c.events.of(EventCannotWrite)); n != 0 {
				t.Fatalf("%d events say that the state cannot be written", n)
			}
			if ch := c.state().Channels["stable"]; ch == nil || ch.Sequence != repo.Channel.Sequence || c.state().Floor.IsZero() {
				t.Fatalf("the floor is lost: %+v", ch)
			}
		}
		if _, err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept(c)
		hostile := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 %s\r\n%s: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, header, value, len(body), body)
		}
		repo.Hook("stable", hostile)
		repo.Hook(repo.FilePath("1.1.0"), hostile)
		_, err := c.Check(t.Context())
		shown(t, err)
		repo.Hook("stable", nil)
		_, err = c.update()
		shown(t, err)
		kept(c)
		repo.Hook(repo.FilePath("1.1.0"), nil)
		if _, err = c.update(); !errors.Is(err, ErrUndone) {
			t.Fatalf("a handover that failed: %v", err)
		}
		shown(t, err)
		for _, e := range c.events.of(EventUndone) {
			shown(t, e.Err)
			shown(t, errors.New(e.Text))
		}
		kept(c)
		if failed := c.state().Failed["1.1.0"]; failed.Reason.IsZero() {
			t.Fatalf("the failure is lost: %+v", failed)
		}

		answer := filepath.Join(t.TempDir(), "answer")
		if err := errors.Join(os.WriteFile(answer, []byte(printed), 0o644), os.WriteFile(c.path, []byte("#!/bin/sh\ncat "+answer+"\n"), 0o755)); err != nil {
			t.Fatal(err)
		}
		next := again(t, repo, c.path, "1.0.0")
		_, err = next.Check(t.Context())
		shown(t, err)
		kept(next)
	})
}

// shown says whether an error can be written to a terminal and into a log as it is.
func shown(t *testing.T, err error) {
	t.Helper()
	if err != nil && (!text.Honest(err.Error(), "") || len(err.Error()) > 2*text.Max) {
		t.Errorf("no text: %.200q", err.Error())
	}
}

// R04: what was seen of the documents cannot be written, so nothing is installed that a replay could take back; it is tried
// again, and goes through once it can be written.
func TestR04NothingIsInstalledOnAFloorThatIsNotOnDisk(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	in := filepath.Join(c.disk.Home, "state", "in the way") // a folder cannot be replaced by a file
	if err := os.MkdirAll(in, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r, err := c.update(); err == nil || r.Installed != "" {
			t.Errorf("with a state that cannot be written: %+v, %v", r, err)
		}
		c.holds("1.0.0")
	}
	if len(c.events.of(EventCannotWrite)) == 0 && len(c.events.of(EventUpdateFailed)) == 0 {
		t.Error("no event says so")
	}
	if err := os.RemoveAll(filepath.Dir(in)); err != nil {
		t.Fatal(err)
	}
	c.mustUpdate("1.1.0")
	if got := c.state().Channels["stable"]; got == nil || got.Sequence != repo.Channel.Sequence {
		t.Errorf("the floor on disk is %+v, want sequence %d", got, repo.Channel.Sequence)
	}
}
