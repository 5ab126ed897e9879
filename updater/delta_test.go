package updater

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// large is a program that is large enough for deltas to be worth it.
func large(version string) []byte {
	var b bytes.Buffer
	b.Write(program(version))
	b.WriteString("exit 0\n")
	for i := range 20000 {
		fmt.Fprintf(&b, "# line %d of %x\n", i, i*i*7919)
	}
	return b.Bytes()
}

// withDelta adds a delta from another file to a release.
func withDelta(t *testing.T, repo *testrelease.Repo, old, new []byte) testrelease.Option {
	t.Helper()
	var p bytes.Buffer
	if _, err := delta.Diff(t.Context(), old, new, &p, delta.Options{}); err != nil {
		t.Fatal(err)
	}
	return patched(repo, old, p.Bytes())
}

func patched(repo *testrelease.Repo, old, patch []byte) testrelease.Option {
	return testrelease.Manifest(func(m *release.Manifest) {
		d := repo.Store(release.Delta, patch)
		from := verify.IDOf(old).SHA256
		d.From = &from
		m.Artifacts[0].Downloads = append(m.Artifacts[0].Downloads, d)
	})
}

// installLarge is install of a large program.
func installLarge(t *testing.T, repo *testrelease.Repo, version string) *client {
	t.Helper()
	c := install(t, repo, version)
	if err := os.WriteFile(c.path, large(version), 0o755); err != nil {
		t.Fatal(err)
	}
	return again(t, repo, c.path, version)
}

func (c *client) holdsLarge(version string) {
	c.t.Helper()
	if b, err := os.ReadFile(c.path); err != nil || !bytes.Equal(b, large(version)) {
		c.t.Fatalf("the file at the path is not %s (%v)", version, err)
	}
}

// downloads counts requests for deltas and for whole files.
func downloads(repo *testrelease.Repo) (deltas, whole int) {
	for _, r := range repo.Requests() {
		if strings.HasPrefix(r.Path, "files/") {
			if strings.HasSuffix(r.Path, ".delta") {
				deltas++
			} else {
				whole++
			}
		}
	}
	return deltas, whole
}

func TestDelta(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.1.0", large("1.1.0"), testrelease.Zstd(), withDelta(t, repo, large("1.0.0"), large("1.1.0")))
	c := installLarge(t, repo, "1.0.0")
	if _, err := c.update(); err != nil {
		t.Fatal(err)
	}
	c.holdsLarge("1.1.0")
	if d, w := downloads(repo); d != 1 || w != 0 {
		t.Errorf("%d deltas and %d whole files were downloaded", d, w)
	}
	if len(c.events.of(EventDeltaApplied)) != 1 || c.Status().Saved <= 0 {
		t.Errorf("nothing tells of it: saved %d", c.Status().Saved)
	}
	if b := c.beside(); len(b) != 1 {
		t.Errorf("left behind: %v", b)
	}
}

func TestDeltaChain(t *testing.T) {
	repo := testrelease.New(t)
	for i, v := range []string{"1.1.0", "1.2.0", "1.3.0"} {
		before := []string{"1.0.0", "1.1.0", "1.2.0"}[i]
		repo.Publish(v, large(v), testrelease.Zstd(), withDelta(t, repo, large(before), large(v)))
	}
	c := installLarge(t, repo, "1.0.0")
	if _, err := c.update(); err != nil {
		t.Fatal(err)
	}
	c.holdsLarge("1.3.0")
	if d, w := downloads(repo); d != 3 || w != 0 {
		t.Errorf("%d deltas and %d whole files were downloaded", d, w)
	}
	if b := c.beside(); len(b) != 1 {
		t.Errorf("left behind: %v", b)
	}
}

// A delta that cannot be used costs a download and nothing else.
func TestDeltaFallsBackToTheWholeFile(t *testing.T) {
	other := append(large("1.1.0"), "# another\n"...)
	for _, row := range []struct {
		name    string
		publish func(*testing.T, *testrelease.Repo) testrelease.Option
		spoil   func(*testrelease.Repo)
		deltas  bool // one is asked for at all
	}{
		{name: "P20 not the signed bytes", deltas: true, spoil: func(repo *testrelease.Repo) {
			for _, p := range repo.Files() {
				if strings.HasSuffix(p, ".delta") {
					repo.Put(p, testrelease.Flip(repo.Get(p), -20))
				}
			}
		}},
		{name: "P20 signed, but damaged", deltas: true, publish: func(t *testing.T, repo *testrelease.Repo) testrelease.Option {
			var p bytes.Buffer
			if _, err := delta.Diff(t.Context(), large("1.0.0"), large("1.1.0"), &p, delta.Options{}); err != nil {
				t.Fatal(err)
			}
			return patched(repo, large("1.0.0"), testrelease.Flip(p.Bytes(), 85))
		}},
		{name: "P20 signed, but to another file", deltas: true, publish: func(t *testing.T, repo *testrelease.Repo) testrelease.Option {
			return withDelta(t, repo, large("1.0.0"), other)
		}},
		{name: "P20 signed, but from another file", deltas: true, publish: func(t *testing.T, repo *testrelease.Repo) testrelease.Option {
			var p bytes.Buffer
			if _, err := delta.Diff(t.Context(), other, large("1.1.0"), &p, delta.Options{}); err != nil {
				t.Fatal(err)
			}
			return patched(repo, large("1.0.0"), p.Bytes())
		}},
		{name: "P20 no delta at all", deltas: true, publish: func(_ *testing.T, repo *testrelease.Repo) testrelease.Option {
			return patched(repo, large("1.0.0"), []byte("this is not a delta"))
		}},
		{name: "for a file that is not here", publish: func(t *testing.T, repo *testrelease.Repo) testrelease.Option {
			return withDelta(t, repo, large("0.9.0"), large("1.1.0"))
		}},
		{name: "larger than the whole file", publish: func(_ *testing.T, repo *testrelease.Repo) testrelease.Option {
			return patched(repo, large("1.0.0"), large("9.9.9"))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			repo := testrelease.New(t)
			if row.publish == nil {
				row.publish = func(t *testing.T, repo *testrelease.Repo) testrelease.Option {
					return withDelta(t, repo, large("1.0.0"), large("1.1.0"))
				}
			}
			repo.Publish("1.1.0", large("1.1.0"), testrelease.Zstd(), row.publish(t, repo))
			if row.spoil != nil {
				row.spoil(repo)
			}
			c := installLarge(t, repo, "1.0.0")
			if _, err := c.update(); err != nil {
				t.Fatal(err)
			}
			c.holdsLarge("1.1.0")
			d, w := downloads(repo)
			if w != 1 || (d > 0) != row.deltas {
				t.Errorf("%d deltas and %d whole files were downloaded", d, w)
			}
			if told := len(c.events.of(EventDeltaFailed)) == 1; told != row.deltas {
				t.Errorf("told of a delta that failed: %v", told)
			}
			if b := c.beside(); len(b) != 1 {
				t.Errorf("left behind: %v", b)
			}
		})
	}
}

func TestChainIsTheCheapest(t *testing.T) {
	digest := func(n byte) verify.Digest { return verify.Digest{n} }
	to := func(from, to byte, size int64) leg {
		f := digest(from)
		return leg{release.Download{From: &f, Stored: verify.ID{Size: size}}, verify.ID{SHA256: digest(to), Size: 1000}, "1.1.0"}
	}
	legs := []leg{to(1, 4, 100), to(1, 2, 10), to(2, 3, 10), to(3, 4, 10), to(2, 4, 30), to(5, 4, 1), to(4, 1, 1)}
	if r := chain(digest(1), digest(4), legs); len(r) != 3 || r.bytes() != 30 {
		t.Errorf("%d legs, %d bytes", len(r), r.bytes())
	}
	if r := chain(digest(6), digest(4), legs); r != nil {
		t.Errorf("a way from nowhere: %v", r)
	}
	var long []leg
	for i := range byte(maxLegs + 1) {
		long = append(long, to(i, i+1, 1))
	}
	if r := chain(digest(0), digest(maxLegs+1), long); r != nil {
		t.Errorf("a chain of %d legs", len(r))
	}
	if r := chain(digest(0), digest(maxLegs), long); len(r) != maxLegs {
		t.Errorf("%d legs, want %d", len(r), maxLegs)
	}
}
