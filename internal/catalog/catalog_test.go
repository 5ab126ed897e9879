package catalog

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// files reads a repository as a folder would be read.
func files(repo *testrelease.Repo) Files {
	return func(_ context.Context, path string, limit int64) ([]byte, error) {
		for _, name := range repo.Files() {
			if name == path {
				b := repo.Get(path)
				return b[:min(int64(len(b)), limit+1)], nil
			}
		}
		return nil, fs.ErrNotExist
	}
}

func root(t *testing.T, repo *testrelease.Repo) *verify.Trust {
	t.Helper()
	trust, err := verify.ParseTrust(repo.Key())
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func client(t *testing.T, repo *testrelease.Repo) *Client {
	return &Client{App: repo.App, Channel: "stable", Root: root(t, repo)}
}

// rotated is a repository whose trust documents 1 to n were signed by the publisher.
func rotated(t *testing.T, n int) *testrelease.Repo {
	t.Helper()
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	for v := 1; v <= n; v++ {
		repo.Trust(verify.TrustDraft{Version: v, Trust: testrelease.Role(1, repo.ReleaseKeys[0])}, repo.ReleaseKeys[0])
	}
	return repo
}

func TestWalk(t *testing.T) {
	repo := rotated(t, 3)
	pinned := root(t, repo)
	d := Documents{Source: files(repo), App: "hello", Trust: pinned}
	followed, err := d.Walk(t.Context())
	if err != nil || len(followed) != 3 || d.Trust.Version != 3 || followed[2] != d.Trust {
		t.Errorf("followed %d, at version %d, %v", len(followed), d.Trust.Version, err)
	}
	repo.Put("trust/2", testrelease.Flip(repo.Get("trust/2"), 40))
	d = Documents{Source: files(repo), App: "hello", Trust: pinned}
	if followed, err = d.Walk(t.Context()); !Refused(err) || len(followed) != 1 || d.Trust.Version != 1 {
		t.Errorf("beyond a document that does not follow: %d, at version %d, %v", len(followed), d.Trust.Version, err)
	}
	repo.Remove("trust/1")
	d = Documents{Source: files(repo), App: "hello", Trust: pinned}
	if followed, err = d.Walk(t.Context()); err != nil || len(followed) != 0 || d.Trust != pinned {
		t.Errorf("beyond a gap: %d, at version %d, %v", len(followed), d.Trust.Version, err)
	}
}

// What an object store answers for a file that is not there ends the walk too.
func TestWalkEndsAtForbidden(t *testing.T) {
	repo := rotated(t, 1)
	repo.Hook("trust/2", testrelease.Status(http.StatusForbidden))
	d := Documents{Source: &fetch.Client{Sources: []string{repo.URL()}}, App: "hello", Trust: root(t, repo)}
	if followed, err := d.Walk(t.Context()); err != nil || len(followed) != 1 {
		t.Errorf("followed %d, %v", len(followed), err)
	}
}

func TestDocuments(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	d := Documents{Source: files(repo), App: "hello", Trust: root(t, repo)}
	c, file, err := d.Channel(t.Context(), "stable", nil)
	if err != nil || string(file) != string(repo.Get("stable")) || len(c.Entries) != 1 {
		t.Fatalf("%v, %v", c, err)
	}
	m, file, err := d.Manifest(t.Context(), c.Entries[0])
	if err != nil || string(file) != string(repo.Get("releases/1.0.0.manifest")) || m.Version.String() != "1.0.0" {
		t.Errorf("%v, %v", m, err)
	}
	no := errors.New("no")
	if c, file, err := d.Channel(t.Context(), "stable", func(*release.Channel) error { return no }); !errors.Is(err, no) || !Refused(err) || c != nil || file != nil {
		t.Errorf("a channel that the caller refuses: %v, %v", c, err)
	}
	if _, _, err := d.Channel(t.Context(), "beta", nil); !errors.Is(err, fetch.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a channel that is not there: %v", err)
	}
	repo.Put("stable", []byte(strings.Repeat("x", int(verify.TypeChannel.MaxSize())+1)))
	if _, _, err := d.Channel(t.Context(), "stable", nil); !errors.Is(err, fetch.ErrTooLarge) {
		t.Errorf("a channel that is too large: %v", err)
	}
}

// What was verified before an error is remembered with it, and nothing of what was refused.
func TestLookRemembers(t *testing.T) {
	repo := rotated(t, 1)
	first := repo.Get("stable")
	repo.Publish("1.1.0", []byte("two"))
	c := client(t, repo)
	v, err := c.Look(t.Context(), files(repo), Memory{}, repo.Now)
	if err != nil || v.Memory.Trust.Version != 1 || len(v.Followed) != 1 || v.Memory.Channel.Sequence != 2 || !v.Memory.Floor.Equal(repo.Now) {
		t.Fatalf("%+v, %v", v, err)
	}
	offer, rules, err := v.Select(t.Context(), release.Client{Platform: testrelease.Host(), Installed: semver.MustParse("1.0.0")})
	if err != nil || offer == nil || offer.Entry.Version.String() != "1.1.0" || len(rules) == 0 || len(v.Memory.Manifests) != 1 {
		t.Errorf("offer %v, %v", offer, err)
	}
	repo.Put("stable", first)
	again, err := c.Look(t.Context(), files(repo), v.Memory, repo.Now.Add(time.Hour))
	if !errors.Is(err, release.ErrRollback) || !errors.Is(err, ErrLagging) || again.Channel != nil || again.Memory.Channel != v.Memory.Channel {
		t.Errorf("an older document: %+v, %v", again, err)
	}
	if again, err = c.Look(t.Context(), files(repo), v.Memory, repo.Now.Add(25*time.Hour)); !errors.Is(err, release.ErrRollback) || errors.Is(err, ErrLagging) {
		t.Errorf("after a day: %+v, %v", again, err)
	}
}

// A07: the time floor that a stolen key raised goes with the key, wherever it is remembered.
func TestA07FloorGoesWithTheKey(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	stolen := Memory{
		Channel: &Channel{Seen: release.Seen{Sequence: 43, Threshold: 1, Signers: []verify.Digest{testrelease.NewKey(t, "stolen").Key().Fingerprint()}}},
		Floor:   time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	c := client(t, repo)
	for name, m := range map[string]Memory{
		"in the file": c.Join(stolen, Memory{}), "in this process": c.Join(Memory{}, stolen), "in both": c.Join(stolen, stolen),
	} {
		if m.Channel.Sequence != 0 || len(m.Channel.Signers) != 0 || !m.Floor.IsZero() {
			t.Errorf("%s: still remembered: %+v, %+v", name, m.Channel, m)
		}
	}
	if v, err := c.Look(t.Context(), files(repo), stolen, repo.Now); err != nil || v.Memory.Channel.Sequence != 1 || v.Memory.Floor.Year() == 2099 {
		t.Errorf("%+v, %v", v.Memory, err)
	}
}

func TestJoin(t *testing.T) {
	repo := rotated(t, 2)
	c := client(t, repo)
	early := repo.Now.Add(-time.Hour)
	v, err := c.Look(t.Context(), files(repo), Memory{}, early)
	if err != nil {
		t.Fatal(err)
	}
	old := v.Memory
	repo.Now = repo.Now.Add(time.Minute)
	repo.Resign(nil)
	if v, err = c.Look(t.Context(), files(repo), old, repo.Now); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]Memory{"older first": c.Join(old, v.Memory), "newer first": c.Join(v.Memory, old)} {
		if m.Channel.Sequence != 2 || !m.Floor.Equal(v.Memory.Floor) || m.Trust.Version != 2 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	foreign := old
	foreign.Trust.File = "nonsense"
	if m := c.Join(foreign, v.Memory); m.Channel.Sequence != 2 || m.Trust.File == "nonsense" {
		t.Errorf("with a trust document that is torn: %+v", m)
	}
}

// A client that was built with another trust document than the one of the same version that it remembers follows
// neither.
func TestLookRefusesAnotherRoot(t *testing.T) {
	repo := rotated(t, 1)
	c := client(t, repo)
	v, err := c.Look(t.Context(), files(repo), Memory{}, repo.Now)
	if err != nil {
		t.Fatal(err)
	}
	other := rotated(t, 0)
	other.Trust(verify.TrustDraft{Version: 1, Trust: testrelease.Role(1, testrelease.NewKey(t, "other"))}, testrelease.NewKey(t, "other"), other.ReleaseKeys[0])
	if c.Root, err = verify.ParseTrust(string(other.Get("trust/1"))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Look(t.Context(), files(repo), v.Memory, repo.Now); !errors.Is(err, ErrRoot) || !Refused(err) {
		t.Errorf("error %v", err)
	}
}

// rekeyed is a repository with two channel keys, ci and old, and a client that has seen a channel signed by ci alone.
func rekeyed(t *testing.T) (repo *testrelease.Repo, c *Client, seen Memory, ci, old *testrelease.Key) {
	t.Helper()
	repo, ci, old = testrelease.New(t), testrelease.NewKey(t, "ci"), testrelease.NewKey(t, "old")
	repo.Trust(verify.TrustDraft{Version: 1, Channel: testrelease.Role(1, ci, old)}, repo.ReleaseKeys[0])
	repo.ChannelKeys = []*testrelease.Key{old}
	repo.Publish("1.0.0", []byte("one"))
	repo.Resign(func(c *release.Channel) { c.Trust = 1 })
	repo.Put("replay", repo.Get("stable")) // signed by the key that stays
	repo.ChannelKeys = []*testrelease.Key{ci}
	repo.Publish("1.1.0", []byte("two"))
	c = client(t, repo)
	v, err := c.Look(t.Context(), files(repo), Memory{}, repo.Now)
	if err != nil {
		t.Fatal(err)
	}
	return repo, c, v.Memory, ci, old
}

// R11: when the key that vouched for what was seen is replaced, a document from before that, which the key that stays
// has signed, is not good again. What the publisher signs anew is, however low its sequence.
func TestR11ReplayAfterAKeyIsReplaced(t *testing.T) {
	repo, c, seen, _, old := rekeyed(t)
	repo.Trust(verify.TrustDraft{Version: 2, Channel: testrelease.Role(1, old)}, repo.ReleaseKeys[0])
	honest := repo.Get("stable")
	repo.Put("stable", repo.Get("replay"))
	later := repo.Now.Add(25 * time.Hour) // a look for newer trust documents is due
	v, err := c.Look(t.Context(), files(repo), seen, later)
	if !errors.Is(err, release.ErrRollback) || v.Trust.Version != 2 || v.Memory.Channel.Trust != 2 || v.Memory.Channel.Sequence != 0 {
		t.Fatalf("a replay: %+v, %v", v.Memory.Channel, err)
	}
	repo.Put("stable", honest) // signed by the key that was taken away
	if _, err := c.Look(t.Context(), files(repo), v.Memory, later); !errors.Is(err, verify.ErrSignature) {
		t.Errorf("the replaced key: %v", err)
	}
	repo.ChannelKeys = []*testrelease.Key{old}
	repo.Resign(func(c *release.Channel) { c.Trust, c.Sequence = 2, 1 })
	v, err = c.Look(t.Context(), files(repo), v.Memory, later)
	if err != nil || v.Memory.Channel.Sequence != 1 || v.Memory.Channel.Trust != 2 {
		t.Fatalf("the publisher's next document: %+v, %v", v.Memory.Channel, err)
	}
	repo.Put("stable", repo.Get("replay"))
	if _, err := c.Look(t.Context(), files(repo), v.Memory, later); !errors.Is(err, release.ErrRollback) {
		t.Errorf("a replay with a higher sequence than the publisher's: %v", err)
	}
	if m := c.Join(seen, v.Memory); m.Channel.Trust != 2 || m.Channel.Sequence != 1 {
		t.Errorf("joined with what was remembered before: %+v", m.Channel)
	}
	stays := Memory{Channel: &Channel{Seen: release.Seen{Sequence: 50, Threshold: 1, Signers: []verify.Digest{old.Key().Fingerprint()}}}}
	for _, m := range []Memory{c.Join(stays, v.Memory), c.Join(v.Memory, stays)} {
		if m.Channel.Trust != 2 || m.Channel.Sequence != 1 {
			t.Errorf("joined with a process that saw only the signature of the key that stays: %+v", m.Channel)
		}
	}
	if m := c.Join(v.Memory, seen); m.Channel.Trust != 2 || m.Channel.Sequence != 1 {
		t.Errorf("joined with what was remembered before: %+v", m.Channel)
	}
}

// R02: a channel names a trust document that somebody withholds, so that keys which it takes away stay good. It is
// refused, and nothing of it is remembered.
func TestR02WithheldTrust(t *testing.T) {
	repo, c, seen, ci, _ := rekeyed(t)
	repo.Trust(verify.TrustDraft{Version: 2, Channel: testrelease.Role(1, ci)}, repo.ReleaseKeys[0])
	second := repo.Get("trust/2")
	repo.Remove("trust/2")
	repo.Publish("1.2.0", []byte("three"))
	repo.Resign(func(c *release.Channel) { c.Trust = 2 })
	v, err := c.Look(t.Context(), files(repo), seen, repo.Now.Add(time.Minute))
	if !errors.Is(err, release.ErrTrust) || !Refused(err) || v.Channel != nil || v.Memory.Channel.Sequence != seen.Channel.Sequence || !v.Memory.Floor.Equal(seen.Floor) {
		t.Errorf("withheld: %+v, %v", v.Memory.Channel, err)
	}
	repo.Put("trust/2", second)
	if v, err = c.Look(t.Context(), files(repo), v.Memory, repo.Now.Add(time.Minute)); err != nil || v.Trust.Version != 2 || v.Memory.Channel.Sequence != repo.Channel.Sequence {
		t.Errorf("not withheld any more: %+v, %v", v.Memory.Channel, err)
	}
}

// A source that fails is no source without the document, and a chain of trust documents without end is none to follow.
func TestWalkEnds(t *testing.T) {
	repo := rotated(t, MaxRotations+1)
	d := Documents{Source: files(repo), App: "hello", Trust: root(t, repo)}
	if followed, err := d.Walk(t.Context()); !errors.Is(err, verify.ErrTooLarge) || len(followed) != MaxRotations {
		t.Errorf("followed %d, %v", len(followed), err)
	}
	broken := errors.New("input/output error")
	d = Documents{Source: Files(func(context.Context, string, int64) ([]byte, error) { return nil, broken }), App: "hello", Trust: root(t, repo)}
	if _, err := d.Walk(t.Context()); !errors.Is(err, broken) || Refused(err) {
		t.Errorf("a source that fails: %v", err)
	}
}

// "Not modified" counts only for a document that still holds.
func TestLookAtWhatIsNotModified(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	c, source := client(t, repo), &fetch.Client{Sources: []string{repo.URL()}}
	v, err := c.Look(t.Context(), source, Memory{}, repo.Now)
	if err != nil {
		t.Fatal(err)
	}
	first := v.Memory
	if v, err = c.Look(t.Context(), source, first, repo.Now.Add(time.Hour)); err != nil || v.Channel == nil || !v.Memory.Channel.Served.After(first.Channel.Served) {
		t.Errorf("%+v, %v", v.Memory.Channel, err)
	}
	if v, err = c.Look(t.Context(), source, first, repo.Channel.Expires.Add(time.Hour)); !errors.Is(err, release.ErrExpired) || v.Channel != nil || v.Memory.Channel != first.Channel {
		t.Errorf("expired since: %+v, %v", v.Memory.Channel, err)
	}
}

// A manifest that was fetched once is opened again from memory; what memory has of another one is not taken for it.
func TestManifestFromMemory(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	c := client(t, repo)
	v, err := c.Look(t.Context(), files(repo), Memory{}, repo.Now)
	if err != nil {
		t.Fatal(err)
	}
	e := v.Channel.Entries[0]
	if _, err := v.Manifest(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	repo.Remove("releases/1.0.0.manifest")
	if m, err := v.Manifest(t.Context(), e); err != nil || m.Version.String() != "1.0.0" {
		t.Errorf("%v, %v", m, err)
	}
	v.Memory.Manifests[e.Manifest] = []byte("nonsense")
	if m, err := v.Manifest(t.Context(), e); !errors.Is(err, fetch.ErrNotFound) || m != nil {
		t.Errorf("%v, %v", m, err)
	}
}

// What is remembered of another program, or of before the program was built anew, is not what is in force.
func TestRememberedTrustThatDoesNotCount(t *testing.T) {
	repo := rotated(t, 2)
	c := client(t, repo)
	v, err := c.Look(t.Context(), files(repo), Memory{}, repo.Now)
	if err != nil || v.Memory.Trust.Version != 2 {
		t.Fatalf("%+v, %v", v.Memory.Trust, err)
	}
	if known := c.Known(v.Memory); known == nil || known.ID != v.Channel.ID {
		t.Errorf("known: %v", known)
	}
	if known := c.Known(Memory{}); known != nil {
		t.Errorf("of nothing: %v", known)
	}
	beta := *c
	beta.Channel = "beta"
	if known := beta.Known(v.Memory); known != nil {
		t.Errorf("of another channel: %v", known)
	}

	foreign := *c
	foreign.App = "other"
	if again, err := foreign.Look(t.Context(), files(repo), v.Memory, repo.Now); !errors.Is(again.TrustLost, verify.ErrApp) || !Refused(err) {
		t.Errorf("of another program: %v, %v", again.TrustLost, err)
	}
	torn := v.Memory
	torn.Trust.File = "nonsense"
	if m := c.Join(torn, Memory{Asked: repo.Now.Add(time.Hour)}); m.Trust.Version != 0 || !m.Asked.Equal(repo.Now.Add(time.Hour)) {
		t.Errorf("torn: %+v", m)
	}

	built := *c
	if built.Root, err = verify.ParseTrust(string(repo.Get("trust/2"))); err != nil {
		t.Fatal(err)
	}
	early := v.Memory
	early.Trust = Trust{Version: 1, File: string(repo.Get("trust/1"))}
	if again, err := built.Look(t.Context(), files(repo), early, repo.Now); err != nil || again.Trust.Version != 2 {
		t.Errorf("built later: %v, %v", again.Trust.Version, err)
	}
}

// A channel that only newer keys can have signed leads to them, and a trust document that does not follow is the answer.
func TestLookFollowsTheChannelToItsKeys(t *testing.T) {
	repo, next := testrelease.New(t), testrelease.NewKey(t, "next")
	repo.Publish("1.0.0", []byte("one"))
	c := client(t, repo)
	v, err := c.Look(t.Context(), files(repo), Memory{}, repo.Now)
	if err != nil {
		t.Fatal(err)
	}
	seen := v.Memory // asked for trust documents just now
	repo.Trust(verify.TrustDraft{Version: 1, Channel: testrelease.Role(1, next)}, repo.ReleaseKeys[0])
	repo.ChannelKeys = []*testrelease.Key{next}
	repo.Resign(func(c *release.Channel) { c.Trust = 1 })
	if v, err = c.Look(t.Context(), files(repo), seen, repo.Now); err != nil || v.Trust.Version != 1 {
		t.Errorf("at version %d, %v", v.Trust.Version, err)
	}
	good := repo.Get("trust/1")
	repo.Put("trust/1", testrelease.Flip(good, 40))
	if v, err = c.Look(t.Context(), files(repo), seen, repo.Now); !Refused(err) || v.Channel != nil {
		t.Errorf("signed by keys that nothing leads to: %v", err)
	}
	repo.ChannelKeys = repo.ReleaseKeys
	repo.Resign(func(c *release.Channel) { c.Trust = 1 })
	if v, err = c.Look(t.Context(), files(repo), seen, repo.Now); !Refused(err) || v.Channel != nil {
		t.Errorf("names a document that does not follow: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := Files(func(ctx context.Context, _ string, _ int64) ([]byte, error) { return nil, ctx.Err() })
	if _, err := c.Look(ctx, stopped, Memory{}, repo.Now); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// The last trust document has an end, near which the next one is looked for each time, and after which nothing is taken.
func TestTrustThatEnds(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	ends := verify.Time{Time: repo.Now.Add(3 * 24 * time.Hour)}
	repo.Trust(verify.TrustDraft{Version: 1, Expires: ends, Trust: testrelease.Role(1, repo.ReleaseKeys[0])}, repo.ReleaseKeys[0])
	repo.Resign(func(c *release.Channel) { c.Trust = 1 })
	c := client(t, repo)
	v, err := c.Look(t.Context(), files(repo), Memory{}, repo.Now)
	if err != nil {
		t.Fatal(err)
	}
	v.Memory.Asked = repo.Now
	if v, err = c.Look(t.Context(), files(repo), v.Memory, repo.Now.Add(time.Minute)); err != nil || !v.Memory.Asked.Equal(repo.Now.Add(time.Minute)) {
		t.Errorf("asked at %v, %v", v.Memory.Asked, err)
	}
	if _, err = c.Look(t.Context(), files(repo), v.Memory, ends.Add(time.Minute)); !errors.Is(err, release.ErrExpired) {
		t.Errorf("after its end: %v", err)
	}
}
