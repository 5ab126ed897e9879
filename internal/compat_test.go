package internal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Each folder of testdata/compat was made by the programs of one commit (testdata/compat/make.sh), and is read here for ever
// after: clients and publishers in the field have such repositories, bundles and states. A folder is added when a release of
// Theseus is tagged and when a format is about to change; none is ever made anew, and no line of these tests is softened for
// one.
func compatFolders(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join("..", "testdata", "compat", "*", "theseus.pub"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no folders (%v)", err)
	}
	for i, f := range folders {
		folders[i] = filepath.Dir(f)
	}
	return folders
}

// aClient follows a channel of the repository or bundle at path by the key that the program was built with.
func aClient(t *testing.T, folder, path, channel string) (c *catalog.Client, source *fetch.Client) {
	t.Helper()
	root, err := verify.ParseTrust(read(t, filepath.Join(folder, "theseus.pub")))
	if err != nil {
		t.Fatal(err)
	}
	base, err := fetch.Base(filepath.Join(folder, path))
	if err != nil {
		t.Fatal(err)
	}
	return &catalog.Client{App: "hello", Channel: channel, Root: root}, &fetch.Client{Sources: []string{base}}
}

// madeAt is the date of the channel, by which these tests judge freshness.
func madeAt(t *testing.T, c *catalog.Client, source *fetch.Client) time.Time {
	t.Helper()
	docs := catalog.Documents{Source: source, App: c.App, Trust: c.Root}
	if _, err := docs.Walk(t.Context()); err != nil {
		t.Fatal(err)
	}
	opened, _, err := docs.Channel(t.Context(), c.Channel, nil)
	if err != nil {
		t.Fatal(err)
	}
	return opened.Issued
}

func TestCompatRepositories(t *testing.T) {
	for _, folder := range compatFolders(t) {
		for path, trust := range map[string]int{"repo": 2, "hello.bundle": 2, "bare.bundle": 0} {
			t.Run(filepath.Base(folder)+"/"+path, func(t *testing.T) {
				c, source := aClient(t, folder, path, "stable")
				v, err := c.Look(t.Context(), source, catalog.Memory{}, madeAt(t, c, source))
				if err != nil {
					t.Fatal(err)
				}
				if v.Trust.Version != trust || len(v.Channel.Entries) != 4 {
					t.Fatalf("trust %d, %d entries", v.Trust.Version, len(v.Channel.Entries))
				}
				for _, row := range []struct{ from, to string }{
					{"1.0.0", "1.1.0"}, // a floor
					{"1.1.0", "1.3.0"}, // in a rollout, asked for by a person
					{"1.2.0", "1.3.0"}, // withdrawn, and a newer one is there
					{"1.3.0", ""},
				} {
					offer, _, err := v.Select(t.Context(), release.Client{
						Platform: release.Platform{OS: "linux", Arch: "amd64"}, Installed: semver.MustParse(row.from), Manual: true,
					})
					if err != nil {
						t.Fatal(err)
					}
					if got := offered(offer); got != row.to {
						t.Errorf("from %s: %q, want %q", row.from, got, row.to)
					}
					if row.from == "1.1.0" {
						install(t, source, offer)
					}
				}
				offer, _, err := v.Select(t.Context(), release.Client{
					Platform: release.Platform{OS: "linux", Arch: "amd64"}, Installed: semver.MustParse("1.2.0"), Failed: map[string]string{"1.3.0": "died"},
				})
				if err != nil || offered(offer) != "1.1.0" || !offer.Downgrade {
					t.Errorf("the way back: %q, %v", offered(offer), err)
				}
			})
		}
		t.Run(filepath.Base(folder)+"/a paused pre-release", func(t *testing.T) {
			c, source := aClient(t, folder, "repo", "beta")
			v, err := c.Look(t.Context(), source, catalog.Memory{}, madeAt(t, c, source))
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = v.Select(t.Context(), release.Client{Platform: release.Platform{OS: "linux", Arch: "arm64"}, Installed: semver.MustParse("1.0.0")})
			if n, ok := errors.AsType[*release.Nothing](err); !ok || n.Rule != "paused" || !strings.Contains(n.Reason, "größer, langsamer") {
				t.Error(err)
			}
		})
		t.Run(filepath.Base(folder)+"/under the bare key", func(t *testing.T) {
			root, err := verify.ParseTrust(read(t, filepath.Join(folder, "theseus.pub")))
			if err != nil {
				t.Fatal(err)
			}
			opened, err := release.OpenChannel([]byte(read(t, filepath.Join(folder, "stable-under-the-bare-key"))), root.Channel, "hello", "stable")
			if err != nil || opened.Trust != 0 || opened.Entry(semver.MustParse("1.2.0")).Yanked.Action != "back" {
				t.Errorf("%+v, %v", opened, err)
			}
		})
	}
}

func offered(o *release.Offer) string {
	if o == nil {
		return ""
	}
	return o.Entry.Version.String()
}

// install downloads what is offered, and compares it with what the release was made of.
func install(t *testing.T, source *fetch.Client, o *release.Offer) {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	stored, file := open("stored"), open("file")
	d := o.Artifact.Downloads[len(o.Artifact.Downloads)-1]
	if _, err := source.File(t.Context(), d.Path(), d.Stored, stored, nil); err != nil {
		t.Fatal(err)
	}
	if d.Encoding == release.Zstd {
		if err := fetch.Unpack(t.Context(), file, stored, o.Artifact.File); err != nil {
			t.Fatal(err)
		}
		stored = file
	}
	if b, err := os.ReadFile(stored.Name()); err != nil || !bytes.HasPrefix(b, []byte("#!/bin/sh\necho "+offered(o)+"\n")) {
		t.Errorf("%.40q, %v", b, err)
	}
}

// remembered is what each state in machine/ says, by the name of its folder.
var remembered = map[string]struct {
	installed, previous string // versions, "" for none
	proved              bool
	failed              string // a version
	step                string // of a journal
	trust               int
}{
	"checked":           {},
	"installed":         {installed: "1.1.0", previous: "1.0.0"},
	"proved":            {installed: "1.1.0", previous: "1.0.0", proved: true},
	"two-kept-versions": {installed: "1.2.0", previous: "1.1.0", proved: true},
	"rolled-back":       {installed: "1.1.0", proved: true, failed: "1.2.0"},
	"failed":            {installed: "1.2.0", previous: "1.1.0", proved: true, failed: "1.3.0"},
	"keys-replaced":     {installed: "1.2.0", previous: "1.1.0", proved: true, trust: 1},
	"interrupted-swap":  {installed: "1.1.0", previous: "1.0.0", proved: true, step: state.Swap},
	"interrupted-rollback": {
		installed: "1.2.0", previous: "1.1.0", proved: true, step: state.Rollback,
	},
	"interrupted-undo": {installed: "1.1.0", previous: "1.0.0", step: state.Undo},
}

func TestCompatStates(t *testing.T) {
	for _, folder := range compatFolders(t) {
		machines, err := filepath.Glob(filepath.Join(folder, "machine", "*"))
		if err != nil || len(machines) < len(remembered) {
			t.Fatalf("%s: %d states, %v", folder, len(machines), err)
		}
		seen := map[string]bool{}
		for _, machine := range machines {
			t.Run(filepath.Base(folder)+"/"+filepath.Base(machine), func(t *testing.T) {
				name := filepath.Base(machine)
				for _, call := range []string{"-linkat", "-renameat"} { // where it was interrupted
					name = strings.TrimSuffix(name, call)
				}
				want, ok := remembered[name]
				if !ok {
					t.Fatal("nobody says what this one remembers")
				}
				seen[name] = true
				home := t.TempDir()
				if err := os.WriteFile(filepath.Join(home, "state"), []byte(read(t, filepath.Join(machine, "state"))), 0o644); err != nil {
					t.Fatal(err)
				}
				s, err := state.Load(home)
				if err != nil {
					t.Fatal(err)
				}
				version := func(f *state.File) string {
					if f == nil {
						return ""
					}
					return f.Version
				}
				if version(s.Installed) != want.installed || version(s.Previous) != want.previous || s.Installed != nil && s.Installed.Proved != want.proved {
					t.Errorf("installed %+v, previous %+v", s.Installed, s.Previous)
				}
				if _, failed := s.Failed[want.failed]; failed != (want.failed != "") || want.failed == "" && len(s.Failed) > 0 {
					t.Errorf("failed: %v", s.Failed)
				}
				if s.Trust == nil && want.trust != 0 || s.Trust != nil && s.Trust.Version != want.trust {
					t.Errorf("trust %+v", s.Trust)
				}
				if c := s.Channels["stable"]; c == nil || c.Sequence < 1 || c.ID.Size == 0 || c.Threshold != 1 || len(c.Signers) != 1 || c.File == "" || s.Floor.IsZero() || c.Served.IsZero() {
					t.Errorf("the channel's floor is lost: %+v", c)
				} else if _, _, err := verify.Split([]byte(c.File)); err != nil {
					t.Errorf("the channel's text: %v", err)
				}
				settles(t, s, want.step)
				sameAfterASave(t, home, s)
			})
		}
		for name := range remembered {
			if !seen[name] {
				t.Errorf("%s has no state %s", folder, name)
			}
		}
	}
}

// settles judges the journal by each file that can be at the path.
func settles(t *testing.T, s *state.State, step string) {
	t.Helper()
	if s.Journal == nil {
		if step != "" {
			t.Error("the journal is lost")
		}
		return
	}
	j := *s.Journal
	if j.Step != step || j.From.ID == j.To.ID || j.Started.IsZero() {
		t.Fatalf("journal %+v, want %s", j, step)
	}
	before := state.Abandoned
	if step != state.Swap {
		before = state.Finished
	}
	for at, want := range map[content.ID]state.Outcome{j.To.ID: state.Finished, j.From.ID: before, {Size: 1}: state.Foreign} {
		if got := state.Settle(j, at, j.Kept().ID); got.Outcome != want {
			t.Errorf("%v at the path: %v, want %v", at, got.Outcome, want)
		}
	}
}

// sameAfterASave reads what this version writes of an old state.
func sameAfterASave(t *testing.T, home string, s *state.State) {
	t.Helper()
	lock, err := state.TryLock(home)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if err := lock.Save(s); err != nil {
		t.Fatal(err)
	}
	again, err := state.Load(home)
	if err != nil {
		t.Fatal(err)
	}
	if again.Installation != s.Installation || !again.Floor.Equal(s.Floor) || !slices.Equal(again.Keep(), s.Keep()) || again.Channels["stable"].ID != s.Channels["stable"].ID {
		t.Errorf("%+v became %+v", s, again)
	}
}
