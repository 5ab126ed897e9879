package testattack

import (
	"encoding/base64"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// documents are attacks with documents and files.
var documents = []Attack{
	{Name: "A01 arbitrary install: a key of nobody's signs everything", Is: verify.ErrSignature, Code: 4, Silent: true, Want: "sign",
		do: func(t *testing.T, repo *testrelease.Repo) {
			another(t, repo, func(evil *testrelease.Repo) {
				key := testrelease.NewKey(t, "attacker")
				evil.ReleaseKeys, evil.ChannelKeys = []*testrelease.Key{key}, []*testrelease.Key{key}
			})
		}},
	{Name: "A01 arbitrary install: under the id of the publisher's key", Is: verify.ErrSignature, Code: 4, Silent: true, Want: "sign",
		do: func(t *testing.T, repo *testrelease.Repo) {
			id := repo.ReleaseKeys[0].Key().ID()
			another(t, repo, func(evil *testrelease.Repo) {
				key := testrelease.NewKeyWithID(t, "attacker", parseID(t, id))
				evil.ReleaseKeys, evil.ChannelKeys = []*testrelease.Key{key}, []*testrelease.Key{key}
			})
		}},
	{Name: "A02 artifact swapped: one bit", Is: fetch.ErrHash, Code: 4, Accepts: true, Want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Hook(theFile(repo), testrelease.Bytes(testrelease.Flip(Program("1.1.0"), -2)))
		}},
	{Name: "A02 artifact swapped: another file of the same size", Is: fetch.ErrHash, Code: 4, Accepts: true, Want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Hook(theFile(repo), testrelease.Bytes(Program("6.6.6")))
		}},
	{Name: "A03 rollback: an old genuine channel document", Is: release.ErrRollback, Code: 4, Silent: true, Want: "sequence",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			old := repo.Get("stable")
			repo.Resign(nil)
			w.Seen()
			repo.Put("stable", old)
		}},
	{Name: "A04 rollback by relabel: an old release with a new name", Is: release.ErrVersion, Code: 4, Accepts: true, Silent: true, Want: "99.0.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			old := repo.Publish("0.9.0", Program("0.9.0"), testrelease.Unlisted())
			repo.Put("releases/99.0.0.manifest", repo.Get("releases/0.9.0.manifest"))
			repo.Resign(func(c *release.Channel) {
				old.Version = semver.MustParse("99.0.0")
				c.Entries = append(c.Entries, old)
			})
		}},
	{Name: "A05 equivocation: one sequence number, two documents", Is: release.ErrEquivocation, Code: 4, Silent: true, Want: "sequence",
		on: func(t *testing.T, w World) {
			repo := w.Repo
			w.Seen()
			repo.Resign(func(c *release.Channel) { c.Sequence--; c.Expires = c.Expires.Add(time.Hour) })
		}},
	{Name: "A06 freeze: a document past its date", Is: release.ErrExpired, Code: 4, Silent: true, Want: "expired",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Resign(func(c *release.Channel) {
				c.Issued, c.Expires = repo.Now.Add(-100*24*time.Hour), repo.Now.Add(-10*24*time.Hour)
			})
		}},
	{Name: "A08 endless data: channel", Is: fetch.ErrTooLarge, Code: 4, Silent: true, do: hooked(theChannel, testrelease.Endless()), Want: "more than"},
	{Name: "A08 endless data: manifest", Is: fetch.ErrTooLarge, Code: 4, Accepts: true, Silent: true, do: hooked(theManifest, testrelease.Endless()), Want: "more than"},
	{Name: "A09 endless data: artifact", Is: fetch.ErrSize, Code: 4, Accepts: true, do: hooked(theFile, testrelease.Endless()), Want: "1.1.0"},
	{Name: "A10 short body: always at the same place", Code: 5, Accepts: true, Want: "1.1.0",
		do: hooked(theFile, func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
			r.Header.Del("Range") // a server that cannot resume
			testrelease.Short(7)(w, r, honest)
		})},
	{Name: "A10 short body: half a channel document", Code: 4, Silent: true, Want: "",
		do: func(t *testing.T, repo *testrelease.Repo) {
			b := repo.Get("stable")
			repo.Put("stable", b[:len(b)/2])
		}},
	{Name: "A12 mix-and-match: the manifest of one release for another", Is: release.ErrID, Code: 4, Accepts: true, Silent: true, Want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.0.5", Program("1.0.5"), testrelease.Unlisted())
			repo.Put(theManifest(repo), repo.Get("releases/1.0.5.manifest"))
		}},
	{Name: "A13 wrong app: signed by the same publisher", Is: release.ErrApp, Code: 4, Silent: true, Want: "goodbye",
		do: func(t *testing.T, repo *testrelease.Repo) {
			another(t, repo, func(evil *testrelease.Repo) { evil.App = "goodbye" })
		}},
	{Name: "A14 wrong platform: bytes of another one", Is: fetch.ErrSize, Code: 4, Accepts: true, Want: "1.1.0",
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Hook(theFile(repo), testrelease.Bytes([]byte("#!/bin/sh\necho hello for another machine\n")))
		}},
	{Name: "A14 wrong platform: nothing for this one", Is: release.ErrNoArtifact, Code: 3, Accepts: true, Silent: true, Want: runtime.GOOS,
		do: func(t *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.1.0", Program("1.1.0"), testrelease.On("plan9/mips"))
		}},
	{Name: "A15 wrong channel: the beta channel's document", Is: release.ErrChannel, Code: 4, Silent: true, Want: "beta",
		do: func(t *testing.T, repo *testrelease.Repo) {
			another(t, repo, func(evil *testrelease.Repo) { evil.Name = "beta" })
		}},
	{Name: "A16 role confusion: a manifest as channel document", Is: verify.ErrType, Code: 4, Silent: true, Want: "manifest",
		do: func(t *testing.T, repo *testrelease.Repo) { repo.Put("stable", repo.Get(theManifest(repo))) }},
	{Name: "P01 duplicate key", Code: 4, Silent: true, do: resigned(`"app":`, `"app": "hello", "app":`), Want: "duplicate"},
	{Name: "P02 key in another letter case", Code: 4, Silent: true, do: resigned(`"app":`, `"APP": "hello", "app":`), Want: "APP"},
	{Name: "P02 key with a letter that folds to s", Code: 4, Silent: true, do: resigned(`"app":`, `"ſequence": 99, "app":`), Want: "equence"},
	{Name: "P03 trailing data", Code: 4, Silent: true, do: resigned("\n}\n", "\n}\n{}\n"), Want: ""},
	{Name: "P03 byte order mark", Code: 4, Silent: true, do: rewritten("theseus/channel", "\ufefftheseus/channel"), Want: ""},
	{Name: "P04 null", Code: 4, Silent: true, do: resigned(`"app": "hello"`, `"app": null`), Want: "app"},
	{Name: "P04 missing member", Code: 4, Silent: true, do: resigned(`"app": "hello",`, ``), Want: "app"},
	{Name: "P05 invalid UTF-8", Code: 4, Silent: true, do: resigned(`"app": "hello"`, "\"x\": \"\xff\", \"app\": \"hello\""), Want: ""},
	{Name: "P05 lone surrogate", Code: 4, Silent: true, do: resigned(`"app": "hello"`, `"x": "\ud800", "app": "hello"`), Want: ""},
	{Name: "P06 number with an exponent", Code: 4, Silent: true, do: resigned(`"sequence": 2`, `"sequence": 2e2`), Want: ""},
	{Name: "P06 number beyond 2^53", Code: 4, Silent: true, do: resigned(`"sequence": 2`, `"sequence": 9007199254740993`), Want: ""},
	{Name: "P08 version with a v", Code: 4, Silent: true, do: resigned(`"version": "1.1.0"`, `"version": "v1.1.0"`), Want: "v1.1.0"},
	{Name: "P08 version with build metadata", Code: 4, Silent: true, do: resigned(`"version": "1.1.0"`, `"version": "1.1.0+evil"`), Want: "evil"},
	{Name: "P08 version for a shell", Code: 4, Silent: true, do: resigned(`"version": "1.1.0"`, `"version": "1.1.0;reboot"`), Want: "reboot"},
	{Name: "P09 channel that climbs", Code: 4, Silent: true, do: resigned(`"channel": "stable"`, `"channel": "../stable"`), Want: "channel"},
	{Name: "P12 signature algorithm flipped", Code: 4, Silent: true, do: flipped, Want: ""},
	{Name: "P13 legacy signature", Is: verify.ErrAlgorithm, Code: 4, Silent: true, Want: "",
		do: func(t *testing.T, repo *testrelease.Repo) {
			text := repo.Text(repo.Get("stable"))
			block := strings.TrimSpace(string(repo.ChannelKeys[0].SignLegacy([]byte(text))))
			repo.Put("stable", []byte(text+"\n"+block+"\n"))
		}},
	{Name: "P17 signature of a prefix", Code: 4, Silent: true, Want: "",
		do: func(t *testing.T, repo *testrelease.Repo) {
			text := repo.Text(repo.Get("stable"))
			repo.Put("stable", append([]byte(text+"\n"), signature(t, repo, text[:len(text)/2])...))
		}},
	{Name: "N01 captive portal", Is: verify.ErrMalformed, Code: 4, Silent: true, do: hooked(theChannel, testrelease.Page()), Want: ""},
	{Name: "N06 server error", Code: 5, Silent: true, do: hooked(theChannel, testrelease.Status(503)), Want: "503"},
	{Name: "N06 no such file", Code: 5, Silent: true, do: hooked(theChannel, testrelease.Status(404)), Want: "404"},
	{Name: "A01 arbitrary install: only the manifest is signed by a key of nobody's", Is: verify.ErrSignature, Code: 4, Accepts: true, Silent: true, Want: "sign",
		do: func(t *testing.T, repo *testrelease.Repo) {
			honest := repo.ReleaseKeys
			repo.ReleaseKeys = keys(t, "evil")
			repo.Publish("1.2.0", Program("1.2.0"))
			repo.ReleaseKeys = honest
		}},
	{Name: "A10 short body: and the rest is never there", Code: 5, Accepts: true, Want: "503",
		do: func(_ *testing.T, repo *testrelease.Repo) {
			path := theFile(repo)
			short := testrelease.Short(len(repo.Get(path)) - 1)
			repo.Hook(path, func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
				repo.Hook(path, testrelease.Status(http.StatusServiceUnavailable))
				short(w, r, honest)
			})
		}},
	{Name: "A12 mix-and-match: the file of one release for another", Is: fetch.ErrHash, Code: 4, Accepts: true, Want: "1.1.0",
		do: func(_ *testing.T, repo *testrelease.Repo) {
			repo.Publish("1.0.9", Program("1.0.9"), testrelease.Unlisted())
			repo.Hook(theFile(repo), testrelease.Bytes(Program("1.0.9")))
		}},
	{Name: "N06 server error, everywhere", Code: 5, Silent: true, Want: "503",
		do: func(_ *testing.T, repo *testrelease.Repo) { repo.Hook("*", testrelease.Status(503)) }},
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
