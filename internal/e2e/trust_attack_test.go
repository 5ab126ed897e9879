//go:build unix

package e2e

import (
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/testattack"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

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
	repo.Publish("2.0.0", script("2.0.0"), testrelease.Manifest(func(m *release.Manifest) { m.Minimum = semver.MustParse("1.1.0") }))
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
		testattack.Heal(t, repo)
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
		yank(repo, "1.0.0", release.Yank{Action: "back", To: semver.MustParse("0.9.0")})
		if r := i.selfUpdate(repo); r.code != 0 || i.version() != "0.9.0" {
			t.Errorf("%v, and the program is %s", r, i.version())
		}
	})
}
