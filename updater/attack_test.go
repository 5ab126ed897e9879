package updater

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// An attack starts from a client that runs 1.0.0, has accepted a genuine channel, and would be offered 1.1.0. It
// prepares what the client meets next.
type attack struct {
	name     string
	prepare  func(t *testing.T, repo *testrelease.Repo, c *client)
	want     []error // each must be found in the error
	advanced bool    // a genuine newer channel is served with the attack
	partial  bool    // a part of a file that is on offer may stay
	artifact bool    // the attack is in the artifact, so it may be asked for
	options  []testrelease.Option
}

var attacks = []attack{
	{
		name: "A01 arbitrary install: everything signed by another key",
		prepare: func(t *testing.T, repo *testrelease.Repo, _ *client) {
			evil := testrelease.NewKey(t, "evil")
			repo.ReleaseKeys, repo.ChannelKeys = []*testrelease.Key{evil}, []*testrelease.Key{evil}
			repo.Publish("1.2.0", program("1.2.0"))
		},
		want: []error{ErrRefused, verify.ErrSignature},
	},
	{
		name: "A01 arbitrary install: only the manifest signed by another key",
		prepare: func(t *testing.T, repo *testrelease.Repo, _ *client) {
			repo.ReleaseKeys = []*testrelease.Key{testrelease.NewKey(t, "evil")}
			repo.Publish("1.2.0", program("1.2.0"))
		},
		want: []error{ErrRefused, verify.ErrSignature}, advanced: true,
	},
	{
		name: "A02 artifact swapped: one bit",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			path := repo.FilePath("1.1.0")
			repo.Hook(path, testrelease.Bytes(testrelease.Flip(repo.Get(path), 10)))
		},
		want: []error{ErrRefused, fetch.ErrHash}, artifact: true, partial: true,
	},
	{
		name: "A02 artifact swapped: another file of the same size",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Hook(repo.FilePath("1.1.0"), testrelease.Bytes(program("9.9.9")))
		},
		want: []error{ErrRefused, fetch.ErrHash}, artifact: true, partial: true,
	},
	{
		name: "A03 rollback: an old genuine channel document",
		prepare: func(t *testing.T, repo *testrelease.Repo, c *client) {
			old := repo.Get("stable")
			repo.Resign(nil)
			if _, err := c.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			repo.Put("stable", old)
		},
		want: []error{ErrRefused, release.ErrRollback}, advanced: true,
	},
	{
		name: "A04 rollback by relabel: 1.0.5 offered as 99.0.0",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			e := repo.Publish("1.0.5", program("1.0.5"), testrelease.Unlisted())
			repo.Put("releases/99.0.0.manifest", repo.Get("releases/1.0.5.manifest"))
			e.Version = semver.MustParse("99.0.0")
			repo.Resign(func(ch *release.Channel) { ch.Entries = append(ch.Entries, e) })
		},
		want: []error{ErrRefused, release.ErrVersion}, advanced: true,
	},
	{
		name: "A05 equivocation: two documents of one sequence",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Resign(func(ch *release.Channel) { ch.Sequence--; ch.Entries = ch.Entries[:1] })
		},
		want: []error{ErrRefused, release.ErrEquivocation},
	},
	{
		name: "A06 freeze: a document past its date",
		prepare: func(_ *testing.T, _ *testrelease.Repo, c *client) {
			c.now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
		},
		want: []error{ErrRefused, release.ErrExpired},
	},
	{
		name:    "A08 endless channel document",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) { repo.Hook("stable", testrelease.Endless()) },
		want:    []error{ErrRefused, fetch.ErrTooLarge},
	},
	{
		name: "A08 endless manifest",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Hook("releases/1.1.0.manifest", testrelease.Endless())
		},
		want: []error{ErrRefused, fetch.ErrTooLarge},
	},
	{
		name: "A09 endless artifact",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Hook(repo.FilePath("1.1.0"), testrelease.Endless())
		},
		want: []error{fetch.ErrSize}, artifact: true, partial: true,
	},
	{
		name: "A10 short artifact",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			path := repo.FilePath("1.1.0")
			short := testrelease.Short(len(repo.Get(path)) - 1)
			repo.Hook(path, func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
				repo.Hook(path, testrelease.Status(http.StatusServiceUnavailable)) // nor the rest later
				short(w, r, honest)
			})
		},
		want: []error{ErrUnreachable}, artifact: true, partial: true,
	},
	{
		name: "A12 mix and match: the file of another release",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Publish("1.0.9", program("1.0.9"), testrelease.Unlisted())
			repo.Hook(repo.FilePath("1.1.0"), testrelease.Bytes(program("1.0.9")))
		},
		want: []error{ErrRefused, fetch.ErrHash}, artifact: true, partial: true,
	},
	{
		name: "A12 mix and match: the manifest of another release",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Publish("1.0.9", program("1.0.9"), testrelease.Unlisted())
			repo.Put("releases/1.1.0.manifest", repo.Get("releases/1.0.9.manifest"))
		},
		want: []error{ErrRefused, release.ErrID},
	},
	{
		name: "A13 wrong app, same key",
		prepare: func(t *testing.T, repo *testrelease.Repo, _ *client) {
			other := testrelease.New(t)
			other.App = "other"
			for range 10 {
				other.Publish("2.0.0", program("2.0.0"))
			}
			repo.Put("stable", other.Get("stable"))
		},
		want: []error{ErrRefused, release.ErrApp},
	},
	{
		name: "A14 bytes of another architecture",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Hook(repo.FilePath("1.1.0"), testrelease.Bytes([]byte("\x7fELF of another machine")))
		},
		want: []error{fetch.ErrSize}, artifact: true, partial: true,
	},
	{
		name: "A14 no artifact for this platform",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Resign(func(ch *release.Channel) { ch.Entries = nil })
			repo.Publish("1.2.0", program("1.2.0"), testrelease.On("plan9/mips"))
		},
		want: []error{ErrNothing, release.ErrNoArtifact}, advanced: true,
	},
	{
		name: "A15 wrong channel",
		prepare: func(t *testing.T, repo *testrelease.Repo, _ *client) {
			beta := testrelease.New(t)
			beta.Name = "beta"
			for range 10 {
				beta.Publish("2.0.0", program("2.0.0"))
			}
			repo.Put("stable", beta.Get("beta"))
		},
		want: []error{ErrRefused, release.ErrChannel},
	},
	{
		name: "A16 role confusion: a manifest as a channel document",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Put("stable", repo.Get("releases/1.1.0.manifest"))
		},
		want: []error{ErrRefused, verify.ErrType},
	},
	{
		name:    "N01 captive portal: a page instead of a document",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) { repo.Hook("*", testrelease.Page()) },
		want:    []error{ErrRefused, verify.ErrMalformed},
	},
	{
		name: "P13 legacy signature",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			text := repo.Text(repo.Get("stable"))
			repo.Put("stable", append([]byte(text+"\n"), repo.ChannelKeys[0].SignLegacy([]byte(text))...))
		},
		want: []error{ErrRefused, verify.ErrAlgorithm},
	},
	{
		name: "P18 decompression bomb",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			bomb := testrelease.Compress(make([]byte, 64<<20))
			repo.Resign(func(ch *release.Channel) { ch.Entries = nil })
			repo.Publish("1.2.0", program("1.2.0"), testrelease.Zstd(), testrelease.Manifest(func(m *release.Manifest) {
				m.Artifacts[0].Downloads = []release.Download{repo.Store(release.Zstd, bomb)}
			}))
		},
		want: []error{ErrRefused, fetch.ErrSize}, advanced: true, artifact: true, partial: true,
	},
	{
		name: "N06 the server is in trouble",
		prepare: func(_ *testing.T, repo *testrelease.Repo, _ *client) {
			repo.Hook("*", testrelease.Status(http.StatusServiceUnavailable))
		},
		want: []error{ErrUnreachable},
	},
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			repo := testrelease.New(t)
			repo.Publish("1.0.0", program("1.0.0"))
			repo.Resign(nil)
			c := install(t, repo, "1.0.0")
			repo.Publish("1.1.0", program("1.1.0"), a.options...)
			if r, err := c.Check(t.Context()); err != nil || r.Offered != "1.1.0" {
				t.Fatalf("before the attack: offered %q, %v", r.Offered, err)
			}
			// What is attacked is a new process: nothing is left in memory.
			c = again(t, repo, c.path, "1.0.0")
			before := c.snapshot()
			now := c.now
			a.prepare(t, repo, c)
			repo.Forget()

			_, err := c.update()
			for _, want := range a.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v\nis not: %v", err, want)
				}
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%T is not an *Error", err)
			}
			if !a.artifact && repo.Requested("files/") > 0 {
				t.Errorf("a file was asked for: %v", repo.Requests())
			}
			c.unchanged(before, a.advanced, a.partial)
			c.holds("1.0.0")

			// The next good check succeeds, in this process and in a new one.
			c.now = now
			repo.Hook("*", nil)
			for _, path := range append(repo.Files(), "stable") {
				repo.Hook(path, nil)
			}
			heal(t, repo)
			again(t, repo, c.path, "1.0.0").mustUpdate("1.3.0")
		})
	}
}

// heal publishes a release as the honest publisher would after the attack.
func heal(t *testing.T, repo *testrelease.Repo) {
	t.Helper()
	honest := testrelease.New(t)
	repo.ReleaseKeys, repo.ChannelKeys = honest.ReleaseKeys, honest.ChannelKeys
	repo.Channel.Entries = nil
	repo.Publish("1.3.0", program("1.3.0"))
}

// A manifest that was fetched before is judged anew by the entry that names it now: the channel key alone must not
// make an old release a new one.
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

// A source that says for ever that nothing is new does not keep the mirrors from being asked once its document no
// longer holds.
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
