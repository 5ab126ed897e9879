//go:build unix

package e2e

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
)

// An attack is done to the repository of an installation of 1.0.0 that has seen sequence 1 and could have 1.1.0.
type attack struct {
	name string // id and name in doc/threats.md
	do   func(t *testing.T, repo *testrelease.Repo)
	// on is do for an attack on a client that has lived through more.
	on   func(t *testing.T, i *installation, repo *testrelease.Repo)
	heal func(t *testing.T, repo *testrelease.Repo) // what the publisher does about it, before 1.3.0
	code int
	want string // in the error
	// accepts: the attack is below the channel document, which is good and is remembered.
	accepts bool
	// silent: no artifact may have been asked for.
	silent bool
}

// resigned signs the text of the channel document after a change that the publisher's tool would not make.
func resigned(old, new string) func(*testing.T, *testrelease.Repo) {
	return func(t *testing.T, repo *testrelease.Repo) {
		t.Helper()
		text := repo.Text(repo.Get("stable"))
		if !strings.Contains(text, old) {
			t.Fatalf("the channel document has no %q:\n%s", old, text)
		}
		repo.Put("stable", repo.SignText(strings.Replace(text, old, new, 1), repo.ChannelKeys...))
	}
}

// rewritten changes the document itself, signatures and all.
func rewritten(old, new string) func(*testing.T, *testrelease.Repo) {
	return func(t *testing.T, repo *testrelease.Repo) {
		t.Helper()
		b := string(repo.Get("stable"))
		if !strings.Contains(b, old) {
			t.Fatalf("the channel document has no %q:\n%s", old, b)
		}
		repo.Put("stable", []byte(strings.Replace(b, old, new, 1)))
	}
}

func hooked(path func(*testrelease.Repo) string, h testrelease.Hook) func(*testing.T, *testrelease.Repo) {
	return func(t *testing.T, repo *testrelease.Repo) { repo.Hook(path(repo), h) }
}

func theChannel(*testrelease.Repo) string   { return "stable" }
func theManifest(*testrelease.Repo) string  { return "releases/1.1.0.manifest" }
func theFile(repo *testrelease.Repo) string { return repo.FilePath("1.1.0") }

// another makes a repository whose documents replace those of repo.
func another(t *testing.T, repo *testrelease.Repo, change func(*testrelease.Repo)) {
	t.Helper()
	evil := testrelease.New(t)
	change(evil)
	evil.Publish("1.0.9", script("1.0.9"))
	evil.Publish("1.1.0", script("1.1.0"))
	evil.Publish("1.2.0", script("1.2.0"))
	for _, path := range evil.Files() {
		repo.Put(path, evil.Get(path))
	}
	repo.Put("stable", evil.Get(evil.Name))
}

var attacks = []attack{
	{name: "A01 arbitrary install: a key of nobody's signs everything", code: 4, silent: true, want: "sign",
		do: func(t *testing.T, repo *testrelease.Repo) {
			another(t, repo, func(evil *testrelease.Repo) {
				key := testrelease.NewKey(t, "attacker")
				evil.ReleaseKeys, evil.ChannelKeys = []*testrelease.Key{key}, []*testrelease.Key{key}
			})
		}},
	{name: "A01 arbitrary install: under the id of the publisher's key", code: 4, silent: true, want: "sign",
		do: func(t *testing.T, repo *testrelease.Repo) {
			id := repo.ReleaseKeys[0].Key().ID()
			another(t, repo, func(evil *testrelease.Repo) {
				key := testrelease.NewKeyWithID(t, "attacker", parseID(t, id))
				evil.ReleaseKeys, evil.ChannelKeys = []*testrelease.Key{key}, []*testrelease.Key{key}
			})
		}},
	{name: "A02 artifact swapped: one bit", code: 4, accepts: true, want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Hook(theFile(repo), testrelease.Bytes(testrelease.Flip(script("1.1.0"), -2)))
		}},
	{name: "A02 artifact swapped: another file of the same size", code: 4, accepts: true, want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Hook(theFile(repo), testrelease.Bytes(script("6.6.6")))
		}},
	{name: "A03 rollback: an old genuine channel document", code: 4, silent: true, want: "sequence",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			old := repo.Get("stable")
			repo.Resign(nil)
			seen(t, i, repo)
			repo.Put("stable", old)
		}},
	{name: "A04 rollback by relabel: an old release with a new name", code: 4, accepts: true, silent: true, want: "99.0.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			old := repo.Publish("0.9.0", script("0.9.0"), testrelease.Unlisted())
			repo.Put("releases/99.0.0.manifest", repo.Get("releases/0.9.0.manifest"))
			repo.Resign(func(c *release.Channel) {
				old.Version = semantic(t, "99.0.0")
				c.Entries = append(c.Entries, old)
			})
		}},
	{name: "A05 equivocation: one sequence number, two documents", code: 4, silent: true, want: "sequence",
		on: func(t *testing.T, i *installation, repo *testrelease.Repo) {
			seen(t, i, repo)
			repo.Resign(func(c *release.Channel) { c.Sequence--; c.Expires = c.Expires.Add(time.Hour) })
		}},
	{name: "A06 freeze: a document past its date", code: 4, silent: true, want: "expired",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Resign(func(c *release.Channel) {
				c.Issued, c.Expires = repo.Now.Add(-100*24*time.Hour), repo.Now.Add(-10*24*time.Hour)
			})
		}},
	{name: "A08 endless data: channel", code: 4, silent: true, do: hooked(theChannel, testrelease.Endless()), want: "more than"},
	{name: "A08 endless data: manifest", code: 4, accepts: true, silent: true, do: hooked(theManifest, testrelease.Endless()), want: "more than"},
	{name: "A09 endless data: artifact", code: 4, accepts: true, do: hooked(theFile, testrelease.Endless()), want: "1.1.0"},
	{name: "A10 short body: always at the same place", code: 5, accepts: true, want: "1.1.0",
		do: hooked(theFile, func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
			r.Header.Del("Range") // a server that cannot resume
			testrelease.Short(7)(w, r, honest)
		})},
	{name: "A10 short body: half a channel document", code: 4, silent: true, want: "",
		do: func(t *testing.T, repo *testrelease.Repo) {
			b := repo.Get("stable")
			repo.Put("stable", b[:len(b)/2])
		}},
	{name: "A12 mix-and-match: the manifest of one release for another", code: 4, accepts: true, silent: true, want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.0.5", script("1.0.5"), testrelease.Unlisted())
			repo.Put(theManifest(repo), repo.Get("releases/1.0.5.manifest"))
		}},
	{name: "A13 wrong app: signed by the same publisher", code: 4, silent: true, want: "goodbye",
		do: func(t *testing.T, repo *testrelease.Repo) {
			another(t, repo, func(evil *testrelease.Repo) { evil.App = "goodbye" })
		}},
	{name: "A14 wrong platform: bytes of another one", code: 4, accepts: true, want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Hook(theFile(repo), testrelease.Bytes([]byte("#!/bin/sh\necho hello for another machine\n")))
		}},
	{name: "A14 wrong platform: nothing for this one", code: 3, accepts: true, silent: true, want: runtime.GOOS,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.1.0", script("1.1.0"), testrelease.On("plan9/mips"))
		}},
	{name: "A15 wrong channel: the beta channel's document", code: 4, silent: true, want: "beta",
		do: func(t *testing.T, repo *testrelease.Repo) {
			another(t, repo, func(evil *testrelease.Repo) { evil.Name = "beta" })
		}},
	{name: "A16 role confusion: a manifest as channel document", code: 4, silent: true, want: "manifest",
		do: func(t *testing.T, repo *testrelease.Repo) { repo.Put("stable", repo.Get(theManifest(repo))) }},
	{name: "P01 duplicate key", code: 4, silent: true, do: resigned(`"app":`, `"app": "hello", "app":`), want: "duplicate"},
	{name: "P02 key in another letter case", code: 4, silent: true, do: resigned(`"app":`, `"APP": "hello", "app":`), want: "APP"},
	{name: "P02 key with a letter that folds to s", code: 4, silent: true, do: resigned(`"app":`, `"ſequence": 99, "app":`), want: "equence"},
	{name: "P03 trailing data", code: 4, silent: true, do: resigned("\n}\n", "\n}\n{}\n"), want: ""},
	{name: "P03 byte order mark", code: 4, silent: true, do: rewritten("theseus/channel", "\ufefftheseus/channel"), want: ""},
	{name: "P04 null", code: 4, silent: true, do: resigned(`"app": "hello"`, `"app": null`), want: "app"},
	{name: "P04 missing member", code: 4, silent: true, do: resigned(`"app": "hello",`, ``), want: "app"},
	{name: "P05 invalid UTF-8", code: 4, silent: true, do: resigned(`"app": "hello"`, "\"x\": \"\xff\", \"app\": \"hello\""), want: ""},
	{name: "P05 lone surrogate", code: 4, silent: true, do: resigned(`"app": "hello"`, `"x": "\ud800", "app": "hello"`), want: ""},
	{name: "P06 number with an exponent", code: 4, silent: true, do: resigned(`"sequence": 2`, `"sequence": 2e2`), want: ""},
	{name: "P06 number beyond 2^53", code: 4, silent: true, do: resigned(`"sequence": 2`, `"sequence": 9007199254740993`), want: ""},
	{name: "P08 version with a v", code: 4, silent: true, do: resigned(`"version": "1.1.0"`, `"version": "v1.1.0"`), want: "v1.1.0"},
	{name: "P08 version with build metadata", code: 4, silent: true, do: resigned(`"version": "1.1.0"`, `"version": "1.1.0+evil"`), want: "evil"},
	{name: "P08 version for a shell", code: 4, silent: true, do: resigned(`"version": "1.1.0"`, `"version": "1.1.0;reboot"`), want: "reboot"},
	{name: "P09 channel that climbs", code: 4, silent: true, do: resigned(`"channel": "stable"`, `"channel": "../stable"`), want: "channel"},
	{name: "P12 signature algorithm flipped", code: 4, silent: true, do: flipped, want: ""},
	{name: "P13 legacy signature", code: 4, silent: true, want: "",
		do: func(t *testing.T, repo *testrelease.Repo) {
			text := repo.Text(repo.Get("stable"))
			block := strings.TrimSpace(string(repo.ChannelKeys[0].SignLegacy([]byte(text))))
			repo.Put("stable", []byte(text+"\n"+block+"\n"))
		}},
	{name: "P17 signature of a prefix", code: 4, silent: true, want: "",
		do: func(t *testing.T, repo *testrelease.Repo) {
			text := repo.Text(repo.Get("stable"))
			repo.Put("stable", append([]byte(text+"\n"), signature(t, repo, text[:len(text)/2])...))
		}},
	{name: "N01 captive portal", code: 4, silent: true, do: hooked(theChannel, testrelease.Page()), want: ""},
	{name: "N06 server error", code: 5, silent: true, do: hooked(theChannel, testrelease.Status(503)), want: "503"},
	{name: "N06 no such file", code: 5, silent: true, do: hooked(theChannel, testrelease.Status(404)), want: "404"},
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	hello := build(t, "1.0.0")
	for _, a := range slices.Concat(attacks, trustAttacks, transportAttacks) {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			i := install(t, hello)
			repo := testrelease.New(t)
			i.trusts(repo)
			repo.Publish("1.0.0", script("1.0.0")) // sequence 1
			if r := i.selfUpdate(repo, "--check"); r.code != 0 {
				t.Fatalf("before the attack: %v", r)
			}
			repo.Publish("1.1.0", script("1.1.0")) // sequence 2
			if a.on != nil {
				a.on(t, i, repo)
			} else {
				a.do(t, repo)
			}
			repo.Forget()
			before := i.look()

			r := i.selfUpdate(repo)
			if r.code != a.code || !strings.Contains(r.errout, a.want) {
				t.Errorf("%v\nwant exit code %d and %q", r, a.code, a.want)
			}
			if !strings.HasPrefix(lastLine(r.errout), "hello: ") {
				t.Errorf("standard error does not end with a sentence of one line: %q", r.errout)
			}
			if a.accepts {
				i.same(before)
			} else {
				i.unmoved(before)
			}
			if n := repo.Requested("files/"); a.silent && n != 0 {
				t.Errorf("%d requests for artifacts of documents that were refused", n)
			}
			if v := i.version(); v != "1.0.0" {
				t.Errorf("the program is %s", v)
			}

			// It is not worse off: what is good is installed.
			if a.heal != nil {
				a.heal(t, repo)
			}
			heal(t, repo)
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

func signature(t *testing.T, repo *testrelease.Repo, text string) []byte {
	t.Helper()
	block, err := repo.ChannelKeys[0].Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return block
}

// flipped says of a prehashed signature that it is a legacy one.
func flipped(t *testing.T, repo *testrelease.Repo) {
	t.Helper()
	lines := strings.Split(string(repo.Get("stable")), "\n")
	n := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "untrusted comment:") }) + 1
	sig, err := base64.StdEncoding.DecodeString(lines[n])
	if err != nil || string(sig[:2]) != "ED" {
		t.Fatalf("not a prehashed signature: %q, %v", lines[n], err)
	}
	sig[1] = 'd'
	lines[n] = base64.StdEncoding.EncodeToString(sig)
	repo.Put("stable", []byte(strings.Join(lines, "\n")))
}

func parseID(t *testing.T, id string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func semantic(t *testing.T, v string) *semver.Version {
	t.Helper()
	parsed, err := release.ParseVersion(v)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// seen lets the installation take in the channel document that is served, and install nothing.
func seen(t *testing.T, i *installation, repo *testrelease.Repo) {
	t.Helper()
	if r := i.selfUpdate(repo, "--check"); r.code != 100 {
		t.Fatalf("--check: %v", r)
	}
}

// heal ends every attack and publishes 1.3.0, higher than anything before.
func heal(t *testing.T, repo *testrelease.Repo) {
	t.Helper()
	for _, path := range append(repo.Files(), "*") {
		repo.Hook(path, nil)
	}
	repo.Resign(func(c *release.Channel) {
		for n, e := range c.Entries { // an entry that was an attack
			if e.Version.String() == "99.0.0" {
				c.Entries = append(c.Entries[:n], c.Entries[n+1:]...)
				return
			}
		}
	})
	repo.Publish("1.3.0", script("1.3.0"))
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
	repo.Hook(theFile(repo), testrelease.Short(7))
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
