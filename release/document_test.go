package release_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

var day = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func version(s string) *semver.Version {
	v, err := release.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

func digest(b byte) verify.Digest { return verify.Digest(bytes.Repeat([]byte{b}, 32)) }

// fullChannel uses every member of the format.
func fullChannel() *release.Channel {
	return &release.Channel{
		App: "hello", Name: "stable", Sequence: 42, Trust: 3, Issued: day, Expires: day.Add(30 * 24 * time.Hour),
		Includes: []string{"lts", "hotfix"}, Retired: &release.Retired{Reason: "nobody needs it", To: "lts"},
		Entries: []release.Entry{
			{
				Version: version("1.6.0-rc.1"), Manifest: verify.ID{Size: 901, SHA256: digest(1)}, Requires: []string{"rollout"}, Critical: version("1.4.2"),
				Rollout: release.Rollout{{At: day, BasisPoints: 100}, {At: day.Add(72 * time.Hour), BasisPoints: 10000}},
			},
			{
				Version: version("1.5.0"), Manifest: verify.ID{Size: 902, SHA256: digest(2)}, Requires: []string{"yanked"},
				Yanked: &release.Yank{Reason: "settings are lost", Action: "back", To: version("1.4.2")},
			},
			{Version: version("1.4.3"), Manifest: verify.ID{Size: 903, SHA256: digest(3)}, Requires: []string{"paused"}, Paused: "login is slow"},
			{Version: version("1.4.2"), Manifest: verify.ID{Size: 904, SHA256: digest(4)}, Requires: []string{"floor"}, Floor: true, Return: true},
		},
	}
}

// fullManifest uses every member of the format.
func fullManifest() *release.Manifest {
	from := digest(9)
	file := verify.ID{Size: 1000, SHA256: digest(5)}
	return &release.Manifest{
		App: "hello", Version: version("1.5.0"), Date: day, Notes: "Fünf\n\tis better than four.", Minimum: version("1.4.2"), Requires: []string{"minimum"},
		Artifacts: []release.Artifact{
			{Platform: release.Platform{OS: "linux", Arch: "amd64"}, File: file, Downloads: []release.Download{
				{Stored: file},
				{Encoding: release.Zstd, Stored: verify.ID{Size: 400, SHA256: digest(6)}},
				{Encoding: release.Delta, From: &from, Stored: verify.ID{Size: 30, SHA256: digest(7)}},
			}},
			{Platform: release.Platform{OS: "linux", Arch: "amd64", Variant: "v3"}, File: file, Downloads: []release.Download{{Encoding: release.Zstd, Stored: verify.ID{Size: 401, SHA256: digest(8)}}}},
		},
		Attachments: []release.Attachment{
			{Name: "SHA256SUMS", File: verify.ID{Size: 78, SHA256: digest(11)}},
			{Name: "hello.spdx.json", Type: "application/spdx+json", File: verify.ID{Size: 77, SHA256: digest(10)}},
		},
	}
}

func signChannel(t *testing.T, c *release.Channel) []byte {
	t.Helper()
	b, err := release.SignChannel(c, testrelease.NewKey(t, "publisher"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func signManifest(t *testing.T, m *release.Manifest) []byte {
	t.Helper()
	b, err := release.SignManifest(m, testrelease.NewKey(t, "publisher"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// entryOf is the entry of a channel that offers this file as a manifest.
func entryOf(t *testing.T, v string, file []byte) release.Entry {
	return release.Entry{Version: version(v), Manifest: testrelease.New(t).TextID(file)}
}

func TestChannelComesBackAsItWasSigned(t *testing.T) {
	keys := testrelease.New(t).Keys()
	for name, want := range map[string]*release.Channel{
		"full":  fullChannel(),
		"empty": {App: "a", Name: "b", Sequence: 1, Issued: day, Expires: day.Add(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			file := signChannel(t, want)
			got, err := release.OpenChannel(file, keys, want.App, want.Name)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != testrelease.New(t).TextID(file) || got.Threshold != 1 || !slices.Equal(got.Signers, keys.All()) {
				t.Errorf("%v signed by %v of %d", got.ID, got.Signers, got.Threshold)
			}
			again := signChannel(t, got)
			got.ID, got.Signers, got.Threshold = verify.ID{}, nil, 0
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if !bytes.Equal(file, again) {
				t.Errorf("signed again, it is\n%s", again)
			}
		})
	}
}

func TestManifestComesBackAsItWasSigned(t *testing.T) {
	keys := testrelease.New(t).Keys()
	small := &release.Manifest{App: "a", Version: version("0.0.1"), Date: day, Artifacts: fullManifest().Artifacts[1:]}
	for name, want := range map[string]*release.Manifest{"full": fullManifest(), "small": small} {
		t.Run(name, func(t *testing.T) {
			file := signManifest(t, want)
			e := entryOf(t, want.Version.String(), file)
			got, err := release.OpenManifest(file, keys, want.App, e)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != e.Manifest {
				t.Error(got.ID)
			}
			again := signManifest(t, got)
			got.ID = verify.ID{}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if !bytes.Equal(file, again) {
				t.Errorf("signed again, it is\n%s", again)
			}
		})
	}
}

// The order in which a publisher lists things, and fractions of seconds and time zones, leave no trace; what is
// required is listed without asking; and what is signed is not changed.
func TestSignWritesOneForm(t *testing.T) {
	c, m := fullChannel(), fullManifest()
	slices.Reverse(c.Entries)
	for i := range c.Entries {
		c.Entries[i].Requires = nil
	}
	c.Entries[0].Requires = []string{"yanked", "rollout"} // left over from before an edit
	c.Issued = c.Issued.Add(999 * time.Millisecond).In(time.FixedZone("there", 3600))
	slices.Reverse(m.Artifacts)
	slices.Reverse(m.Artifacts[1].Downloads)
	m.Requires = nil
	first := c.Entries[0].Version
	if !bytes.Equal(signChannel(t, c), signChannel(t, fullChannel())) {
		t.Error("two forms of one channel")
	}
	if !bytes.Equal(signManifest(t, m), signManifest(t, fullManifest())) {
		t.Error("two forms of one manifest")
	}
	if c.Entries[0].Version != first || c.Entries[1].Requires != nil || m.Requires != nil || m.Artifacts[0].Variant != "v3" {
		t.Error("signing changed its argument")
	}
}

// What a newer tool listed as required, this one has dropped while reading: it must not sign without it.
func TestSignRefusesWhatItWouldLose(t *testing.T) {
	c, m, d := fullChannel(), fullManifest(), fullManifest()
	c.Entries[3].Requires = []string{"floor", "moon-phase"}
	m.Requires = []string{"moon-phase"}
	d.Artifacts[0].Downloads[1].Requires = []string{"moon-phase"}
	key := testrelease.NewKey(t, "publisher")
	_, err := release.SignChannel(c, key)
	_, err2 := release.SignManifest(m, key)
	_, err3 := release.SignManifest(d, key)
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, release.ErrMalformed) || !strings.Contains(err.Error(), "moon-phase") {
			t.Error(err)
		}
	}
}

// The two sides agree on what a document is: each of these is refused by Sign, and by Open if somebody signs it all the
// same.
func TestSignRefusesWhatOpenWould(t *testing.T) {
	key := testrelease.NewKey(t, "publisher")
	for name, edit := range map[string]func(*release.Channel){
		"app":                  func(c *release.Channel) { c.App = "../x" },
		"channel":              func(c *release.Channel) { c.Name = "trust" },
		"sequence 0":           func(c *release.Channel) { c.Sequence = 0 },
		"sequence 2^53":        func(c *release.Channel) { c.Sequence = 1 << 53 },
		"trust":                func(c *release.Channel) { c.Trust = -1 },
		"no dates":             func(c *release.Channel) { c.Issued, c.Expires = time.Time{}, time.Time{} },
		"expires within 1 s":   func(c *release.Channel) { c.Expires = c.Issued.Add(999 * time.Millisecond) },
		"year 10000":           func(c *release.Channel) { c.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no version":           func(c *release.Channel) { c.Entries[0].Version = nil },
		"build metadata":       func(c *release.Channel) { c.Entries[0].Version = semver.MustParse("1.6.0+a") },
		"same version":         func(c *release.Channel) { c.Entries[0].Version = version("1.5.0") },
		"version but for case": func(c *release.Channel) { c.Entries[1].Version = version("1.6.0-RC.1") },
		"manifest empty":       func(c *release.Channel) { c.Entries[0].Manifest.Size = 0 },
		"manifest large":       func(c *release.Channel) { c.Entries[0].Manifest.Size = 1<<20 + 1 },
		"rollout":              func(c *release.Channel) { c.Entries[0].Rollout[0].BasisPoints = 10001 },
		"critical above": func(c *release.Channel) {
			c.Entries[1].Yanked = nil // which would not go back below it
			c.Entries[0].Critical = version("1.6.0")
		},
		"paused, two lines":    func(c *release.Channel) { c.Entries[2].Paused = "a\nb" },
		"paused, escape":       func(c *release.Channel) { c.Entries[2].Paused = "a\x1b[31m" },
		"paused, long":         func(c *release.Channel) { c.Entries[2].Paused = strings.Repeat("a", 513) },
		"yank without reason":  func(c *release.Channel) { c.Entries[1].Yanked.Reason = "" },
		"yank action":          func(c *release.Channel) { c.Entries[1].Yanked.Action = "sideways" },
		"yank stay to":         func(c *release.Channel) { c.Entries[1].Yanked.Action = "stay" },
		"yank back to nothing": func(c *release.Channel) { c.Entries[1].Yanked.To = nil },
		"yank back up":         func(c *release.Channel) { c.Entries[1].Yanked.To = version("1.6.0-rc.1") },
		"yank back unlisted":   func(c *release.Channel) { c.Entries[1].Yanked.To = version("1.4.1") },
		"yank back yanked": func(c *release.Channel) {
			c.Entries[3].Yanked = &release.Yank{Reason: "too", Action: "stay"}
		},
		"yank back into a hole": func(c *release.Channel) { c.Entries[0].Critical = version("1.4.3") },
		"1001 releases": func(c *release.Channel) {
			c.Entries = nil
			for i := range 1001 {
				c.Entries = append(c.Entries, release.Entry{Version: version(fmt.Sprintf("1.0.%d", i)), Manifest: verify.ID{Size: 1}})
			}
		},
		"text": func(c *release.Channel) { c.Entries[2].Paused = "\xff" },
	} {
		c := fullChannel()
		edit(c)
		if b, err := release.SignChannel(c, key); !errors.Is(err, release.ErrMalformed) {
			t.Errorf("channel: %s: %v\n%s", name, err, b)
		}
	}
	for name, edit := range map[string]func(*release.Manifest){
		"app":               func(m *release.Manifest) { m.App = "NUL" },
		"no version":        func(m *release.Manifest) { m.Version = nil },
		"version":           func(m *release.Manifest) { m.Version = semver.MustParse("1.5.0+a") },
		"minimum not below": func(m *release.Manifest) { m.Minimum = m.Version },
		"minimum":           func(m *release.Manifest) { m.Minimum = semver.MustParse("1.4.2+a") },
		"notes, escape":     func(m *release.Manifest) { m.Notes = "\x1b]0;title\x07" },
		"notes, C1":         func(m *release.Manifest) { m.Notes = "\u009b31m" },
		"notes, long":       func(m *release.Manifest) { m.Notes = strings.Repeat("a", 64<<10+1) },
		"no artifacts":      func(m *release.Manifest) { m.Artifacts = nil },
		"257 artifacts": func(m *release.Manifest) {
			a := m.Artifacts[1]
			for i := range 255 {
				a.Variant = fmt.Sprint(i)
				m.Artifacts = append(m.Artifacts, a)
			}
		},
		"same platform":       func(m *release.Manifest) { m.Artifacts[1].Variant = "" },
		"no OS":               func(m *release.Manifest) { m.Artifacts[1].OS = "" },
		"architecture":        func(m *release.Manifest) { m.Artifacts[1].Arch = "../x" },
		"variant":             func(m *release.Manifest) { m.Artifacts[1].Variant = "V3" },
		"empty file":          func(m *release.Manifest) { m.Artifacts[1].File.Size = 0 },
		"negative file":       func(m *release.Manifest) { m.Artifacts[1].File.Size = -1 },
		"8 GiB and a byte":    func(m *release.Manifest) { m.Artifacts[1].File.Size = release.MaxFile + 1 },
		"no downloads":        func(m *release.Manifest) { m.Artifacts[1].Downloads = nil },
		"65 downloads":        func(m *release.Manifest) { m.Artifacts[1].Downloads = make([]release.Download, 65) },
		"empty download":      func(m *release.Manifest) { m.Artifacts[1].Downloads[0].Stored.Size = 0 },
		"two of one kind":     func(m *release.Manifest) { m.Artifacts[0].Downloads[2] = m.Artifacts[0].Downloads[1] },
		"not the file itself": func(m *release.Manifest) { m.Artifacts[0].Downloads[0].Stored.Size++ },
		"delta from nothing":  func(m *release.Manifest) { m.Artifacts[0].Downloads[2].From = nil },
		"delta from itself":   func(m *release.Manifest) { m.Artifacts[0].Downloads[2].From = &m.Artifacts[0].File.SHA256 },
		"whole file from":     func(m *release.Manifest) { m.Artifacts[0].Downloads[1].From = m.Artifacts[0].Downloads[2].From },
		"encoding":            func(m *release.Manifest) { m.Artifacts[0].Downloads[1].Encoding = "zstd/../x" },
	} {
		m := fullManifest()
		edit(m)
		if b, err := release.SignManifest(m, key); !errors.Is(err, release.ErrMalformed) {
			t.Errorf("manifest: %s: %v\n%s", name, err, b)
		}
	}
	if _, err := release.SignChannel(fullChannel()); err == nil {
		t.Error("a channel that nobody signed")
	}
	if _, err := release.SignManifest(fullManifest()); err == nil {
		t.Error("a manifest that nobody signed")
	}
}
