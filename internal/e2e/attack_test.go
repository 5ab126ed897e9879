//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testattack"
	"github.com/theseus-go/theseus/internal/testrelease"
)

func TestAttacks(t *testing.T) {
	t.Parallel()
	hello := build(t, "1.0.0")
	for _, a := range testattack.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			i := install(t, hello)
			repo := testrelease.New(t)
			i.trusts(repo)
			repo.Publish("1.0.0", script("1.0.0")) // sequence 1
			if r := i.selfUpdate(repo, "--check"); r.code != 0 {
				t.Fatalf("before the attack: %v", r)
			}
			repo.Publish("1.1.0", script("1.1.0")) // sequence 2
			a.Do(t, testattack.World{Repo: repo, Home: i.home(), Seen: func() { seen(t, i, repo) }})
			repo.Forget()
			before := i.look()

			r := i.selfUpdate(repo)
			if r.code != a.Code || !strings.Contains(r.errout, a.Want) {
				t.Errorf("%v\nwant exit code %d and %q", r, a.Code, a.Want)
			}
			if !strings.HasPrefix(lastLine(r.errout), "hello: ") {
				t.Errorf("standard error does not end with a sentence of one line: %q", r.errout)
			}
			if a.Accepts {
				i.same(before)
			} else {
				i.unmoved(before)
			}
			if n := repo.Requested("files/"); a.Silent && n != 0 {
				t.Errorf("%d requests for artifacts of documents that were refused", n)
			}
			if v := i.version(); v != "1.0.0" {
				t.Errorf("the program is %s", v)
			}

			// It is not worse off: what is good is installed.
			a.Heal(t, repo)
			if r := i.selfUpdate(repo); r.code != 0 {
				t.Errorf("after the attack: %v", r)
			}
			if v := i.version(); v != "1.3.0" {
				t.Errorf("after the attack and a good update the program is %s", v)
			}
			i.tidy()
		})
	}
}

// seen lets the installation take in the channel document that is served, and install nothing.
func seen(t *testing.T, i *installation, repo *testrelease.Repo) {
	t.Helper()
	if r := i.selfUpdate(repo, "--check"); r.code != 100 {
		t.Fatalf("--check: %v", r)
	}
}

// A lagging edge of a delivery network serves 2, 1, 2: nothing moves, nothing breaks.
func TestA32StaleEdge(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	repo.Publish("1.0.0", script("1.0.0"))
	old := repo.Get("stable")
	repo.Publish("1.1.0", script("1.1.0"))
	current := repo.Get("stable")
	seen(t, i, repo)
	before := i.look()
	repo.Put("stable", old)
	if r := i.selfUpdate(repo, "--check"); r.code != 4 {
		t.Errorf("--check against a stale edge: %v", r)
	}
	i.unmoved(before)
	repo.Put("stable", current)
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
}

// A connection that breaks is taken up where it broke.
func TestA10ShortBodyResumes(t *testing.T) {
	t.Parallel()
	i, repo := offered(t)
	repo.Hook(repo.FilePath("1.1.0"), testrelease.Short(7))
	if r := i.selfUpdate(repo); r.code != 0 || i.version() != "1.1.0" {
		t.Errorf("%v, and the program is %s", r, i.version())
	}
	resumed := 0
	for _, q := range repo.Requests() {
		if q.Header.Get("Range") != "" {
			resumed++
		}
	}
	if resumed == 0 {
		t.Error("no request asked for the rest only")
	}
}

// An unreachable source is not an attack, and has a code of its own.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	before := i.look()
	// 192.0.2.0/24 would time out; a loopback port that nobody listens on answers at once.
	r := i.run("--updates", "http://127.0.0.1:1/", "--key", filepath.Join(i.side, "key"), "self-update")
	if r.code != 5 || !strings.Contains(r.errout, "127.0.0.1:1") {
		t.Errorf("%v", r)
	}
	i.unmoved(before)
	if _, err := os.Stat(filepath.Join(i.home(), "state")); err == nil && len(i.memory().Channels) != 0 {
		t.Error("a channel is remembered that was never seen")
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}
