package release_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// The fuzzer plays an attacker who holds a key: whatever text it thinks of is signed before it is opened, so that it
// gets past verify and into the parser. Seeds are the vectors.

func seed(f *testing.F, kind string) {
	n := 0
	for _, v := range readVectors(f, kind) {
		text, _, _ := bytes.Cut(v.body, []byte("\n\n"))
		if len(text) < 8<<10 { // the fuzzer spends minutes on shortening a large one
			f.Add(append(text, '\n'))
			n++
		}
	}
	if n < 30 {
		f.Fatalf("%d seeds of kind %s, expected at least 30", n, kind)
	}
}

func FuzzChannel(f *testing.F) {
	seed(f, "channel")
	key := testrelease.NewKey(f, "publisher")
	keys := testrelease.New(f).Keys()
	f.Fuzz(func(t *testing.T, text []byte) {
		block, err := key.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		file := append(append(bytes.Clone(text), '\n'), block...)
		c, err := release.OpenChannel(file, keys, "hello", "stable")
		if err != nil {
			if c != nil {
				t.Fatal("an error and a channel")
			}
			return
		}
		if c.App != "hello" || c.Name != "stable" || c.Sequence < 1 || c.Sequence > release.MaxSequence || !c.Issued.Before(c.Expires) || c.ID != verify.IDOf(text) {
			t.Fatalf("%+v", c)
		}
		for i, e := range c.Entries {
			if i > 0 && e.Version.GreaterThan(c.Entries[i-1].Version) {
				t.Fatalf("%s after %s", e.Version, c.Entries[i-1].Version)
			}
		}
		// Whatever it is, selection comes to an end, and goes down only to the target of a yank.
		for _, installed := range []string{"0.0.1", "1.4.2", "1.5.0", "0.0.0-dev"} {
			v := version(installed)
			c.LowestAllowed(v)
			offer, _, err := release.Select(c, release.Client{Installed: v, Now: day, Installation: "x"}, func(e release.Entry) (*release.Manifest, error) {
				m := fullManifest()
				m.Version, m.Minimum, m.Requires = e.Version, nil, nil
				m.Artifacts[0].Platform = release.Platform{}
				return m, nil
			})
			if offer == nil || err != nil {
				continue
			}
			if down := offer.Entry.Version.LessThan(v); down != offer.Downgrade || down && !c.Entry(v).Yanked.To.Equal(offer.Entry.Version) {
				t.Fatalf("%s to %s", v, offer.Entry.Version)
			}
		}
		// What was opened can be signed again, and says the same; unless a newer tool wrote something that this one
		// would lose.
		again, err := release.SignChannel(c, key)
		if err != nil {
			for _, e := range c.Entries {
				for _, name := range e.Requires {
					if name != "floor" && name != "paused" && name != "rollout" && name != "yanked" {
						return
					}
				}
			}
			t.Fatal(err)
		}
		d, err := release.OpenChannel(again, keys, "hello", "stable")
		if err != nil {
			t.Fatal(err)
		}
		third, err := release.SignChannel(d, key)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%v\n%s\n%s", err, again, third)
		}
		for i := range c.Entries {
			c.Entries[i].Requires, d.Entries[i].Requires = nil, nil // in the order of the signer
		}
		c.ID, d.ID = verify.ID{}, verify.ID{}
		if !reflect.DeepEqual(c, d) {
			t.Fatalf("%+v\n%+v", c, d)
		}
	})
}

func FuzzManifest(f *testing.F) {
	seed(f, "manifest")
	key := testrelease.NewKey(f, "publisher")
	keys := testrelease.New(f).Keys()
	f.Fuzz(func(t *testing.T, text []byte) {
		block, err := key.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		file := append(append(bytes.Clone(text), '\n'), block...)
		m, err := release.OpenManifest(file, keys, "hello", release.Entry{Version: version("1.5.0"), Manifest: verify.IDOf(text)})
		if err != nil {
			if m != nil {
				t.Fatal("an error and a manifest")
			}
			return
		}
		if m.App != "hello" || m.Version.String() != "1.5.0" || len(m.Artifacts) == 0 || m.ID != verify.IDOf(text) {
			t.Fatalf("%+v", m)
		}
		known := true
		for _, name := range m.Requires {
			known = known && name == "minimum"
		}
		for _, a := range m.Artifacts {
			got, err := m.Artifact(a.Platform)
			if err != nil || got.Platform != a.Platform || len(a.Downloads) == 0 || a.File.Size < 1 || a.File.Size > release.MaxFile {
				t.Fatalf("%+v, %v", a, err)
			}
			known = known && len(a.Requires) == 0
			for _, d := range a.Downloads {
				if d.Stored.Size < 1 || d.Stored.Size > release.MaxFile || len(d.Path()) > len("files/.delta")+64 {
					t.Fatalf("%+v", d)
				}
				known = known && len(d.Requires) == 0
			}
		}
		again, err := release.SignManifest(m, key)
		if err != nil {
			if known {
				t.Fatal(err)
			}
			return
		}
		n, err := release.OpenManifest(again, keys, "hello", release.Entry{Version: m.Version, Manifest: verify.IDOf(again[:bytes.Index(again, []byte("\n\n"))+1])})
		if err != nil {
			t.Fatal(err)
		}
		m.ID, n.ID = verify.ID{}, verify.ID{}
		if len(m.Requires) == 0 {
			m.Requires = n.Requires // an empty list is none
		}
		for i, a := range m.Artifacts {
			if len(a.Requires) == 0 {
				m.Artifacts[i].Requires = nil
			}
			for j, d := range a.Downloads {
				if len(d.Requires) == 0 {
					m.Artifacts[i].Downloads[j].Requires = nil
				}
			}
		}
		if !reflect.DeepEqual(m, n) {
			t.Fatalf("%+v\n%+v", m, n)
		}
	})
}

// The order of versions is a strict order, and what is taken writes itself.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"1.2.3", "1.0.0-rc.1", "1.0.0-18446744073709551616", "01.0.0", "1.0.0+x", "0.0.0-dev", "1.0.0-a-b.0.x"} {
		for _, o := range []string{"1.2.3", "1.0.0-rc.2", "1.0.0-99999999999999999999", ""} {
			f.Add(s, o)
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := release.ParseVersion(a)
		if err != nil {
			return
		}
		if v.String() != a || len(a) > 64 || release.ManifestPath(v) != "releases/"+a+".manifest" {
			t.Fatalf("%q is %q", a, v)
		}
		w, err := release.ParseVersion(b)
		if err != nil {
			return
		}
		if v.Compare(w) != -w.Compare(v) || (v.Compare(w) == 0) != (a == b) {
			t.Fatalf("%q against %q: %d and %d", a, b, v.Compare(w), w.Compare(v))
		}
	})
}
