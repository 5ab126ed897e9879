package updater

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// ceremony is a repository with people in it: "publisher" is the key that programs are built with, the others are
// there to be named in trust documents.
type ceremony struct {
	*testrelease.Repo
	t    *testing.T
	keys map[string]*testrelease.Key
}

func begin(t *testing.T) *ceremony {
	t.Helper()
	r := &ceremony{published(t, "1.0.0"), t, map[string]*testrelease.Key{}}
	for _, name := range []string{"alice", "bob", "carol", "dave", "erin", "ci", "new ci"} {
		r.keys[name] = testrelease.NewKey(t, name)
	}
	r.keys["publisher"] = r.ReleaseKeys[0]
	return r
}

// of names keys: "alice bob".
func (r *ceremony) of(names string) (keys []*testrelease.Key) {
	r.t.Helper()
	for name := range strings.SplitSeq(strings.ReplaceAll(names, "new ci", "new_ci"), " ") {
		k := r.keys[strings.ReplaceAll(name, "_", " ")]
		if k == nil {
			r.t.Fatalf("nobody is called %q", name)
		}
		keys = append(keys, k)
	}
	return keys
}

func (r *ceremony) role(threshold int, names string) verify.Role {
	return testrelease.Role(threshold, r.of(names)...)
}

// installed is a program of 1.0.0, built with the publisher's bare key.
func (r *ceremony) installed(edit ...func(*Options)) *client {
	r.t.Helper()
	key := r.keys["publisher"].String()
	return install(r.t, r.Repo, "1.0.0", append([]func(*Options){func(o *Options) { o.Key = key }}, edit...)...)
}

// again is another process of it.
func (r *ceremony) again(c *client, edit ...func(*Options)) *client {
	r.t.Helper()
	key := r.keys["publisher"].String()
	return again(r.t, r.Repo, c.path, "1.0.0", append([]func(*Options){func(o *Options) { o.Key = key }}, edit...)...)
}

// follows fails the test unless a check succeeds and trust version n is then in force and remembered.
func (c *client) follows(n int) {
	c.t.Helper()
	if _, err := c.Check(c.t.Context()); err != nil {
		c.t.Fatalf("check: %v", err)
	}
	c.trusts(n)
}

// trusts fails the test unless trust version n is remembered; 0 is never.
func (c *client) trusts(n int) {
	c.t.Helper()
	is := 0
	if st := c.state(); st.Trust != nil {
		is = st.Trust.Version
	}
	if is != n {
		c.t.Errorf("trust version %d is remembered, want %d", is, n)
	}
}

// refuses fails the test unless an update fails in these ways and nothing has changed.
func (c *client) refuses(want ...error) {
	c.t.Helper()
	before := c.snapshot()
	_, err := c.update()
	for _, w := range append(want, ErrRefused) {
		if !errors.Is(err, w) {
			c.t.Errorf("error %v\nis not: %v", err, w)
		}
	}
	c.unchanged(before, false, false)
}

// A rotation goes from trust 1 with these trust keys to trust 2, signed by these people. It follows or it does not;
// nothing of one that does not stays.
func TestA22Rotations(t *testing.T) {
	for _, row := range []struct {
		name             string
		from, to, signed string // "2: alice bob" is any two of them
		err              error  // nil: it follows
	}{
		{"1 of 1 replaced", "1: alice", "1: bob", "alice bob", nil},
		{"nothing changes", "1: alice", "1: alice", "alice", nil},
		{"unused extra signatures", "1: alice", "1: bob", "alice bob carol dave", nil},
		{"3 of 5 by the first three", "3: alice bob carol dave erin", "3: alice bob carol dave erin", "alice bob carol", nil},
		{"3 of 5 by others", "3: alice bob carol dave erin", "3: alice bob carol dave erin", "bob dave erin", nil},
		{"one key of three", "2: alice bob carol", "2: alice bob dave", "alice bob", nil},
		{"one key of three, by the new one", "2: alice bob carol", "2: alice bob dave", "alice bob dave", nil},
		{"the leaving key signs for the old side", "2: alice bob carol", "2: alice bob dave", "alice carol dave", nil},
		{"all keys in one step", "2: alice bob", "2: carol dave", "alice bob carol dave", nil},
		{"threshold up", "1: alice bob", "2: alice bob", "alice bob", nil},
		{"threshold down", "2: alice bob", "1: alice bob", "alice bob", nil},
		{"grown from one key", "1: alice", "2: alice bob carol", "alice bob", nil},
		{"shrunk to one key", "2: alice bob carol", "1: dave", "alice carol dave", nil},

		{"not signed by the old", "1: alice", "1: bob", "bob", verify.ErrSignature},
		{"not signed by the new", "1: alice", "1: bob", "alice", verify.ErrSignature},
		{"signed by neither", "1: alice", "1: bob", "carol", verify.ErrSignature},
		{"too few of the old", "2: alice bob carol", "1: dave", "alice dave", verify.ErrThreshold},
		{"too few of the new", "1: alice", "2: alice bob carol", "alice", verify.ErrThreshold},
		{"threshold raised and not reached", "1: alice bob", "2: alice bob", "alice", verify.ErrThreshold},
		{"threshold lowered by too few", "2: alice bob", "1: alice bob", "alice", verify.ErrThreshold},
		{"two of 3 of 5", "3: alice bob carol dave erin", "3: alice bob carol dave erin", "bob dave", verify.ErrThreshold},
		{"all keys in one step, one old one short", "2: alice bob", "2: carol dave", "alice carol dave", verify.ErrThreshold},
		{"all keys in one step, one new one short", "2: alice bob", "2: carol dave", "alice bob carol", verify.ErrThreshold},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := begin(t)
			role := func(s string) verify.Role {
				threshold, names, _ := strings.Cut(s, ": ")
				return r.role(int(threshold[0]-'0'), names)
			}
			_, names, _ := strings.Cut(row.from, ": ")
			r.Trust(verify.TrustDraft{Version: 1, Trust: role(row.from)}, append(r.of(names), r.keys["publisher"])...)
			c := r.installed()
			c.follows(1)
			r.Trust(verify.TrustDraft{Version: 2, Trust: role(row.to)}, r.of(row.signed)...)
			if row.err == nil {
				r.again(c).follows(2)
				return
			}
			// Nobody asked for trust 2, so the update goes on under trust 1; once the channel names it, there is
			// none.
			r.again(c).follows(1)
			r.Resign(func(ch *release.Channel) { ch.Trust = 2 })
			c = r.again(c)
			_, err := c.update()
			if !errors.Is(err, row.err) || !errors.Is(err, ErrRefused) {
				t.Errorf("error %v\nis not: %v", err, row.err)
			}
			c.trusts(1)
			c.holds("1.0.0")
			// A24: nothing of it was kept that another process would begin from.
			r.Remove("trust/2")
			_, names, _ = strings.Cut(row.from, ": ")
			r.Trust(verify.TrustDraft{Version: 2, Trust: role(row.from)}, r.of(names)...)
			r.again(c).follows(2)
		})
	}
}

// A trustAttack begins with a client that follows trust 1: two of alice, bob and carol vouch for trust, publisher for
// releases, ci for channels.
type trustAttack struct {
	name string
	do   func(r *ceremony, c *client)
	want []error
}

// named signs a channel that names a trust document, as who can publish channels may do to have clients look at it.
func (r *ceremony) named(n int) { r.Resign(func(c *release.Channel) { c.Trust = n }) }

// forged stores as trust/2 what the tool would not sign: the text of a good trust 2, changed, signed by all who
// could.
func forged(old, new string) func(*ceremony, *client) {
	return func(r *ceremony, _ *client) {
		r.t.Helper()
		text := r.Text(r.second())
		if !strings.Contains(text, old) {
			r.t.Fatalf("the trust document has no %q:\n%s", old, text)
		}
		r.Put("trust/2", r.SignText(strings.Replace(text, old, new, 1), r.of("alice bob carol")...))
		r.named(2)
	}
}

// second publishes a good trust 2 in which "new ci" signs channels.
func (r *ceremony) second() []byte {
	r.t.Helper()
	return r.Trust(verify.TrustDraft{Version: 2, Trust: r.role(2, "alice bob carol"), Channel: r.role(1, "new ci")}, r.of("alice bob")...)
}

var trustAttacks = []trustAttack{
	{"A19 single key below threshold", func(r *ceremony, _ *client) {
		r.Trust(verify.TrustDraft{Version: 2, Trust: r.role(2, "alice bob carol")}, r.of("alice")...)
		r.named(2)
	}, []error{verify.ErrThreshold}},
	{"A20 same signature twice", func(r *ceremony, _ *client) {
		r.Put("trust/2", r.SignText(r.Text(r.second()), r.of("alice alice")...))
		r.named(2)
	}, []error{verify.ErrThreshold}},
	{"A20 same key under another id", func(r *ceremony, _ *client) {
		again := testrelease.NewKeyWithID(r.t, "alice", 42)
		r.Put("trust/2", r.SignText(r.Text(r.second()), r.keys["alice"], again))
		r.named(2)
	}, []error{verify.ErrThreshold}},
	{"A21 threshold 0", forged(`"threshold": 2`, `"threshold": 0`), []error{verify.ErrMalformed}},
	{"A21 threshold negative", forged(`"threshold": 2`, `"threshold": -2`), []error{verify.ErrMalformed}},
	{"A21 threshold above the number of keys", forged(`"threshold": 2`, `"threshold": 4`), []error{verify.ErrMalformed}},
	{"A23 rotation skipped: 3 in the place of 2", func(r *ceremony, _ *client) {
		r.second()
		r.Put("trust/2", r.Trust(verify.TrustDraft{Version: 3, Trust: r.role(2, "alice bob carol")}, r.of("alice bob")...))
		r.named(2)
	}, []error{verify.ErrVersion}},
	{"A23 rotation replayed: 1 in the place of 2", func(r *ceremony, _ *client) {
		r.Put("trust/2", r.Get("trust/1"))
		r.named(2)
	}, []error{verify.ErrVersion}},
	{"A31 trust document of another app", func(r *ceremony, _ *client) {
		r.Trust(verify.TrustDraft{App: "other", Version: 2, Trust: r.role(2, "alice bob carol"), Channel: r.role(1, "new ci")}, r.of("alice bob carol")...)
		r.named(2)
	}, []error{verify.ErrApp}},
	{"A16 role confusion: a channel in the place of a trust document", func(r *ceremony, _ *client) {
		r.Put("trust/2", r.SignText(r.Text(r.Get("stable")), r.of("alice bob carol")...))
		r.named(2)
	}, []error{verify.ErrType}},
	{"A08 endless trust document", func(r *ceremony, _ *client) {
		r.second()
		r.named(2)
		r.Hook("trust/2", testrelease.Endless())
	}, []error{fetch.ErrTooLarge}},
	{"role separation: a channel key signs a release", func(r *ceremony, _ *client) {
		r.ReleaseKeys = r.of("ci")
		r.Publish("1.2.0", program("1.2.0"))
	}, []error{verify.ErrSignature}},
	{"role separation: a release key signs a channel", func(r *ceremony, _ *client) {
		r.ChannelKeys = r.of("publisher")
		r.Publish("1.2.0", program("1.2.0"))
	}, []error{verify.ErrSignature}},
	{"role separation: trust keys sign a channel", func(r *ceremony, _ *client) {
		r.ChannelKeys = r.of("alice bob carol")
		r.Publish("1.2.0", program("1.2.0"))
	}, []error{verify.ErrSignature}},
	{"A25 revoked key still signs", func(r *ceremony, c *client) {
		r.second()
		r.ChannelKeys = r.of("new ci")
		r.named(2)
		r.again(c).follows(2)
		r.ChannelKeys = r.of("ci")
		r.Resign(nil)
	}, []error{verify.ErrSignature}},
	{"A25 revoked key still signs, and trust 2 is withheld", func(r *ceremony, c *client) {
		// The client is pinned to trust 1, in which the key still counts: until trust 1 expires.
		r.second()
		r.Hook("trust/2", testrelease.Status(http.StatusNotFound))
		r.Resign(nil)
		c.follows(1)
		c.now = func() time.Time { return r.Now }
		r.Now = r.Now.AddDate(0, 0, 80)
		r.Resign(nil)
		c.follows(1)
		r.Now = r.Now.AddDate(0, 0, 11)
	}, []error{release.ErrExpired}},
	{"A33 issued 2100: channel", func(r *ceremony, _ *client) {
		r.Resign(func(c *release.Channel) {
			c.Issued = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
			c.Expires = c.Issued.AddDate(1, 0, 0)
		})
	}, []error{release.ErrFuture}},
	{"A06 freeze: the trust document is past its date", func(r *ceremony, c *client) {
		c.now = func() time.Time { return r.Now }
		r.Now = r.Now.AddDate(0, 0, 91)
		r.Resign(nil)
	}, []error{release.ErrExpired}},
}

func TestTrustAttacks(t *testing.T) {
	for _, a := range trustAttacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			r := begin(t)
			r.ChannelKeys = r.of("ci")
			r.Trust(verify.TrustDraft{Version: 1, Trust: r.role(2, "alice bob carol")}, r.of("publisher alice bob")...)
			r.Publish("1.1.0", program("1.1.0"))
			c := r.installed()
			c.follows(1)
			c = r.again(c)
			honest := r.Now
			a.do(r, c)
			before := c.snapshot()
			r.Forget()
			_, err := c.update()
			for _, w := range append(a.want, ErrRefused) {
				if !errors.Is(err, w) {
					t.Errorf("error %v\nis not: %v", err, w)
				}
			}
			// A genuine channel may have come with the attack; the trust document and the program may not have
			// changed.
			c.unchanged(before, true, false)
			if floor := c.state().Floor; floor.After(r.Now) {
				t.Errorf("the time floor is %v", floor)
			}
			if n := r.Requested("files/"); n != 0 {
				t.Errorf("%d files were asked for", n)
			}

			// What is good next is taken: trust 2 and the channel under it.
			r.Hook("trust/2", nil)
			r.Remove("trust/3")
			r.Now = maxTime(honest, c.state().Floor)
			r.ReleaseKeys, r.ChannelKeys = r.of("publisher"), r.of("new ci")
			r.second()
			r.Channel.Entries = nil
			r.Channel.Trust = 2
			r.Publish("1.3.0", program("1.3.0"))
			c = r.again(c)
			c.now = func() time.Time { return r.Now }
			c.mustUpdate("1.3.0")
			c.trusts(2)
		})
	}
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// A gap ends the walk: what lies beyond it is not asked for by guessing.
func TestA23RotationGap(t *testing.T) {
	t.Parallel()
	r := begin(t)
	r.Trust(verify.TrustDraft{Version: 1, Trust: r.role(1, "alice")}, r.of("publisher alice")...)
	r.Trust(verify.TrustDraft{Version: 2, Trust: r.role(1, "alice")}, r.of("alice")...)
	first := r.Get("trust/1")
	r.Remove("trust/1")
	c := r.installed()
	c.follows(0)
	if n := r.Requested("trust/2"); n != 0 {
		t.Errorf("trust/2 was asked for %d times", n)
	}
	r.Put("trust/1", first)
	r.again(c).follows(2)
}

// A rotation that failed leaves nothing behind that a later process begins from (CVE-2020-15163).
func TestA24UnverifiedTrustIsNotRemembered(t *testing.T) {
	t.Parallel()
	r := begin(t)
	r.ChannelKeys = r.of("dave")
	r.Trust(verify.TrustDraft{Version: 1, Trust: r.role(1, "dave"), Release: r.role(1, "dave")}, r.of("dave")...)
	r.ReleaseKeys = r.of("dave")
	r.Publish("6.6.6", program("6.6.6"))
	c := r.installed()
	for range 3 {
		c = r.again(c)
		c.refuses(verify.ErrSignature)
		c.trusts(0)
		if st := c.state(); len(st.Channels) != 0 || !st.Floor.IsZero() {
			t.Errorf("remembered: %+v", st)
		}
	}
	if n := r.Requested("releases/") + r.Requested("files/"); n != 0 {
		t.Errorf("%d requests for what only dave signed", n)
	}
}

// Expiry is judged on the last trust document alone: a client that slept for a year walks over those that expired
// meanwhile.
func TestA28ExpiredIntermediateTrust(t *testing.T) {
	t.Parallel()
	r := begin(t)
	past := verify.TrustDraft{Version: 1, Issued: verify.Time{Time: r.Now.AddDate(-2, 0, 0)}, Expires: verify.Time{Time: r.Now.AddDate(-1, 0, 0)}}
	past.Trust = r.role(1, "alice")
	r.Trust(past, r.of("publisher alice")...)
	c := r.installed()
	if _, err := c.update(); !errors.Is(err, release.ErrExpired) || !errors.Is(err, ErrRefused) {
		t.Errorf("while it is the last: %v", err)
	}
	c.trusts(1) // a verified step, though not one to rely on
	c.holds("1.0.0")

	r.Trust(verify.TrustDraft{Version: 2, Trust: r.role(1, "bob")}, r.of("alice bob")...)
	r.Publish("1.1.0", program("1.1.0"))
	c = r.again(c)
	c.follows(2)
	c.mustUpdate("1.1.0")
}

// A leaked channel key signs the highest sequence there is. Once the trust document names another, the client begins
// to count anew; as long as the key counts, it does not.
func TestA07FastForward(t *testing.T) {
	for _, row := range []struct {
		name     string
		channel  string // keys of the role in trust 2
		release  string
		signs    string
		recovers bool
	}{
		{"the leaked key is replaced", "1: new ci", "publisher", "new ci", true},
		{"a key is added to it", "1: ci new ci", "publisher", "new ci", false},
		{"only the release key is replaced", "1: ci", "alice", "ci", false},
		{"the leaked key is one of two that are needed now", "2: ci new ci", "publisher", "ci new ci", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := begin(t)
			r.ChannelKeys = r.of("ci")
			r.Trust(verify.TrustDraft{Version: 1}, r.of("publisher")...)
			r.Publish("1.1.0", program("1.1.0"))
			genuine := r.Channel.Sequence
			c := r.installed()
			c.follows(1)
			r.Resign(func(ch *release.Channel) { ch.Sequence, ch.Entries = release.MaxSequence, nil })
			c = r.again(c)
			c.follows(1)
			if s := c.snapshot().sequence; s != release.MaxSequence {
				t.Fatalf("the attack did not work: sequence %d", s)
			}

			threshold, names, _ := strings.Cut(row.channel, ": ")
			r.ReleaseKeys, r.ChannelKeys = r.of(row.release), r.of(row.signs)
			r.Trust(verify.TrustDraft{Version: 2, Trust: r.role(1, "publisher"), Channel: r.role(int(threshold[0]-'0'), names)}, r.of("publisher")...)
			r.Channel.Sequence = 0
			r.Channel.Trust = 2
			r.Publish("1.1.0", program("1.1.0"))
			if r.Channel.Sequence != 1 || genuine < 2 {
				t.Fatalf("sequence %d", r.Channel.Sequence)
			}
			c = r.again(c)
			if row.recovers {
				c.mustUpdate("1.1.0")
				if s := c.snapshot().sequence; s != 1 {
					t.Errorf("sequence %d is remembered", s)
				}
				return
			}
			_, err := c.update()
			if !errors.Is(err, release.ErrRollback) || !errors.Is(err, ErrRefused) {
				t.Errorf("error is %v", err)
			}
			c.holds("1.0.0")
			if s := c.snapshot().sequence; s != release.MaxSequence {
				t.Errorf("sequence %d is remembered", s)
			}
		})
	}
}

// One publisher key in two apps: the other app's trust document is not ours, also for a client that was built with
// the bare key and knows no app.
func TestA31TrustOfAnotherApp(t *testing.T) {
	t.Parallel()
	r := begin(t)
	r.Trust(verify.TrustDraft{App: "other", Version: 1, Trust: r.role(1, "dave"), Channel: r.role(1, "dave"), Release: r.role(1, "dave")}, r.of("publisher dave")...)
	r.named(1)
	c := r.installed()
	_, err := c.update()
	if !errors.Is(err, verify.ErrApp) || !errors.Is(err, ErrRefused) {
		t.Errorf("error is %v", err)
	}
	c.trusts(0)
	c.holds("1.0.0")
}

// A clock that is wrong, in each way: what was signed decides, and the wall clock raises nothing.
func TestF30Clock(t *testing.T) {
	built := time.Now().UTC().Truncate(time.Second).AddDate(0, -1, 0)
	setup := func(t *testing.T) (*testrelease.Repo, *client) {
		t.Helper()
		repo := published(t, "1.0.0")
		repo.Expires = 30 * 24 * time.Hour
		repo.Publish("1.1.0", program("1.1.0"))
		return repo, install(t, repo, "1.0.0", func(o *Options) { o.Built = built })
	}
	at := func(c *client, when time.Time) { c.now = func() time.Time { return when } }
	y1970 := time.Date(1970, 1, 1, 0, 0, 7, 0, time.UTC)
	y2100 := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	floorIs := func(t *testing.T, c *client, want time.Time) {
		t.Helper()
		if got := c.state().Floor; !got.Equal(want) {
			t.Errorf("the floor is %v, want %v", got, want)
		}
	}

	t.Run("1970, no battery", func(t *testing.T) {
		t.Parallel()
		repo, c := setup(t)
		at(c, y1970)
		c.mustUpdate("1.1.0")
		floorIs(t, c, repo.Now)
		if n := len(c.events.of(EventClockBehind)); n != 1 {
			t.Errorf("%d events about the clock", n)
		}
	})
	t.Run("1970 makes nothing good again", func(t *testing.T) {
		t.Parallel()
		repo, c := setup(t)
		repo.Resign(func(ch *release.Channel) {
			ch.Issued, ch.Expires = built.AddDate(0, -2, 0), built.Add(-time.Hour)
		})
		at(c, y1970)
		c.refuses(release.ErrExpired)
	})
	t.Run("set back after a document was seen", func(t *testing.T) {
		t.Parallel()
		repo, c := setup(t)
		if _, err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		repo.Resign(func(ch *release.Channel) { // it expires before what was seen was signed
			ch.Issued, ch.Expires = repo.Now.AddDate(0, 0, -10), repo.Now.Add(-time.Second)
		})
		c = again(t, repo, c.path, "1.0.0", func(o *Options) { o.Built = built })
		at(c, repo.Now.AddDate(0, 0, -5))
		c.refuses(release.ErrExpired)
		if n := len(c.events.of(EventClockBehind)); n != 1 {
			t.Errorf("%d events about the clock", n)
		}
		at(c, repo.Now)
		repo.Resign(nil)
		c.mustUpdate("1.1.0")
		if ev := c.events.of(EventClockBehind); len(ev) != 2 || !ev[1].Ended {
			t.Errorf("events about the clock: %v", ev)
		}
	})
	t.Run("2100, and then right again", func(t *testing.T) {
		t.Parallel()
		repo, c := setup(t)
		if _, err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		at(c, y2100)
		c.refuses(release.ErrExpired)
		floorIs(t, c, repo.Now)
		if n := len(c.events.of(EventExpired)); n != 1 {
			t.Errorf("%d events that it is expired", n)
		}
		at(c, repo.Now)
		c.mustUpdate("1.1.0")
		floorIs(t, c, repo.Now)
	})
	t.Run("jumps in the middle of an update", func(t *testing.T) {
		t.Parallel()
		repo, c := setup(t)
		for _, path := range storedFiles(repo) {
			repo.Hook(path, func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
				at(c, y2100)
				honest.ServeHTTP(w, r)
			})
		}
		c.mustUpdate("1.1.0") // one moment was fixed at its beginning
		floorIs(t, c, repo.Now)
	})
	t.Run("the floor stays within a day of the wall clock", func(t *testing.T) {
		t.Parallel()
		r := begin(t)
		c := r.installed(func(o *Options) { o.Built = built })
		r.Trust(verify.TrustDraft{Version: 1, Issued: verify.Time{Time: y2100}, Expires: verify.Time{Time: y2100.AddDate(1, 0, 0)}}, r.of("publisher")...)
		at(c, r.Now)
		c.follows(1)
		if got := c.state().Floor; got.After(r.Now.Add(24 * time.Hour)) {
			t.Errorf("the floor is %v", got)
		}
		r.Publish("1.1.0", program("1.1.0"))
		c.mustUpdate("1.1.0")
	})
}

// What is remembered gets lost in every way there is: the program goes on from what it was built with, says so once,
// and never goes down.
func TestF23StateLost(t *testing.T) {
	whole := func(c *client) []byte {
		c.t.Helper()
		b, err := os.ReadFile(filepath.Join(c.disk.Home, "state"))
		if err != nil {
			c.t.Fatal(err)
		}
		return b
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"empty":            func([]byte) []byte { return nil },
		"torn":             func(b []byte) []byte { return b[:len(b)/2] },
		"torn at the end":  func(b []byte) []byte { return b[:len(b)-5] },
		"zeros":            func(b []byte) []byte { return make([]byte, len(b)) },
		"garbage":          func(b []byte) []byte { return []byte("\x00\xffnonsense") },
		"a future version": func(b []byte) []byte { return []byte(strings.Replace(string(b), `"format": 1`, `"format": 7`, 1)) },
	} {
		t.Run("F23 "+name, func(t *testing.T) {
			t.Parallel()
			repo := published(t, "1.0.0", "1.1.0")
			old := repo.Get("stable")
			repo.Resign(func(ch *release.Channel) { // long ago, before the program was built
				ch.Issued, ch.Expires = repo.Now.AddDate(0, -3, 0), repo.Now.AddDate(0, -2, 0)
			})
			expired := repo.Get("stable")
			repo.Publish("1.2.0", program("1.2.0"))
			current := repo.Get("stable")
			built := func(o *Options) { o.Built = repo.Now.AddDate(0, -1, 0) }
			c := install(t, repo, "1.0.0", built)
			c.mustUpdate("1.2.0")
			path := filepath.Join(c.disk.Home, "state")
			if err := os.WriteFile(path, spoil(whole(c)), 0o644); err != nil {
				t.Fatal(err)
			}

			// The floor that is built in holds.
			repo.Put("stable", expired)
			c = again(t, repo, c.path, "1.2.0", built)
			c.now = func() time.Time { return repo.Now.AddDate(0, -4, 0) } // and the clock helps the attacker
			if _, err := c.update(); !errors.Is(err, release.ErrExpired) {
				t.Errorf("error is %v", err)
			}
			// An old document that is not expired is all that can be had: it brings nothing older.
			repo.Put("stable", old)
			c = again(t, repo, c.path, "1.2.0", built)
			for range 3 {
				if r, err := c.update(); err != nil || r.Installed != "" || r.Offered != "" {
					t.Errorf("%+v, %v", r, err)
				}
			}
			ev := c.events.of(EventStateCorrupt)
			if len(ev) == 0 || ev[0].Ended || !errors.Is(ev[0].Err, state.ErrCorrupt) || len(ev) > 2 {
				t.Errorf("events: %v", ev)
			}
			c.holds("1.2.0")
			// And what comes next is remembered again.
			repo.Put("stable", current)
			c = again(t, repo, c.path, "1.2.0", built)
			if _, err := c.update(); err != nil {
				t.Error(err)
			}
			if st := c.state(); st.Channels["stable"] == nil || st.Channels["stable"].Sequence != repo.Channel.Sequence {
				t.Errorf("remembers %+v", st.Channels)
			}
			repo.Put("stable", old)
			c.refuses(release.ErrRollback)
		})
	}
}

// The state folder is deleted under a program that runs: this process still knows, and writes it down again.
func TestF24StateDeletedWhileRunning(t *testing.T) {
	t.Parallel()
	repo := published(t, "1.0.0", "1.1.0")
	old := repo.Get("stable")
	repo.Resign(nil)
	c := install(t, repo, "1.0.0")
	for range 2 {
		if _, err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(c.disk.Home); err != nil {
		t.Fatal(err)
	}
	repo.Put("stable", old)
	if _, err := c.update(); !errors.Is(err, release.ErrRollback) {
		t.Errorf("error is %v", err)
	}
	if ev := c.events.of(EventStateMissing); len(ev) != 3 || ev[0].Ended || !ev[1].Ended || ev[2].Ended {
		t.Errorf("a first installation, then state, then none again: %v", ev) // the third is the removal
	}
	c.holds("1.0.0")
	repo.Resign(nil)
	c.mustUpdate("1.1.0")
	if st := c.state(); st.Channels["stable"].Sequence != repo.Channel.Sequence {
		t.Errorf("remembers %+v", st.Channels["stable"])
	}
}

// A newer version of the program wrote more than this one knows: it is kept.
func TestF33NewerState(t *testing.T) {
	t.Parallel()
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	if _, err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.disk.Home, "state")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), `"format": 1,`, `"format": 1, "hologram": {"depth": 3},`, 1)
	changed = strings.Replace(changed, `"sequence": 2,`, `"sequence": 2, "witnessed": true,`, 1)
	if strings.Count(changed, "hologram")+strings.Count(changed, "witnessed") != 2 {
		t.Fatalf("the state is not as this test expects:\n%s", b)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	repo.Resign(nil)
	c = again(t, repo, c.path, "1.0.0")
	c.mustUpdate("1.1.0")
	if n := len(c.events.of(EventStateCorrupt)); n != 0 {
		t.Errorf("%d alarms", n)
	}
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Hologram map[string]int
		Channels map[string]struct{ Witnessed bool }
	}
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	if kept.Hologram["depth"] != 3 || !kept.Channels["stable"].Witnessed {
		t.Errorf("lost:\n%s", b)
	}
}

// The first mirror is bad in some way, the second is good: the release is installed, and the status says which one
// failed and why.
func TestA17MaliciousMirror(t *testing.T) {
	for name, row := range map[string]struct {
		attack func(repo *testrelease.Repo)
		want   string
	}{
		"another publisher": {func(repo *testrelease.Repo) {
			evil := testrelease.NewKey(t, "evil")
			repo.ReleaseKeys, repo.ChannelKeys = []*testrelease.Key{evil}, []*testrelease.Key{evil}
			repo.Publish("6.6.6", program("6.6.6"))
		}, "sign"},
		"a page":              {func(repo *testrelease.Repo) { repo.Hook("*", testrelease.Page()) }, "HTML"},
		"endless":             {func(repo *testrelease.Repo) { repo.Hook("*", testrelease.Endless()) }, "more than"},
		"in trouble":          {func(repo *testrelease.Repo) { repo.Hook("*", testrelease.Status(503)) }, "503"},
		"stalled":             {func(repo *testrelease.Repo) { repo.Hook("stable", repo.Stall(10)) }, "arrived within"},
		"expired":             {func(repo *testrelease.Repo) { repo.Now = repo.Now.AddDate(-1, 0, 0); repo.Resign(nil) }, "expired"},
		"the manifest":        {func(repo *testrelease.Repo) { repo.Hook("releases/1.1.0.manifest", testrelease.Page()) }, "HTML"},
		"no files":            {func(repo *testrelease.Repo) { hookFiles(repo, testrelease.Status(404)) }, "404"},
		"a swapped file":      {func(repo *testrelease.Repo) { hookFiles(repo, testrelease.Bytes(program("9.9.9"))) }, ""},
		"an endless file":     {func(repo *testrelease.Repo) { hookFiles(repo, testrelease.Endless()) }, ""},
		"a file that is torn": {func(repo *testrelease.Repo) { hookFiles(repo, torn) }, ""},
	} {
		t.Run("A17 malicious mirror: "+name, func(t *testing.T) {
			t.Parallel()
			good, bad := published(t, "1.0.0", "1.1.0"), published(t, "1.0.0", "1.1.0")
			bad.Now = good.Now
			for _, path := range good.Files() {
				bad.Put(path, good.Get(path))
			}
			key := good.Key()
			row.attack(bad)
			c := install(t, good, "1.0.0", func(o *Options) {
				o.Key, o.Source, o.Mirrors = key, bad.URL(), []string{good.URL()}
				o.Stall = time.Second
			})
			c.mustUpdate("1.1.0")
			failed := c.Status().Sources
			i := slices.IndexFunc(failed, func(a FailedSource) bool {
				return a.Source == bad.URL() && strings.Contains(a.Error, row.want)
			})
			if i < 0 || slices.ContainsFunc(failed, func(a FailedSource) bool { return a.Source == good.URL() && !errors.Is(a.Err, fetch.ErrNotFound) }) {
				t.Errorf("the status says of the sources: %v, want %q", failed, row.want)
			}
		})
	}
}

func torn(w http.ResponseWriter, r *http.Request, honest http.Handler) {
	r.Header.Del("Range")
	testrelease.Short(5)(w, r, honest)
}

func hookFiles(repo *testrelease.Repo, h testrelease.Hook) {
	for _, path := range storedFiles(repo) {
		repo.Hook(path, h)
	}
}

// An edge that lags serves 42, 41, 42: one line of information, no alarm, and nothing moves. When it has lasted for a
// day, it is one.
func TestA32StaleEdge(t *testing.T) {
	t.Parallel()
	repo := published(t, "1.0.0")
	var served [][]byte
	for range 3 {
		served = append(served, repo.Resign(nil))
	}
	c := install(t, repo, "1.0.0")
	now := repo.Now
	c.now = func() time.Time { return now }
	if _, err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := c.snapshot()
	for range 2 {
		for range 3 {
			repo.Put("stable", served[1])
			if _, err := c.Check(t.Context()); !errors.Is(err, release.ErrRollback) {
				t.Errorf("error is %v", err)
			}
			now = now.Add(time.Hour)
		}
		c.unchanged(before, false, false)
		if got := len(c.events.of(EventStaleSource)) % 2; got != 1 {
			t.Errorf("%d events that the source lags", len(c.events.of(EventStaleSource)))
		}
		repo.Put("stable", served[2])
		if _, err := c.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if ev := c.events.of(EventStaleSource); len(ev)%2 != 0 || !ev[len(ev)-1].Ended {
			t.Errorf("events: %v", ev)
		}
	}
	if alarms := append(c.events.of(EventRollback), c.events.of(EventRefused)...); len(alarms) != 0 || len(c.events.of(EventStaleSource)) != 4 {
		t.Errorf("%d alarms, %d informations: %v", len(alarms), len(c.events.of(EventStaleSource)), alarms)
	}
	repo.Put("stable", served[0])
	now = now.Add(25 * time.Hour)
	for range 3 {
		if _, err := c.Check(t.Context()); !errors.Is(err, release.ErrRollback) {
			t.Errorf("error is %v", err)
		}
	}
	if n := len(c.events.of(EventRollback)); n != 1 {
		t.Errorf("%d alarms after a day", n)
	}
}

// Plain http to another machine has to be allowed by name, and then is as safe by its signatures as anything else.
func TestN05PlainHTTP(t *testing.T) {
	t.Parallel()
	repo := published(t, "1.0.0", "1.1.0")
	target := strings.TrimPrefix(repo.URL(), "http://")
	c := install(t, repo, "1.0.0")
	opts := c.opts.Options
	opts.Source = "http://dl.example.com/"
	opts.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", target)
	}}}
	if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "use https") {
		t.Errorf("New said %v", err)
	}
	opts.AllowHTTP = true
	u, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.Updater = u
	files := map[string][]byte{}
	for _, path := range repo.Files() {
		files[path] = repo.Get(path)
	}
	evil := testrelease.NewKey(t, "evil")
	repo.ReleaseKeys, repo.ChannelKeys = []*testrelease.Key{evil}, []*testrelease.Key{evil}
	repo.Publish("6.6.6", program("6.6.6")) // by whoever sits on the way
	c.refuses(verify.ErrSignature)
	for path, b := range files {
		repo.Put(path, b)
	}
	c.mustUpdate("1.1.0")
}

// The publisher publishes between a client's requests: what the first answer named is still there, and the next check
// sees the rest.
func TestN09PublishedBetweenTwoRequests(t *testing.T) {
	for _, between := range []string{"releases/1.1.0.manifest", "files/"} {
		t.Run(between, func(t *testing.T) {
			t.Parallel()
			repo := published(t, "1.0.0", "1.1.0")
			c := install(t, repo, "1.0.0")
			publish := func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
				for _, path := range append(storedFiles(repo), "releases/1.1.0.manifest") {
					repo.Hook(path, nil)
				}
				repo.Publish("1.2.0", program("1.2.0"))
				honest.ServeHTTP(w, r)
			}
			if between == "files/" {
				hookFiles(repo, publish)
			} else {
				repo.Hook(between, publish)
			}
			c.mustUpdate("1.1.0")
			again(t, repo, c.path, "1.1.0").mustUpdate("1.2.0")
		})
	}
}

// A server that answers 304 for ever does not keep a document alive.
func TestN10NotModifiedForEver(t *testing.T) {
	t.Parallel()
	repo := published(t, "1.0.0")
	repo.Publish("1.1.0", program("1.1.0"), testrelease.Entry(func(e *release.Entry) { e.Paused = "not yet" }))
	c := install(t, repo, "1.0.0")
	if _, err := c.Check(t.Context()); !errors.Is(err, ErrNothing) {
		t.Fatalf("error is %v", err)
	}
	before := c.snapshot()
	conditional := 0
	repo.Hook("stable", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if r.Header.Get("If-None-Match") != "" {
			conditional++
		}
		w.WriteHeader(http.StatusNotModified)
	})
	for _, c := range []*client{c, again(t, repo, c.path, "1.0.0")} {
		if _, err := c.Check(t.Context()); !errors.Is(err, ErrNothing) {
			t.Errorf("while it is current: %v", err)
		}
		c.now = func() time.Time { return repo.Now.Add(repo.Expires) }
		if _, err := c.Check(t.Context()); !errors.Is(err, release.ErrExpired) || !errors.Is(err, ErrRefused) {
			t.Errorf("past its date: %v", err)
		}
		if n := len(c.events.of(EventExpired)); n != 1 {
			t.Errorf("%d events that it is expired", n)
		}
		c.unchanged(before, false, false)
	}
	if conditional != 4 {
		t.Errorf("%d conditional requests, want 4", conditional)
	}
	repo.Hook("stable", nil)
	repo.Resign(func(ch *release.Channel) { ch.Entries[0].Paused = "" })
	again(t, repo, c.path, "1.0.0").mustUpdate("1.1.0")
}

// A 304 without anything remembered, or for keys that count no longer, is no document at all.
func TestN10NotModifiedForNothing(t *testing.T) {
	t.Parallel()
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	repo.Hook("stable", testrelease.Status(http.StatusNotModified))
	if _, err := c.update(); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error is %v", err)
	}
	c.holds("1.0.0")
	repo.Hook("stable", nil)
	c.mustUpdate("1.1.0")
}

// Only what signed documents name is ever asked for.
func TestA18ExtraneousFiles(t *testing.T) {
	t.Parallel()
	repo := published(t, "1.0.0", "1.1.0")
	named := append(repo.Files(), "trust/1")
	for _, path := range []string{"postinstall.sh", "files/extra", "files/postinstall.sh", "releases/latest", "hello.sig", "stable.asc"} {
		repo.Put(path, []byte("#!/bin/sh\nexit 1\n"))
	}
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	for _, q := range repo.Requests() {
		if !slices.Contains(named, q.Path) || q.Method != http.MethodGet {
			t.Errorf("asked for %v", q)
		}
	}
	if names := c.beside(); !slices.Equal(names, []string{"hello"}) {
		t.Errorf("beside the program: %q", names)
	}
}
