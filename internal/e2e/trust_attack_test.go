//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"

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
func ceremony(t *testing.T, i *installation, repo *testrelease.Repo) {
	t.Helper()
	repo.Trust(verify.TrustDraft{Version: 1, Channel: testrelease.Role(2, keys(t, "alice", "bob", "carol")...)}, repo.ReleaseKeys...)
	repo.ChannelKeys = keys(t, "alice", "bob")
	repo.Resign(func(c *release.Channel) { c.Trust = 1 })
	seen(t, i, repo)
	if !strings.Contains(string(i.memory().Trust), `"version":1`) && !strings.Contains(string(i.memory().Trust), `"version": 1`) {
		t.Fatalf("trust 1 is not in force: %s", i.memory().Trust)
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

var trustAttacks = []attack{
	{name: "A07 fast-forward: a leaked key signs the highest sequence", code: 4, silent: true, want: "older than",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			ceremony(t, i, repo)
			genuine := repo.Get("stable")
			repo.Resign(func(c *release.Channel) { c.Sequence = release.MaxSequence })
			seen(t, i, repo)
			repo.Put("stable", genuine)
		},
		heal: func(t *testing.T, repo *testrelease.Repo) {
			repo.ChannelKeys = keys(t, "dave")
			repo.Trust(verify.TrustDraft{Version: 2}, repo.ReleaseKeys...)
			repo.Channel.Sequence, repo.Channel.Trust = 0, 2
		}},
	{name: "A19 single key below threshold", code: 4, silent: true, want: "more signatures are needed",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			ceremony(t, i, repo)
			repo.Put("stable", repo.SignChannel(repo.Channel, keys(t, "alice")...))
		}},
	{name: "A20 same signature twice", code: 4, silent: true, want: "more signatures are needed",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			ceremony(t, i, repo)
			repo.Put("stable", repo.SignText(repo.Text(repo.Resign(nil)), keys(t, "alice", "alice")...))
		}},
	{name: "A20 same key under another id", code: 4, silent: true, want: "more signatures are needed",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			ceremony(t, i, repo)
			repo.Put("stable", repo.SignText(repo.Text(repo.Resign(nil)), keys(t, "alice")[0], testrelease.NewKeyWithID(t, "alice", 7)))
		}},
	{name: "A21 threshold 0", code: 4, accepts: true, silent: true, want: "threshold", heal: withoutTrust, do: forged(`"threshold": 1`, `"threshold": 0`)},
	{name: "A21 threshold above the number of keys", code: 4, accepts: true, silent: true, want: "threshold", heal: withoutTrust, do: forged(`"threshold": 1`, `"threshold": 2`)},
	{name: "A22 rotation without the old key", code: 4, accepts: true, silent: true, want: "sign", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			evil := keys(t, "evil")
			repo.Trust(verify.TrustDraft{Version: 1, Trust: testrelease.Role(1, evil...), Release: testrelease.Role(1, evil...), Channel: testrelease.Role(1, evil...)}, evil...)
			toldOf(t, repo)
		}},
	{name: "A22 rotation without the new key", code: 4, accepts: true, silent: true, want: "sign", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Trust(verify.TrustDraft{Version: 1, Trust: testrelease.Role(1, keys(t, "alice")...)}, repo.ReleaseKeys...)
			toldOf(t, repo)
		}},
	{name: "A23 rotation skip: 2 in the place of 1", code: 4, accepts: true, silent: true, want: "version", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Put("trust/1", repo.Trust(verify.TrustDraft{Version: 2}, repo.ReleaseKeys...))
			toldOf(t, repo)
		}},
	{name: "A25 revoked key still signs", code: 4, silent: true, want: "none of which is trusted here",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			ceremony(t, i, repo)
			repo.ChannelKeys = keys(t, "dave")
			repo.Trust(verify.TrustDraft{Version: 2}, repo.ReleaseKeys...)
			repo.Resign(func(c *release.Channel) { c.Trust = 2 })
			seen(t, i, repo)
			repo.ChannelKeys = keys(t, "alice", "bob")
			repo.Resign(nil)
		},
		heal: func(t *testing.T, repo *testrelease.Repo) { repo.ChannelKeys = keys(t, "dave") }},
	{name: "A27 unsupported hop", code: 3, accepts: true, silent: true, want: "1.0.7",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.1.0", script("1.1.0"), testrelease.Manifest(func(m *release.Manifest) { m.Minimum = semantic(t, "1.0.7") }))
		}},
	{name: "A31 trust document of another app", code: 4, accepts: true, silent: true, want: "goodbye", heal: withoutTrust,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Trust(verify.TrustDraft{App: "goodbye", Version: 1}, repo.ReleaseKeys...)
			toldOf(t, repo)
		}},
	{name: "A33 issued 2100", code: 4, silent: true, want: "future",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Resign(func(c *release.Channel) {
				c.Issued = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
				c.Expires = c.Issued.AddDate(1, 0, 0)
			})
		}},
	{name: "role separation: a channel key signs a release", code: 4, accepts: true, silent: true, want: "none of which is trusted here",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			ceremony(t, i, repo)
			honest := repo.ReleaseKeys
			repo.ReleaseKeys = keys(t, "alice", "bob")
			repo.Publish("1.2.0", script("6.6.6"))
			repo.ReleaseKeys = honest
		}},
	{name: "role separation: a release key signs a channel", code: 4, silent: true, want: "none of which is trusted here",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			ceremony(t, i, repo)
			repo.ChannelKeys = repo.ReleaseKeys
			repo.Resign(nil)
		},
		heal: func(t *testing.T, repo *testrelease.Repo) { repo.ChannelKeys = keys(t, "carol", "bob") }},
}

// A client that slept walks over a trust document that expired meanwhile; while that is the last, it installs nothing.
func TestA28ExpiredIntermediateTrust(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	past := verify.TrustDraft{Version: 1, Issued: verify.Time{Time: repo.Now.AddDate(-2, 0, 0)}, Expires: verify.Time{Time: repo.Now.AddDate(-1, 0, 0)}}
	repo.Trust(past, repo.ReleaseKeys...)
	if r := i.selfUpdate(repo); r.code != 4 || !strings.Contains(r.errout, "expired") {
		t.Errorf("%v", r)
	}
	if n := repo.Requested("files/"); n != 0 || i.version() != "1.0.0" {
		t.Errorf("%d artifacts were asked for; the program is %s", n, i.version())
	}
	repo.Trust(verify.TrustDraft{Version: 2}, repo.ReleaseKeys...)
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
	i.tidy()
}

// Where a hop is not supported, the step between is taken first.
func TestA27StepBetween(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	repo.Publish("2.0.0", script("2.0.0"), testrelease.Manifest(func(m *release.Manifest) { m.Minimum = semantic(t, "1.1.0") }))
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
}

// What is yanked is not offered; who runs it is told to stay, to move up, or to go back.
func TestA26Yanked(t *testing.T) {
	t.Parallel()
	yank := func(repo *testrelease.Repo, version string, y release.Yank) {
		y.Reason = "eats data"
		repo.Resign(func(*release.Channel) { repo.Entry(version).Yanked = &y })
	}
	t.Run("A26 offered", func(t *testing.T) {
		i, repo := offered(t)
		seen(t, i, repo)
		yank(repo, "1.1.0", release.Yank{Action: "stay"})
		before := i.look()
		repo.Forget()
		if r := i.selfUpdate(repo); r.code != 0 || !strings.Contains(r.out, "current") || repo.Requested("files/") != 0 {
			t.Errorf("%v", r)
		}
		if r := i.selfUpdate(repo, "--version", "1.1.0"); r.code != 3 || !strings.Contains(r.errout, "eats data") {
			t.Errorf("named: %v", r)
		}
		i.same(before)
		heal(t, repo)
		if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.3.0" {
			t.Errorf("%v, and the program is %s", r, i.version())
		}
	})
	t.Run("A26 installed, go back", func(t *testing.T) {
		i := install(t, build(t, "1.0.0"))
		repo := testrelease.New(t)
		i.trusts(repo)
		repo.Publish("0.9.0", script("0.9.0"))
		repo.Publish("1.0.0", script("1.0.0"))
		if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.0.0" {
			t.Fatalf("%v", r)
		}
		yank(repo, "1.0.0", release.Yank{Action: "back", To: semantic(t, "0.9.0")})
		if r := i.selfUpdate(repo); r.code != 0 || i.version() != "0.9.0" {
			t.Errorf("%v, and the program is %s", r, i.version())
		}
	})
}
