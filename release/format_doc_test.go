package release_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

const formatDoc = "../doc/release-format.md"

// The file of the worked example, as it is and as a zstd frame that any encoder could have made: one raw block.
var (
	exampleFile = []byte("#!/bin/sh\necho hello 1.5.0\n")
	exampleZstd = append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, byte(len(exampleFile)), byte(len(exampleFile)<<3 | 1), 0, 0}, exampleFile...)
)

// examples makes every example of doc/release-format.md, by name.
func examples(t *testing.T) map[string]string {
	key, next := testrelease.NewKey(t, "publisher"), testrelease.NewKey(t, "second")
	file, stored := verify.IDOf(exampleFile), verify.IDOf(exampleZstd)
	manifest, err := release.SignManifest(&release.Manifest{
		App: "hello", Version: version("1.5.0"), Date: day, Notes: "Says hello faster.", Minimum: version("1.4.0"),
		Artifacts: []release.Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, File: file, Downloads: []release.Download{
			{Stored: file}, {Encoding: release.Zstd, Stored: stored},
		}}},
	}, key, next)
	if err != nil {
		t.Fatal(err)
	}
	repo := testrelease.New(t)
	channel := signChannel(t, &release.Channel{
		App: "hello", Name: "stable", Sequence: 42, Issued: day, Expires: day.Add(30 * 24 * time.Hour), Trust: 1,
		Entries: []release.Entry{{
			Version: version("1.5.0"), Manifest: repo.TextID(manifest), Critical: version("1.4.2"),
			Rollout: release.Rollout{{At: day, BasisPoints: 500}, {At: day.Add(72 * time.Hour), BasisPoints: 10000}},
		}},
	})
	repo.Now, repo.Expires = day, 365*24*time.Hour
	trust := repo.Trust(verify.TrustDraft{Version: 1, Release: testrelease.Role(2, key, next)}, key)
	return map[string]string{
		"public key": key.Key().File(), "second public key": next.Key().File(), "secret key": string(key.File()),
		"file": string(exampleFile), "zstd": hex.EncodeToString(exampleZstd) + "\n",
		"trust/1": string(trust), "releases/1.5.0.manifest": string(manifest), "stable": string(channel),
		"paths":  release.FilePath(file.SHA256, "") + "\n" + release.FilePath(stored.SHA256, release.Zstd) + "\n",
		"shares": shares(), "buckets": buckets(),
	}
}

func shares() string {
	r := release.Rollout{{At: day, BasisPoints: 500}, {At: day.Add(72 * time.Hour), BasisPoints: 10000}}
	s := ""
	for _, at := range []time.Duration{-time.Second, 0, time.Second, time.Hour, 36 * time.Hour, 72*time.Hour - time.Second, 72 * time.Hour, 1000 * time.Hour} {
		now := day.Add(at)
		s += fmt.Sprintf("%s  %7d\n", now.Format(time.RFC3339), r.Share(now))
	}
	return s
}

func buckets() string {
	s := ""
	for _, c := range [][3]string{
		{"hello", "1.5.0", "00000000000000000000000000000000"}, {"hello", "1.6.0", "00000000000000000000000000000000"},
		{"hello", "1.5.0", "0123456789abcdef0123456789abcdef"}, {"other", "1.5.0", "0123456789abcdef0123456789abcdef"},
		{"hello", "2.0.0-rc.1", "0123456789abcdef0123456789abcdef"},
	} {
		s += fmt.Sprintf("%s  %-10s  %s  %6d\n", c[0], c[1], c[2], release.Bucket(c[0], version(c[1]), c[2]))
	}
	return s
}

var exampleBlock = regexp.MustCompile("(?s)<!-- example: ([^>]*) -->\n```[a-z]*\n(.*?)```\n")

// Every example of the specification is what the code makes, and every one that the code makes is there.
func TestFormatDocIsTrue(t *testing.T) {
	doc, err := os.ReadFile(formatDoc)
	if err != nil {
		t.Fatal(err)
	}
	want := examples(t)
	seen := map[string]bool{}
	updated := exampleBlock.ReplaceAllFunc(doc, func(block []byte) []byte {
		m := exampleBlock.FindSubmatch(block)
		name := string(m[1])
		seen[name] = true
		text, ok := want[name]
		if !ok {
			t.Errorf("the document has an example %q that is made by nobody", name)
			return block
		}
		if string(m[2]) != text && !*update {
			t.Errorf("example %q is not what the code makes (go test ./release -run FormatDoc -update):\n%s", name, text)
		}
		return slices.Concat(block[:len(block)-len(m[2])-len("```\n")], []byte(text), []byte("```\n"))
	})
	for name := range want {
		if !seen[name] {
			t.Errorf("example %q is not in the document", name)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(formatDoc, updated, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The worked example can be walked from the key to the bytes.
func TestFormatDocExampleHolds(t *testing.T) {
	e := examples(t)
	bare, err := verify.ParseTrust(e["public key"])
	if err != nil {
		t.Fatal(err)
	}
	trust, err := bare.Next([]byte(e["trust/1"]), "hello")
	if err != nil {
		t.Fatal(err)
	}
	c, err := release.OpenChannel([]byte(e["stable"]), trust.Channel, "hello", "stable")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Fresh(release.Clock{Wall: day}); err != nil {
		t.Fatal(err)
	}
	m, err := release.OpenManifest([]byte(e["releases/1.5.0.manifest"]), trust.Release, "hello", c.Entries[0])
	if err != nil {
		t.Fatal(err)
	}
	d := m.Artifacts[0].Downloads[1]
	if d.Stored != verify.IDOf(exampleZstd) || !strings.Contains(e["paths"], d.Path()) {
		t.Errorf("%+v", d)
	}
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.DecodeAll(exampleZstd, nil); err != nil || verify.IDOf(b) != m.Artifacts[0].File {
		t.Errorf("%q, %v", b, err)
	}
}
