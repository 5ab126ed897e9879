package release_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// The vectors of channel documents and manifests are the rows of attack_test.go as files, for other implementations.
// Their layout is that of the vectors of package verify; doc/release-format.md says what the headers mean.
var update = flag.Bool("update", false, "write the vectors and the examples of doc/release-format.md anew")

const vectorFolder = "../testdata/vectors"

var expectations = map[string]error{
	"ok": nil, "malformed": release.ErrMalformed, "ambiguous": release.ErrAmbiguous, "type": verify.ErrType,
	"app": release.ErrApp, "channel": release.ErrChannel, "version": release.ErrVersion, "id": release.ErrID,
}

// expectation is the most particular word for an error.
func expectation(err error) string {
	for _, word := range []string{"ambiguous", "malformed", "type", "app", "channel", "version", "id"} {
		if errors.Is(err, expectations[word]) {
			return word
		}
	}
	return "ok"
}

type vector struct {
	headers []string // "name: value"
	body    []byte
}

func (v vector) get(name string) string {
	for _, h := range v.headers {
		if value, ok := strings.CutPrefix(h, name+": "); ok {
			return value
		}
	}
	return ""
}

func (v vector) encode() []byte {
	return append([]byte(strings.Join(v.headers, "\n")+"\n\n"), v.body...)
}

// readVectors reads all vectors of a kind; a corpus that loads nothing proves nothing.
func readVectors(tb testing.TB, kind string) map[string]vector {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(vectorFolder, kind, "*"))
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]vector{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			tb.Fatal(err)
		}
		head, body, ok := bytes.Cut(b, []byte("\n\n"))
		if !ok {
			tb.Fatalf("%s has no empty line between header and body", p)
		}
		all[filepath.Base(p)] = vector{strings.Split(string(head), "\n"), body}
	}
	if len(all) < 30 {
		tb.Fatalf("%d vectors of kind %s, expected at least 30", len(all), kind)
	}
	return all
}

func (v vector) keys(tb testing.TB) verify.Keys {
	tb.Helper()
	key, err := verify.ParseKey(v.get("key"))
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := verify.NewKeys(1, key)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func (v vector) open(tb testing.TB, kind string) (id verify.ID, err error) {
	tb.Helper()
	if kind == "channel" {
		c, err := release.OpenChannel(v.body, v.keys(tb), v.get("app"), v.get("channel"))
		if err != nil {
			return id, err
		}
		return c.ID, nil
	}
	named := verify.ID{}
	if named.Size, err = strconv.ParseInt(v.get("size"), 10, 64); err != nil {
		tb.Fatal(err)
	}
	if err := named.SHA256.UnmarshalText([]byte(v.get("sha256"))); err != nil {
		tb.Fatal(err)
	}
	m, err := release.OpenManifest(v.body, v.keys(tb), v.get("app"), release.Entry{Version: version(v.get("version")), Manifest: named})
	if err != nil {
		return id, err
	}
	return m.ID, nil
}

func TestVectors(t *testing.T) {
	for _, kind := range []string{"channel", "manifest"} {
		for name, v := range readVectors(t, kind) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				want, known := expectations[v.get("expect")]
				if !known {
					t.Fatalf("unknown expectation %q", v.get("expect"))
				}
				id, err := v.open(t, kind)
				if !errors.Is(err, want) || expectation(err) != v.get("expect") {
					t.Fatalf("%v, want %s", err, v.get("expect"))
				}
				if err == nil && (strconv.FormatInt(id.Size, 10) != v.get("size") || id.SHA256.String() != v.get("sha256")) {
					t.Errorf("identity %v", id)
				}
			})
		}
	}
}

// The files are exactly what the rows make, so a row cannot be changed without its vector, and none is left over.
func TestVectorsAreMadeHere(t *testing.T) {
	repo := testrelease.New(t)
	made := map[string]vector{}
	add := func(kind, name, expect, text string, id verify.ID, headers ...string) {
		v := vector{body: repo.SignText(text, repo.ReleaseKeys[0])}
		v.headers = append([]string{"expect: " + expect, "key: " + repo.Key(), "threshold: 1", "app: hello"}, headers...)
		v.headers = append(v.headers, fmt.Sprintf("size: %d", id.Size), "sha256: "+id.SHA256.String())
		path := filepath.Join(kind, strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-"))
		if _, taken := made[path]; taken {
			t.Errorf("two rows are called %s", path)
		}
		made[path] = v
	}
	text := repo.Text(signChannel(t, fullChannel()))
	rows := append([]change{{"every member", "\n}\n", "\n}\n", nil}}, channelChanges...)
	for _, c := range rows {
		text := c.apply(t, text)
		add("channel", c.name, expectation(c.want), text, verify.IDOf([]byte(text)), "channel: stable")
	}
	text = repo.Text(signManifest(t, fullManifest()))
	rows = append(rows[:1:1], manifestChanges...)
	for _, c := range rows {
		text := c.apply(t, text)
		add("manifest", c.name, expectation(c.want), text, verify.IDOf([]byte(text)), "version: 1.5.0")
	}
	add("manifest", "A12 another text than the channel names", "id", text, verify.IDOf([]byte("another")), "version: 1.5.0")

	for path, v := range made {
		name := filepath.Join(vectorFolder, path)
		if *update {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, v.encode(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, v.encode()) {
			t.Errorf("%s is not what is made here (%v): go test ./release -run VectorsAre -update", path, err)
		}
	}
	for _, kind := range []string{"channel", "manifest"} {
		for name := range readVectors(t, kind) {
			if _, ok := made[filepath.Join(kind, name)]; !ok {
				t.Errorf("%s/%s is made by nobody: delete it", kind, name)
			}
		}
	}
}
