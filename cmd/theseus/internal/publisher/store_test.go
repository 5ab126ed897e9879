package publisher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A shelf is a store in memory that others can write too.
type shelf struct {
	objects map[string][]byte
	before  func(op, name string) // called before each operation, with nobody else at the shelf
	put     func(name string, b []byte)
	mu      *sync.Mutex // shelves that one attacker writes share it
}

func newShelf() *shelf { return &shelf{objects: map[string][]byte{}, mu: new(sync.Mutex)} }

// look begins an operation, and returns what ends it.
func (s *shelf) look(op, name string) (done func()) {
	s.mu.Lock()
	if s.before != nil {
		killed := true // by a panic, after which the next run finds the shelf as it is
		defer func() {
			if killed {
				s.mu.Unlock()
			}
		}()
		s.before(op, name)
		killed = false
	}
	return s.mu.Unlock
}

func shelfVersion(b []byte) Version { return Version(verify.IDOf(b).SHA256.String()) }

func (s *shelf) Get(_ context.Context, name string) (io.ReadCloser, Version, error) {
	defer s.look("get", name)()
	b, ok := s.objects[name]
	if !ok {
		return nil, Nothing, &fs.PathError{Op: "get", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(b)), shelfVersion(b), nil
}

func (s *shelf) Put(_ context.Context, name string, body io.Reader, size int64, replaces Version) error {
	b, err := io.ReadAll(body)
	if err != nil || int64(len(b)) != size {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	defer s.look("put", name)()
	there, ok := s.objects[name]
	if replaces != Anything && (ok && shelfVersion(there) != replaces || !ok && replaces != Nothing) {
		return ErrChanged
	}
	s.objects[name] = b
	if s.put != nil {
		s.put(name, b)
	}
	return nil
}

func (s *shelf) Delete(_ context.Context, name string) error {
	defer s.look("delete", name)()
	delete(s.objects, name)
	return nil
}

func (s *shelf) List(_ context.Context, folder string) (objects []store.Object, err error) {
	defer s.look("list", folder)()
	for name, b := range s.objects {
		dir, base, ok := strings.Cut(name, "/")
		switch {
		case !ok && folder == "":
			objects = append(objects, store.Object{Name: name, Size: int64(len(b))})
		case ok && dir == folder:
			objects = append(objects, store.Object{Name: base, Size: int64(len(b))})
		}
	}
	slices.SortFunc(objects, func(a, b store.Object) int { return strings.Compare(a.Name, b.Name) })
	return objects, nil
}

func (s *shelf) String() string { return "dl" }
func (s *shelf) Close() error   { return nil }

func (s *shelf) clone() *shelf { return &shelf{objects: maps.Clone(s.objects), mu: new(sync.Mutex)} }

// A keyring has keys by name, so that a key that is named twice is the same.
type keyring map[string]verify.Signer

func (k keyring) signer(t testing.TB, name string) verify.Signer {
	if k[name] == nil {
		_, text, err := verify.GenerateKey(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		private, err := verify.ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		k[name] = private.Signer(time.Unix(1, 0))
	}
	return k[name]
}

func (k keyring) role(t testing.TB, threshold int, names ...string) verify.Role {
	r := verify.Role{Threshold: threshold}
	for _, n := range names {
		r.Keys = append(r.Keys, verify.NamedKey{Key: k.signer(t, n).Key(), Name: n})
	}
	return r
}

// A bench is a publisher's place of work: a repository, what is remembered, and the time.
type bench struct {
	t      testing.TB
	keys   keyring
	shelf  *shelf
	memory *Memory
	root   *verify.Trust
	who    []string // whose keys are here
	now    time.Time
	within time.Duration
	adopt  bool
	files  string // folder of programs
	said   []string
}

// start is 2026-11-28, a day on which people publish.
var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func newBench(t testing.TB) *bench {
	b := &bench{t: t, keys: keyring{}, shelf: newShelf(), memory: NewMemory(), who: []string{"theseus"}, now: start, files: t.TempDir()}
	b.root = b.bare("theseus")
	return b
}

func (b *bench) bare(name string) *verify.Trust {
	root, err := verify.ParseTrust(b.keys.signer(b.t, name).Key().String())
	if err != nil {
		b.t.Fatal(err)
	}
	return root
}

func (b *bench) options() Options {
	o := Options{Store: b.shelf, Root: b.root, App: "hello", Memory: b.memory, Within: b.within, Adopt: b.adopt, Now: b.now,
		Say: func(s string) { b.said = append(b.said, s) }}
	for _, n := range b.who {
		o.Signers = append(o.Signers, b.keys.signer(b.t, n))
	}
	return o
}

// program is a file of this machine.
func (b *bench) program(text string) string {
	path := filepath.Join(b.files, versionText(text))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func versionText(s string) string { return strings.Map(func(r rune) rune { return max(r, '-') }, s) }

func parse(t testing.TB, version string) *release.Entry {
	v, err := release.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	return &release.Entry{Version: v}
}

// publish publishes a version that is one small file; without a file if text is empty.
func (b *bench) publish(channel, version, text string) error {
	r := &Release{Version: parse(b.t, version).Version, Channel: channel, Keep: 20, Quiet: true, Allow: Checks}
	if text != "" {
		r.Artifacts = []Artifact{{Platform: release.Platform{OS: "linux", Arch: "amd64"}, Path: b.program(text)}}
	}
	return b.do(func(p *Publisher) error {
		_, err := p.Publish(b.t.Context(), r)
		return err
	})
}

func (b *bench) refresh(channels ...string) error {
	return b.do(func(p *Publisher) error {
		_, err := p.Refresh(b.t.Context(), channels, 0)
		return err
	})
}

func (b *bench) amend(channel, version string, change func(*release.Entry)) error {
	return b.do(func(p *Publisher) error {
		_, _, err := p.Amend(b.t.Context(), channel, parse(b.t, version).Version, 0, func(_ *release.Channel, e *release.Entry, _ time.Time) (string, error) {
			change(e)
			return "", nil
		})
		return err
	})
}

func (b *bench) yank(channel, version string) error {
	return b.amend(channel, version, func(e *release.Entry) { e.Yanked = &release.Yank{Reason: "bad", Action: "stay"} })
}

// do is one run of the tool; each takes its time.
func (b *bench) do(what func(*Publisher) error) error {
	b.now = b.now.Add(time.Minute)
	p, err := Open(b.t.Context(), b.options())
	if err != nil {
		return err
	}
	return what(p)
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// channel opens what is served, by the keys of the newest trust document that follows from the root.
func (b *bench) channel(name string) *release.Channel {
	b.t.Helper()
	p, err := prepare(b.t.Context(), b.options())
	b.must(err)
	c, err := release.OpenChannel(b.shelf.objects[name], p.trust.Channel, "hello", name)
	b.must(err)
	return c
}

// trust makes a signed trust document that follows the newest one.
func (b *bench) trust(change func(d *verify.TrustDraft), signers ...string) []byte {
	b.t.Helper()
	newest, err := Newest(b.t.Context(), b.options())
	b.must(err)
	d := newest.Draft()
	d.App = "hello"
	d.Issued, d.Expires = verify.Time{Time: b.now}, verify.Time{Time: b.now.AddDate(1, 0, 0)}
	change(&d)
	var s []verify.Signer
	for _, n := range signers {
		s = append(s, b.keys.signer(b.t, n))
	}
	file, err := d.Sign(s...)
	b.must(err)
	return file
}

func (b *bench) publishTrust(file []byte) error {
	b.now = b.now.Add(time.Minute)
	done, err := PublishTrust(b.t.Context(), b.options(), file, "trust-N", 0)
	if err == nil {
		err = errors.Join(done.Failed...)
	}
	if err == nil {
		b.root = done.Trust
	}
	return err
}

// committed is the memory as it would come out of version control.
func committed(t testing.TB, m *Memory) *Memory {
	t.Helper()
	b, err := yaml.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again := NewMemory()
	if err := yaml.Unmarshal(b, again); err != nil {
		t.Fatal(err)
	}
	return again
}

// refused fails the test if err is not a refusal that says what is looked for.
func refused(t testing.TB, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want a refusal that says %q", err, words)
	}
}
