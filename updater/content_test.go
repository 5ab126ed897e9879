package updater

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// R04: the server chooses a header that no file of text can keep. The update is installed, the state is saved, and the
// rollback floor holds in the next process.
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

// R14: a bad release gives a reason that is no text, or no end of it. Its failure is remembered all the same: it is handed
// over to once, not in every turn.
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
