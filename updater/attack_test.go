package updater

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/testattack"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// What the exit codes of the table are here.
var sentinels = map[int]error{ExitNothing: ErrNothing, ExitRefused: ErrRefused, ExitUnreachable: ErrUnreachable}

func TestAttacks(t *testing.T) {
	for _, a := range testattack.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			repo := testrelease.New(t)
			repo.Publish("1.0.0", testattack.Program("1.0.0"))
			c := install(t, repo, "1.0.0")
			if r, err := c.Check(t.Context()); err != nil || r.Offered != "" {
				t.Fatalf("before the attack: offered %q, %v", r.Offered, err)
			}
			repo.Publish("1.1.0", testattack.Program("1.1.0"))
			a.Do(t, testattack.World{Repo: repo, Home: c.disk.Home, Seen: func() {
				if r, err := again(t, repo, c.path, "1.0.0").Check(t.Context()); err != nil || r.Offered == "" {
					t.Fatalf("offered %q, %v", r.Offered, err)
				}
			}})
			// What is attacked is a new process: nothing is left in memory.
			c = again(t, repo, c.path, "1.0.0")
			before := c.snapshot()
			repo.Forget()

			_, err := c.update()
			if !errors.Is(err, sentinels[a.Code]) || a.Is != nil && !errors.Is(err, a.Is) {
				t.Errorf("error %v\nis not: %v and %v", err, sentinels[a.Code], a.Is)
			}
			if err != nil && !strings.Contains(err.Error(), a.Want) {
				t.Errorf("error %v\ndoes not say %q", err, a.Want)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%T is not an *Error", err)
			}
			if a.Silent && repo.Requested("files/") > 0 {
				t.Errorf("a file was asked for: %v", repo.Requests())
			}
			c.unchanged(before, a.Accepts, !a.Silent)
			c.holds("1.0.0")

			// The next good check succeeds, in a new process too.
			a.Heal(t, repo)
			if r, err := again(t, repo, c.path, "1.0.0").update(); err != nil || r.Installed != "1.3.0" {
				t.Errorf("after the attack: %+v, %v", r, err)
			}
			if b, err := os.ReadFile(c.path); err != nil || !bytes.Equal(b, testattack.Program("1.3.0")) {
				t.Errorf("after the attack the program is\n%s", b)
			}
		})
	}
}

// A manifest that was fetched before is judged anew by the entry that names it
// now: the channel key alone must not make an old release a new one.
func TestA04RelabelOfACachedManifest(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", func(o *Options) {
		o.Probe = func(context.Context, string, string) error { return nil }
	})
	if r, err := c.Check(t.Context()); err != nil || r.Offered != "1.1.0" {
		t.Fatalf("%+v, %v", r, err)
	}
	repo.Put("releases/99.0.0.manifest", repo.Get("releases/1.1.0.manifest"))
	repo.Resign(func(ch *release.Channel) {
		e := *ch.Entry(semver.MustParse("1.1.0"))
		e.Version = semver.MustParse("99.0.0")
		ch.Entries = append(ch.Entries, e)
	})
	if r, err := c.update(); !errors.Is(err, release.ErrVersion) || r.Installed != "" {
		t.Errorf("%+v, %v", r, err)
	}
	c.holds("1.0.0")
}

// A source that says for ever that nothing is new does not keep the mirrors
// from being asked once its document no longer holds.
func TestN10MirrorAfterAStale304(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	if _, err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := time.Now().AddDate(0, 6, 0)
	repo.Now = later
	repo.Publish("1.2.0", program("1.2.0"))
	dir := t.TempDir()
	repo.WriteTo(dir)
	repo.Hook("stable", func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c = again(t, repo, c.path, "1.0.0", func(o *Options) { o.Mirrors = []string{"file://" + dir} })
	c.now = func() time.Time { return later }
	if r, err := c.Check(t.Context()); err != nil || r.Offered != "1.2.0" {
		t.Errorf("%+v, %v", r, err)
	}
}
