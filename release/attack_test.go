package release_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A change to the text of a document before it is signed: what an attacker can do who holds a key, and what a publisher
// can do who writes documents by other means. old must be there exactly once; "" stands for the whole text.
type change struct {
	name, old, new string
	want           error // nil: taken
}

func (c change) apply(t *testing.T, text string) string {
	t.Helper()
	if c.old == "" {
		return c.new
	}
	if n := strings.Count(text, c.old); n != 1 {
		t.Fatalf("%q is there %d times in\n%s", c.old, n, text)
	}
	return strings.Replace(text, c.old, c.new, 1)
}

const (
	zeros = "0000000000000000000000000000000000000000000000000000000000000000"
)

var (
	errMalformed = release.ErrMalformed
	threes       = digest(3).String()
	sevens       = digest(7).String()
)

var channelChanges = []change{
	{"P01 duplicate member", `"sequence": 42`, `"sequence": 42, "sequence": 43`, errMalformed},
	{"P01 duplicate member of an entry", `"version": "1.4.2"`, `"version": "1.4.2", "version": "9.0.0"`, errMalformed},
	{"P01 duplicate by escape", `"sequence": 42`, `"sequence": 42, "\u0073equence": 43`, errMalformed},
	{"P02 other case", `"sequence": 42`, `"Sequence": 42`, errMalformed},
	{"P02 other case beside the right one", `"sequence": 42`, `"sequence": 42, "SEQUENCE": 43`, errMalformed},
	{"P02 long s", `"sequence": 42`, `"ſequence": 42`, errMalformed},
	{"P02 long s beside the right one", `"sequence": 42`, `"sequence": 42, "ſequence": 42`, errMalformed},
	{"P02 other case in an entry", `"floor": true`, `"Floor": true, "floor": true`, errMalformed},
	{"P02 kelvin sign", `"basis_points": 10000`, `"basis_points": 10000, "baſis_points": 1`, errMalformed},
	{"P03 second object", "\n}\n", "\n}{}\n", errMalformed},
	{"P03 no object", "", "theseus/channel/v1\n[]\n", errMalformed},
	{"P04 null", `"sequence": 42`, `"sequence": null`, errMalformed},
	{"P04 null entry", `"releases": [`, `"releases": [null,`, errMalformed},
	{"P04 null in an optional member", `"floor": true`, `"floor": null`, errMalformed},
	{"P04 no app", `"app": "hello",`, ``, errMalformed},
	{"P04 no channel", `"channel": "stable",`, ``, errMalformed},
	{"P04 no sequence", `"sequence": 42,`, ``, errMalformed},
	{"P04 no expiry", `"expires": "2026-12-21T09:00:00Z",`, ``, errMalformed},
	{"P04 no version", `"version": "1.4.2",`, ``, errMalformed},
	{"P04 no hash", `,` + "\n" + `        "sha256": "` + threes + `"`, ``, errMalformed},
	{"P04 no reason", `"reason": "settings are lost",`, ``, errMalformed},
	{"P05 lone surrogate", `"login is slow"`, `"\ud800"`, errMalformed},
	{"P05 invalid UTF-8", `"login is slow"`, "\"\xff\"", errMalformed},
	{"P06 exponent", `"sequence": 42`, `"sequence": 1e2`, errMalformed},
	{"P06 minus zero", `"sequence": 42`, `"sequence": -0`, errMalformed},
	{"P06 fraction", `"sequence": 42`, `"sequence": 42.0`, errMalformed},
	{"P06 zero", `"sequence": 42`, `"sequence": 0`, errMalformed},
	{"P06 the greatest", `"sequence": 42`, `"sequence": 9007199254740991`, nil},
	{"P06 2^53", `"sequence": 42`, `"sequence": 9007199254740992`, errMalformed},
	{"P06 2^64", `"sequence": 42`, `"sequence": 18446744073709551617`, errMalformed},
	{"P06 in words", `"sequence": 42`, `"sequence": "42"`, errMalformed},
	{"P06 manifest size", `"size": 903`, `"size": 1048577`, errMalformed},
	{"P06 share", `"basis_points": 10000`, `"basis_points": 10001`, errMalformed},
	{"P07 too many releases", `"releases": [`, `"releases": [` + many(1001), errMalformed},
	{"P07 depth", `"trust": 3`, `"trust": 3, "x": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000), errMalformed},
	{"P07 required names", `"floor"` + "\n", `"floor", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"` + "\n", errMalformed},
	{"P07 as many required names as there may be", `"floor"` + "\n", `"floor", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"` + "\n", nil},
	{"P08 leading v", `"version": "1.4.3"`, `"version": "v1.4.3"`, errMalformed},
	{"P08 build metadata", `"version": "1.4.3"`, `"version": "1.4.3+evil"`, errMalformed},
	{"P08 two numbers", `"version": "1.4.3"`, `"version": "1.4"`, errMalformed},
	{"P08 leading zero", `"version": "1.4.3"`, `"version": "1.04.3"`, errMalformed},
	{"P08 path", `"version": "1.4.3"`, `"version": "1.4.3-../../x"`, errMalformed},
	{"P08 newline", `"version": "1.4.3"`, `"version": "1.4.3\n"`, errMalformed},
	{"P08 300 digits", `"version": "1.4.3"`, `"version": "1.4.` + strings.Repeat("3", 300) + `"`, errMalformed},
	{"P08 critical", `"critical": "1.4.2"`, `"critical": "1.4"`, errMalformed},
	{"P08 yank target", `"to": "1.4.2"`, `"to": "1.4.2+x"`, errMalformed},
	{"P09 app name", `"app": "hello"`, `"app": "../hello"`, errMalformed},
	{"P09 channel name", `"channel": "stable"`, `"channel": "releases"`, errMalformed},
	{"P09 P10 members that name a place are not looked at", `"trust": 3`, `"trust": 3, "url": "file:///etc/passwd", "path": "../../x"`, nil},
	{"P10 place of an entry", `"version": "1.4.3"`, `"version": "1.4.3", "url": "https://evil.example/", "path": "//h/x"`, nil},

	{"A13 another app", `"app": "hello"`, `"app": "other"`, release.ErrApp},
	{"A15 another channel", `"channel": "stable"`, `"channel": "beta"`, release.ErrChannel},
	{"A16 manifest type line", "theseus/channel/v1\n", "theseus/manifest/v1\n", verify.ErrType},
	{"A16 later type line", "theseus/channel/v1\n", "theseus/channel/v2\n", verify.ErrType},
	{"A14 same version twice", `"version": "1.4.3"`, `"version": "1.5.0"`, release.ErrAmbiguous},
	{"A14 same version but for case", `"version": "1.4.3"`, `"version": "1.6.0-RC.1"`, release.ErrAmbiguous},
	{"A33 expires before it was issued", `"issued": "2026-11-21T09:00:00Z"`, `"issued": "2100-01-01T00:00:00Z"`, errMalformed},
	{"expires as it is issued", `"issued": "2026-11-21T09:00:00Z"`, `"issued": "2026-12-21T09:00:00Z"`, errMalformed},
	{"date with an offset", `"issued": "2026-11-21T09:00:00Z"`, `"issued": "2026-11-21T09:00:00+00:00"`, errMalformed},
	{"trust", `"trust": 3`, `"trust": 2147483648`, errMalformed},
	{"upper-case hash", threes, strings.ToUpper(strings.Replace(threes, "3", "a", 1)), errMalformed},
	{"short hash", threes, threes[2:], errMalformed},

	{"yanked to stay", `"action": "back",` + "\n" + `        "to": "1.4.2"`, `"action": "stay"`, nil},
	{"yanked to go up", `"action": "back",` + "\n" + `        "to": "1.4.2"`, `"action": "up"`, nil},
	{"yanked to go back, but not where", `"action": "back",` + "\n" + `        "to": "1.4.2"`, `"action": "back"`, errMalformed},
	{"includes: another channel", `"lts",`, `"nightly",`, nil},
	{"includes: itself", `"lts",`, `"stable",`, errMalformed},
	{"includes: one twice", `"lts",`, `"hotfix",`, errMalformed},
	{"includes: no name of a channel", `"lts",`, `"../lts",`, errMalformed},
	{"includes: a folder", `"lts",`, `"releases",`, errMalformed},
	{"includes: too many", `"lts",`, `"a", "b", "c", "d", "e", "f", "g", "h",`, errMalformed},
	{"includes: as many as there may be", `"lts",`, `"a", "b", "c", "d", "e", "f", "g",`, nil},
	{"retired: without a successor", `"reason": "nobody needs it",` + "\n" + `    "to": "lts"`, `"reason": "nobody needs it"`, nil},
	{"retired: without a reason", `"reason": "nobody needs it",`, ``, errMalformed},
	{"retired: an empty reason", `"nobody needs it"`, `""`, errMalformed},
	{"retired: to itself", `"to": "lts"`, `"to": "stable"`, errMalformed},
	{"retired: to no name of a channel", `"to": "lts"`, `"to": "LTS"`, errMalformed},
	{"return: in words", `"return": true`, `"return": "yes"`, errMalformed},
	{"return: false", `"return": true`, `"return": false`, nil},
	{"R13 direction of writing in a reason", `"login is slow"`, `"login is \u202ewols"`, errMalformed},
	{"R13 isolate in a reason", `"login is slow"`, `"login \u2066is slow"`, errMalformed},
	{"R13 line separator in a reason", `"login is slow"`, `"login is\u2028slow"`, errMalformed},
	{"R13 escape in a reason", `"login is slow"`, `"login is \u001b[2J"`, errMalformed},
	{"a joined sign in a reason", `"login is slow"`, `"login \ud83d\udc69\u200d\ud83d\udcbb is slow"`, nil},
	{"Growing: unknown members", `"trust": 3`, `"trust": 3, "motd": {"de": ["hallo"]}`, nil},
	{"Growing: unknown member of an entry", `"version": "1.4.3"`, `"version": "1.4.3", "colour": 7`, nil},
	{"Growing: unknown required name", `"floor"` + "\n", `"floor", "moon-phase"` + "\n", nil},
	{"Growing: a name that is none", `"floor"` + "\n", `"floor", "Moon Phase"` + "\n", errMalformed},
	{"Growing: required twice", `"floor"` + "\n", `"floor", "floor"` + "\n", errMalformed},
	{"restriction that is not listed", `"requires": [` + "\n" + `        "paused"` + "\n      ],", ``, errMalformed},
	{"restriction that is listed and not there", `"paused": "login is slow"`, `"paused": ""`, errMalformed},
	{"floor that is listed and not there", `"floor": true`, `"floor": false`, errMalformed},
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"version":"0.0.%d","manifest":{"size":1,"sha256":"%s"}},`, i, zeros)
	}
	return b.String()
}

func attachments(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"name":"a%d","size":1,"sha256":"%s"},`, i, zeros)
	}
	return b.String()
}

var manifestChanges = []change{
	{"P01 duplicate member", `"minimum": "1.4.2"`, `"minimum": "1.4.2", "minimum": "0.0.1"`, errMalformed},
	{"P01 duplicate hash", `"sha256": "` + sevens + `"`, `"sha256": "` + sevens + `", "sha256": "` + zeros + `"`, errMalformed},
	{"P02 other case", `"minimum": "1.4.2"`, `"Minimum": "1.4.2"`, errMalformed},
	{"P02 kelvin sign in a download", `"size": 401`, `"ſize": 401`, errMalformed},
	{"P03 second object", "\n}\n", "\n}{}\n", errMalformed},
	{"P04 null minimum", `"minimum": "1.4.2"`, `"minimum": null`, errMalformed},
	{"P04 null from", `"from": "` + digest(9).String() + `"`, `"from": null`, errMalformed},
	{"P04 no artifacts", "", "theseus/manifest/v1\n" + `{"app":"hello","version":"1.5.0","date":"2026-11-21T09:00:00Z"}` + "\n", errMalformed},
	{"P04 empty artifacts", "", "theseus/manifest/v1\n" + `{"app":"hello","version":"1.5.0","date":"2026-11-21T09:00:00Z","artifacts":[]}` + "\n", errMalformed},
	{"P04 no size", `"size": 401,`, ``, errMalformed},
	{"P05 lone surrogate", `is better`, `\udc00`, errMalformed},
	{"P06 exponent", `"size": 401`, `"size": 4e2`, errMalformed},
	{"P06 negative", `"size": 401`, `"size": -401`, errMalformed},
	{"P06 zero", `"size": 401`, `"size": 0`, errMalformed},
	{"P06 8 GiB", `"size": 401`, `"size": 8589934592`, nil},
	{"P06 8 GiB and a byte", `"size": 401`, `"size": 8589934593`, errMalformed},
	{"P07 too many values", `"artifacts": [`, `"x": [` + strings.Repeat("0,", 70_000) + `0], "artifacts": [`, errMalformed},
	{"P08 version", `"version": "1.5.0"`, `"version": "v1.5.0"`, errMalformed},
	{"P08 minimum", `"minimum": "1.4.2"`, `"minimum": "1.4.2+x"`, errMalformed},
	{"P09 OS", `"variant": "v3"`, `"variant": "../v3"`, errMalformed},
	{"P09 encoding", `"encoding": "delta"`, `"encoding": "../x"`, errMalformed},
	{"P09 P10 members that name a place are not looked at", `"size": 401`, `"path": "../../etc/passwd", "url": "file:///x", "name": "NUL", "size": 401`, nil},

	{"A04 an old release with a new label", `"version": "1.5.0"`, `"version": "1.4.5"`, release.ErrVersion},
	{"A13 another app", `"app": "hello"`, `"app": "other"`, release.ErrApp},
	{"A16 channel type line", "theseus/manifest/v1\n", "theseus/channel/v1\n", verify.ErrType},
	{"A16 trust type line", "theseus/manifest/v1\n", "theseus/trust/v1\n", verify.ErrType},
	{"A14 two rows for one platform", `"variant": "v3",`, ``, release.ErrAmbiguous},
	{"A14 two downloads of one kind", `"encoding": "delta",` + "\n" + `          "from": "` + digest(9).String() + `"`, `"encoding": "zstd"`, release.ErrAmbiguous},
	{"two downloads of one kind, one of which a newer client takes", `"encoding": "delta",` + "\n" + `          "from": "` + digest(9).String() + `"`, `"encoding": "zstd", "requires": ["window-64"]`, nil},
	{"minimum above", `"minimum": "1.4.2"`, `"minimum": "1.5.0"`, errMalformed},
	{"minimum that is not listed", `"requires": [` + "\n" + `    "minimum"` + "\n  ],", ``, errMalformed},
	{"minimum that is listed and not there", `"minimum": "1.4.2",`, ``, errMalformed},
	{"Growing: unknown members", `"size": 401`, `"size": 401, "bzip": true`, nil},
	{"Growing: a required name that is none", `"size": 401`, `"size": 401, "requires": ["Moon Phase"]`, errMalformed},
	{"Growing: unknown encoding", `"encoding": "delta"`, `"encoding": "delta2"`, nil},
	{"Growing: unknown required name", `"minimum"` + "\n", `"minimum", "moon-phase"` + "\n", nil},
	{"attachment: a path", `"name": "hello.spdx.json"`, `"name": "../hello.spdx.json"`, errMalformed},
	{"attachment: hidden", `"name": "hello.spdx.json"`, `"name": ".hello.spdx.json"`, errMalformed},
	{"attachment: a device", `"name": "hello.spdx.json"`, `"name": "NUL.json"`, errMalformed},
	{"attachment: no name", `"name": "hello.spdx.json"`, `"name": ""`, errMalformed},
	{"attachment: two but for case", `"name": "hello.spdx.json"`, `"name": "sha256sums"`, release.ErrAmbiguous},
	{"attachment: no type", `"type": "application/spdx+json",`, ``, nil},
	{"attachment: a type that is none", `"type": "application/spdx+json"`, `"type": "json"`, errMalformed},
	{"attachment: a type with parameters", `"type": "application/spdx+json"`, `"type": "text/plain; charset=utf-8"`, errMalformed},
	{"attachment: empty", `"size": 77`, `"size": 0`, errMalformed},
	{"attachment: no hash", `"size": 77,` + "\n" + `      "sha256": "` + digest(10).String() + `"`, `"size": 77`, errMalformed},
	{"attachment: too many", `"attachments": [`, `"attachments": [` + attachments(63), errMalformed},
	{"attachment: as many as there may be", `"attachments": [`, `"attachments": [` + attachments(62), nil},
	{"Growing: unknown required name of an artifact", `"variant": "v3",`, `"variant": "v3", "requires": ["moon-phase"],`, nil},
	{"Growing: a required name of an artifact that is none", `"variant": "v3",`, `"variant": "v3", "requires": ["Moon Phase"],`, errMalformed},
	{"R13 direction of writing in the notes", `is better`, `is \u202eretteb`, errMalformed},
	{"terminal escape in the notes", `is better`, `\u001b[2J`, errMalformed},
	{"delta from itself", digest(9).String(), digest(5).String(), errMalformed},
	{"delta from nothing", `"from": "` + digest(9).String() + `",`, ``, errMalformed},
	{"whole file from another", `"size": 401`, `"size": 401, "from": "` + zeros + `"`, errMalformed},
	{"file itself with another size", `"downloads": [` + "\n        {\n" + `          "size": 1000`, `"downloads": [{"size": 999`, errMalformed},
}

func TestOpenChannelUnderAttack(t *testing.T) {
	repo := testrelease.New(t)
	text := repo.Text(signChannel(t, fullChannel()))
	for _, c := range channelChanges {
		t.Run(c.name, func(t *testing.T) {
			got, err := release.OpenChannel(repo.SignText(c.apply(t, text), repo.ChannelKeys...), repo.Keys(), "hello", "stable")
			judge(t, c, got != nil, err)
		})
	}
}

func TestOpenManifestUnderAttack(t *testing.T) {
	repo := testrelease.New(t)
	text := repo.Text(signManifest(t, fullManifest()))
	for _, c := range manifestChanges {
		t.Run(c.name, func(t *testing.T) {
			// The attacker holds the channel key as well: the channel names this very text.
			file := repo.SignText(c.apply(t, text), repo.ReleaseKeys...)
			got, err := release.OpenManifest(file, repo.Keys(), "hello", release.Entry{Version: version("1.5.0"), Manifest: verify.IDOf([]byte(c.apply(t, text)))})
			judge(t, c, got != nil, err)
		})
	}
}

func judge(t *testing.T, c change, opened bool, err error) {
	t.Helper()
	if !errors.Is(err, c.want) || opened != (c.want == nil) {
		t.Errorf("opened: %v, error %v, want %v", opened, err, c.want)
	}
	if err != nil && (len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x1b\x00")) {
		t.Errorf("no sentence for a person: %q", err)
	}
}

// What was ignored in a document that names places does not turn up in what was made of it.
func TestP10PathsAreMadeOfHashes(t *testing.T) {
	repo := testrelease.New(t)
	c := change{old: `"size": 401`, new: `"path": "../../etc/passwd", "url": "https://evil.example", "size": 401`}
	text := c.apply(t, repo.Text(signManifest(t, fullManifest())))
	m, err := release.OpenManifest(repo.SignText(text, repo.ReleaseKeys...), repo.Keys(), "hello", release.Entry{Version: version("1.5.0"), Manifest: verify.IDOf([]byte(text))})
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%+v", m); strings.Contains(s, "evil") || strings.Contains(s, "etc") {
		t.Error(s)
	}
	var paths []string
	for _, a := range m.Artifacts {
		for _, d := range a.Downloads {
			paths = append(paths, d.Path())
		}
	}
	want := []string{"files/" + digest(5).String(), "files/" + digest(6).String() + ".zst", "files/" + sevens + ".delta", "files/" + digest(8).String() + ".zst"}
	if fmt.Sprint(paths) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", paths, want)
	}
	if got := release.ManifestPath(m.Version); got != "releases/1.5.0.manifest" {
		t.Error(got)
	}
	if got := release.TrustPath(12); got != "trust/12" {
		t.Error(got)
	}
}

// A key that leaked and a relabelled old release: the hash in the channel, the version in the manifest and the hash of
// the file hold each other.
func TestA04RelabelledRelease(t *testing.T) {
	repo := testrelease.New(t)
	old := repo.Publish("1.2.0", []byte("vulnerable"))
	file := repo.Get("releases/1.2.0.manifest")
	// Served in the place of another manifest.
	entry := repo.Publish("1.3.0", []byte("mended"))
	if _, err := release.OpenManifest(file, repo.Keys(), repo.App, entry); !errors.Is(err, release.ErrID) {
		t.Error(err)
	}
	// Named by a channel under another version.
	old.Version = version("99.0.0")
	if _, err := release.OpenManifest(file, repo.Keys(), repo.App, old); !errors.Is(err, release.ErrVersion) {
		t.Error(err)
	}
}

func TestA12MixAndMatch(t *testing.T) {
	repo := testrelease.New(t)
	one, two := repo.Publish("1.0.0", []byte("one")), repo.Publish("2.0.0", []byte("two"))
	first, second := repo.Get("releases/1.0.0.manifest"), repo.Get("releases/2.0.0.manifest")
	if _, err := release.OpenManifest(first, repo.Keys(), repo.App, two); !errors.Is(err, release.ErrID) {
		t.Errorf("another release's manifest: %v", err)
	}
	if _, err := release.OpenManifest(second, repo.Keys(), repo.App, one); !errors.Is(err, release.ErrID) {
		t.Errorf("another release's manifest: %v", err)
	}
	// The text of one with the signatures of the other.
	mixed := append([]byte(repo.Text(first)+"\n"), second[len(repo.Text(second))+1:]...)
	if _, err := release.OpenManifest(mixed, repo.Keys(), repo.App, one); !errors.Is(err, verify.ErrSignature) {
		t.Errorf("another release's signatures: %v", err)
	}
	repo.Name, repo.Channel = "beta", nil
	repo.Resign(nil)
	if _, err := release.OpenChannel(repo.Get("beta"), repo.Keys(), repo.App, "stable"); !errors.Is(err, release.ErrChannel) {
		t.Errorf("another channel: %v", err)
	}
	// More signatures do not make another document.
	cosigned, err := verify.AddSignature(first, testrelease.NewKey(t, "second"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.OpenManifest(cosigned, repo.Keys(), repo.App, one); err != nil {
		t.Errorf("co-signed: %v", err)
	}
}

func TestA01UnknownKey(t *testing.T) {
	repo := testrelease.New(t)
	evil := testrelease.NewKey(t, "evil")
	repo.ReleaseKeys, repo.ChannelKeys = []*testrelease.Key{evil}, []*testrelease.Key{evil}
	e := repo.Publish("1.0.0", []byte("evil"))
	keys := testrelease.New(t).Keys()
	if _, err := release.OpenChannel(repo.Get("stable"), keys, repo.App, "stable"); !errors.Is(err, verify.ErrSignature) {
		t.Error(err)
	}
	if _, err := release.OpenManifest(repo.Get("releases/1.0.0.manifest"), keys, repo.App, e); !errors.Is(err, verify.ErrSignature) {
		t.Error(err)
	}
	if _, err := release.OpenChannel(repo.Get("stable"), verify.Keys{}, repo.App, "stable"); !errors.Is(err, verify.ErrSignature) {
		t.Errorf("no keys: %v", err)
	}
	if _, err := release.OpenManifest([]byte("<!doctype html>"), keys, repo.App, e); !errors.Is(err, release.ErrMalformed) {
		t.Errorf("a page: %v", err)
	}
}

// stable opens the repository's channel document for a client with these keys.
func stable(t *testing.T, repo *testrelease.Repo, keys verify.Keys) *release.Channel {
	t.Helper()
	c, err := release.OpenChannel(repo.Get("stable"), keys, repo.App, "stable")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestA03Rollback(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	old := repo.Get("stable")
	repo.Publish("1.1.0", []byte("two"))
	seen := release.Seen{}.Accept(stable(t, repo, repo.Keys()))
	repo.Put("stable", old)
	if err := stable(t, repo, repo.Keys()).Follows(seen); !errors.Is(err, release.ErrRollback) {
		t.Error(err)
	}
}

func TestA05Equivocation(t *testing.T) {
	repo := testrelease.New(t)
	repo.Publish("1.0.0", []byte("one"))
	seen := release.Seen{}.Accept(stable(t, repo, repo.Keys()))
	if err := stable(t, repo, repo.Keys()).Follows(seen); err != nil {
		t.Errorf("the same document: %v", err)
	}
	repo.Resign(func(c *release.Channel) { c.Sequence--; c.Entries = nil })
	if err := stable(t, repo, repo.Keys()).Follows(seen); !errors.Is(err, release.ErrEquivocation) {
		t.Error(err)
	}
	// Another signature on the same text is the same document.
	repo = testrelease.New(t)
	repo.ChannelKeys = append(repo.ChannelKeys, testrelease.NewKey(t, "second"))
	repo.Publish("1.0.0", []byte("one"))
	seen = release.Seen{}.Accept(stable(t, repo, repo.Keys()))
	repo.ChannelKeys = repo.ChannelKeys[:1]
	repo.Resign(func(c *release.Channel) { c.Sequence-- })
	if err := stable(t, repo, repo.Keys()).Follows(seen); err != nil {
		t.Errorf("fewer signatures: %v", err)
	}
}

func TestA32StaleEdge(t *testing.T) {
	repo := testrelease.New(t)
	var seen release.Seen
	for _, step := range []struct {
		sequence int64
		want     error
	}{{42, nil}, {41, release.ErrRollback}, {42, nil}, {43, nil}} {
		repo.Resign(func(c *release.Channel) { c.Sequence = step.sequence })
		c := stable(t, repo, repo.Keys())
		if err := c.Follows(seen); !errors.Is(err, step.want) {
			t.Errorf("%d: %v", step.sequence, err)
		} else if err == nil {
			seen = seen.Accept(c)
		}
	}
}

func TestA07FastForward(t *testing.T) {
	repo := testrelease.New(t)
	leaked, fresh, release1 := testrelease.NewKey(t, "leaked"), testrelease.NewKey(t, "fresh"), repo.ReleaseKeys[0]
	keys := func(threshold int, all ...*testrelease.Key) verify.Keys {
		var public []verify.Key
		for _, k := range all {
			public = append(public, k.Key())
		}
		set, err := verify.NewKeys(threshold, public...)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	repo.ChannelKeys = []*testrelease.Key{leaked}
	repo.Resign(func(c *release.Channel) { c.Sequence = release.MaxSequence })
	seen := release.Seen{}.Accept(stable(t, repo, keys(1, leaked, release1)))

	under := func(s release.Seen, version int, channel verify.Keys) (release.Seen, bool) {
		return s.Under(&verify.Trust{Version: version, Channel: channel})
	}
	if again, forgotten := under(seen, 2, keys(1, leaked, fresh)); forgotten || again.Sequence != seen.Sequence {
		t.Error("adding a key forgets")
	}
	after, forgotten := under(seen, 2, keys(1, fresh))
	if !forgotten {
		t.Fatal("replacing the key does not forget")
	}
	repo.ChannelKeys = []*testrelease.Key{fresh}
	repo.Resign(func(c *release.Channel) { c.Sequence, c.Trust = 1, 2 })
	now := stable(t, repo, keys(1, fresh))
	if err := now.Follows(seen); !errors.Is(err, release.ErrRollback) {
		t.Errorf("not forgotten yet: %v", err)
	}
	if err := now.Follows(after); err != nil {
		t.Error(err)
	}

	// Two of three counted, threshold two: one of them replaced leaves fewer than two.
	third := testrelease.NewKey(t, "third")
	repo.ChannelKeys = []*testrelease.Key{leaked, third}
	repo.Resign(func(c *release.Channel) { c.Sequence = release.MaxSequence })
	seen = release.Seen{}.Accept(stable(t, repo, keys(2, leaked, third, fresh)))
	if seen.Threshold != 2 || len(seen.Signers) != 2 {
		t.Fatalf("%+v", seen)
	}
	_, one := under(seen, 2, keys(2, third, fresh))
	if _, none := under(seen, 2, keys(1, third, leaked)); !one || none {
		t.Error("counted keys are what matters")
	}
}

// R11: two channel keys, one of which has leaked and is replaced. Whatever of the signatures was stripped on the way,
// no document from before the replacement is good again, be it signed by the key that stays, or by both.
func TestR11ReplayAfterAKeyIsReplaced(t *testing.T) {
	repo := testrelease.New(t)
	leaked, stays, fresh := testrelease.NewKey(t, "leaked"), testrelease.NewKey(t, "stays"), testrelease.NewKey(t, "fresh")
	keys := func(all ...*testrelease.Key) verify.Keys {
		var public []verify.Key
		for _, k := range all {
			public = append(public, k.Key())
		}
		set, err := verify.NewKeys(1, public...)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	before, now := &verify.Trust{Version: 1, Channel: keys(leaked, stays)}, &verify.Trust{Version: 2, Channel: keys(stays, fresh)}
	sign := func(sequence int64, trust int, by ...*testrelease.Key) *release.Channel {
		repo.ChannelKeys = by
		repo.Resign(func(c *release.Channel) { c.Sequence, c.Trust = sequence, trust })
		return stable(t, repo, keys(leaked, stays, fresh))
	}
	for name, signers := range map[string][]*testrelease.Key{
		"both counted": {leaked, stays}, "one stripped": {leaked}, "the other stripped": {stays},
	} {
		seen := release.Seen{}.Accept(sign(50, before.Version, signers...))
		seen.Threshold = 1
		after, _ := seen.Under(now)
		for _, by := range [][]*testrelease.Key{{stays}, {leaked, stays}} {
			if err := sign(49, before.Version, by...).Follows(after); !errors.Is(err, release.ErrRollback) {
				t.Errorf("%s: an older document is taken: %v", name, err)
			}
		}
		if err := sign(51, now.Version, stays).Follows(after); err != nil {
			t.Errorf("%s: the publisher's next document: %v", name, err)
		}
	}

	// The floor outlives the next document, and the next replacement.
	seen := release.Seen{Sequence: 50, Threshold: 1, Signers: []verify.Digest{leaked.Key().Fingerprint()}}
	seen, _ = seen.Under(now)
	seen = seen.Accept(sign(1, now.Version, fresh))
	if err := sign(49, before.Version, stays).Follows(seen); seen.Trust != 2 || !errors.Is(err, release.ErrRollback) {
		t.Errorf("after an honest document the floor is %d: %v", seen.Trust, err)
	}
	if seen, _ = seen.Under(&verify.Trust{Version: 3, Channel: keys(stays)}); seen.Trust != 3 {
		t.Errorf("after another replacement the floor is %d", seen.Trust)
	}
}

// R02: a channel that names a trust document which is withheld is not taken under the one before, whose keys may be
// stolen.
func TestR02WithheldTrust(t *testing.T) {
	repo := testrelease.New(t)
	repo.Resign(func(c *release.Channel) { c.Trust = 3 })
	c := stable(t, repo, repo.Keys())
	for version, want := range map[int]error{0: release.ErrTrust, 2: release.ErrTrust, 3: nil, 4: nil} {
		if err := c.Current(&verify.Trust{Version: version}); !errors.Is(err, want) {
			t.Errorf("trust %d: %v, want %v", version, err, want)
		}
	}
}

// One publisher key in two programs: what it signs for the one is nothing to the other, from the trust document on.
func TestA31OneKeyInTwoApps(t *testing.T) {
	repo := testrelease.New(t)
	repo.App = "other"
	file := repo.Trust(verify.TrustDraft{Version: 1}, repo.ReleaseKeys...)
	e := repo.Publish("9.0.0", []byte("other"))
	bare, err := verify.ParseTrust(repo.Key())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bare.Next(file, "hello"); !errors.Is(err, release.ErrApp) {
		t.Errorf("trust: %v", err)
	}
	if _, err := release.OpenChannel(repo.Get("stable"), bare.Channel, "hello", "stable"); !errors.Is(err, release.ErrApp) {
		t.Errorf("channel: %v", err)
	}
	if _, err := release.OpenManifest(repo.Get("releases/9.0.0.manifest"), bare.Release, "hello", e); !errors.Is(err, release.ErrApp) {
		t.Errorf("manifest: %v", err)
	}
}
