package testattack

import (
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

func keys(t *testing.T, names ...string) (all []*testrelease.Key) {
	t.Helper()
	for _, name := range names {
		all = append(all, testrelease.NewKey(t, name))
	}
	return all
}

// ceremony gives the repository trust 1, in which two of alice, bob and carol sign channels, and lets the client take it.
func ceremony(t *testing.T, w World) {
	t.Helper()
	repo := w.Repo
	repo.Trust(verify.TrustDraft{Version: 1, Channel: testrelease.Role(2, keys(t, "alice", "bob", "carol")...)}, repo.ReleaseKeys...)
	repo.ChannelKeys = keys(t, "alice", "bob")
	repo.Resign(func(c *release.Channel) { c.Trust = 1 })
	w.Seen()
	if st, err := state.Load(w.Home); err != nil || st.Trust == nil || st.Trust.Version != 1 {
		t.Fatalf("trust 1 is not in force: %+v, %v", st.Trust, err)
	}
}

// toldOf has the channel, which is genuine, name trust 1, so that clients have to have it.
func toldOf(t *testing.T, repo *testrelease.Repo) {
	t.Helper()
	repo.Resign(func(c *release.Channel) { c.Trust = 1 })
}

// withoutTrust takes back what was published as trust.
func withoutTrust(_ *testing.T, repo *testrelease.Repo) {
	repo.Remove("trust/1")
	repo.Remove("trust/2")
	repo.Channel.Trust = 0
}

// forged stores as trust/1 what the tool would not sign.
func forged(old, new string) func(*testing.T, *testrelease.Repo) {
	return func(t *testing.T, repo *testrelease.Repo) {
		t.Helper()
		text := repo.Text(repo.Trust(verify.TrustDraft{Version: 1}, repo.ReleaseKeys...))
		if !strings.Contains(text, old) {
			t.Fatalf("the trust document has no %q:\n%s", old, text)
		}
		repo.Put("trust/1", repo.SignText(strings.Replace(text, old, new, 1), repo.ReleaseKeys...))
		toldOf(t, repo)
	}
}

// keys are attacks on keys, roles and trust documents.
var roles = []Attack{
	{Name: "A07 fast-forward: a leaked key signs the highest sequence", Is: release.ErrRollback, Code: 4, Silent: true, Want: "older than",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			ceremony(t, w)
			genuine := repo.Get("stable")
			repo.Resign(func(c *release.Channel) { c.Sequence = release.MaxSequence })
			w.Seen()
			repo.Put("stable", genuine)
		},
		heal: func(t *testing.T, repo *testrelease.Repo) {
			repo.ChannelKeys = keys(t, "dave")
			repo.Trust(verify.TrustDraft{Version: 2}, repo.ReleaseKeys...)
			repo.Channel.Sequence, repo.Channel.Trust = 0, 2
		}},
	{Name: "A19 single key below threshold", Code: 4, Silent: true, Want: "more signatures are needed",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			ceremony(t, w)
			repo.Put("stable", repo.SignChannel(repo.Channel, keys(t, "alice")...))
		}},
	{Name: "A20 same signature twice", Code: 4, Silent: true, Want: "more signatures are needed",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			ceremony(t, w)
			repo.Put("stable", repo.SignText(repo.Text(repo.Resign(nil)), keys(t, "alice", "alice")...))
		}},
	{Name: "A20 same key under another id", Code: 4, Silent: true, Want: "more signatures are needed",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			ceremony(t, w)
			repo.Put("stable", repo.SignText(repo.Text(repo.Resign(nil)), keys(t, "alice")[0], testrelease.NewKeyWithID(t, "alice", 7)))
		}},
	{Name: "A21 threshold 0", Code: 4, Accepts: true, Silent: true, Want: "threshold", heal: withoutTrust, do: forged(`"threshold": 1`, `"threshold": 0`)},
	{Name: "A21 threshold above the number of keys", Code: 4, Accepts: true, Silent: true, Want: "threshold", heal: withoutTrust, do: forged(`"threshold": 1`, `"threshold": 2`)},
	{Name: "A22 rotation without the old key", Code: 4, Accepts: true, Silent: true, Want: "sign", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			evil := keys(t, "evil")
			repo.Trust(verify.TrustDraft{Version: 1, Trust: testrelease.Role(1, evil...), Release: testrelease.Role(1, evil...), Channel: testrelease.Role(1, evil...)}, evil...)
			toldOf(t, repo)
		}},
	{Name: "A22 rotation without the new key", Code: 4, Accepts: true, Silent: true, Want: "sign", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Trust(verify.TrustDraft{Version: 1, Trust: testrelease.Role(1, keys(t, "alice")...)}, repo.ReleaseKeys...)
			toldOf(t, repo)
		}},
	{Name: "A23 rotation skip: 2 in the place of 1", Code: 4, Accepts: true, Silent: true, Want: "version", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Put("trust/1", repo.Trust(verify.TrustDraft{Version: 2}, repo.ReleaseKeys...))
			toldOf(t, repo)
		}},
	{Name: "A25 revoked key still signs", Code: 4, Silent: true, Want: "none of which is trusted here",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			ceremony(t, w)
			repo.ChannelKeys = keys(t, "dave")
			repo.Trust(verify.TrustDraft{Version: 2}, repo.ReleaseKeys...)
			repo.Resign(func(c *release.Channel) { c.Trust = 2 })
			w.Seen()
			repo.ChannelKeys = keys(t, "alice", "bob")
			repo.Resign(nil)
		},
		heal: func(t *testing.T, repo *testrelease.Repo) { repo.ChannelKeys = keys(t, "dave") }},
	{Name: "A27 unsupported hop", Code: 3, Accepts: true, Silent: true, Want: "1.0.7",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.1.0", Program("1.1.0"), testrelease.Manifest(func(m *release.Manifest) { m.Minimum = semver.MustParse("1.0.7") }))
		}},
	{Name: "A31 trust document of another app", Code: 4, Accepts: true, Silent: true, Want: "goodbye", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Trust(verify.TrustDraft{App: "goodbye", Version: 1}, repo.ReleaseKeys...)
			toldOf(t, repo)
		}},
	{Name: "A33 issued 2100", Is: release.ErrFuture, Code: 4, Silent: true, Want: "future",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Resign(func(c *release.Channel) {
				c.Issued = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
				c.Expires = c.Issued.AddDate(1, 0, 0)
			})
		}},
	{Name: "role separation: a channel key signs a release", Code: 4, Accepts: true, Silent: true, Want: "none of which is trusted here",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			ceremony(t, w)
			honest := repo.ReleaseKeys
			repo.ReleaseKeys = keys(t, "alice", "bob")
			repo.Publish("1.2.0", Program("6.6.6"))
			repo.ReleaseKeys = honest
		}},
	{Name: "role separation: a release key signs a channel", Code: 4, Silent: true, Want: "none of which is trusted here",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			ceremony(t, w)
			repo.ChannelKeys = repo.ReleaseKeys
			repo.Resign(nil)
		},
		heal: func(t *testing.T, repo *testrelease.Repo) { repo.ChannelKeys = keys(t, "carol", "bob") }},
}
