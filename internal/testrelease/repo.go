// Package testrelease is a small repository in memory for tests: real keys, real documents, a real HTTP server, and hooks to
// attack all of them. Only tests import it.
//
//	repo := testrelease.New(t)
//	repo.Publish("1.0.0", oldProgram)
//	repo.Publish("1.1.0", newProgram, testrelease.Zstd())
//	u, err := updater.New(updater.Options{App: repo.App, Key: repo.Key(), Source: repo.URL(), …})
//
// A replay is `old := repo.Get("stable")`, and later `repo.Put("stable", old)`. A test that asserts that something was never
// asked for looks at Requests or Requested.
package testrelease

import (
	"bytes"
	"crypto/sha256"

	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/klauspost/compress/zstd"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Repo is a repository of one app. Its methods are safe for concurrent use; its fields are for the test's own goroutine. A
// step that fails ends the test.
type Repo struct {
	App     string    // hello
	Name    string    // of the channel: stable
	Now     time.Time // the date of what is signed; moves only when the test moves it
	Expires time.Duration

	ReleaseKeys []*Key // sign manifests; at first one key, the same for both roles
	ChannelKeys []*Key // sign channel documents

	// Channel is the channel document as it was signed last, and what Resign signs next.
	Channel *release.Channel

	tb     testing.TB
	mu     sync.Mutex
	files  map[string][]byte
	hooks  map[string]Hook
	log    []*Request
	server *httptest.Server
}

// New makes an empty repository: no channel document yet, one key for every role, the time cut to seconds.
func New(tb testing.TB) *Repo {
	tb.Helper()
	key := NewKey(tb, "publisher")
	return &Repo{
		App: "hello", Name: "stable",
		Now: time.Now().UTC().Truncate(time.Second), Expires: 90 * 24 * time.Hour,
		ReleaseKeys: []*Key{key}, ChannelKeys: []*Key{key},
		tb: tb, files: map[string][]byte{}, hooks: map[string]Hook{},
	}
}

// Key is the public key that a program is built with: the first of the release keys.
func (r *Repo) Key() string { return r.ReleaseKeys[0].String() }

// Keys is what a client trusts that has only that key.
func (r *Repo) Keys() verify.Keys {
	r.tb.Helper()
	keys, err := verify.NewKeys(1, r.ReleaseKeys[0].Key())
	if err != nil {
		r.tb.Fatal(err)
	}
	return keys
}

// Host is the platform that the test runs on.
func Host() release.Platform { return release.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH} }

// An Option changes what Publish publishes.
type Option func(*publication)

type publication struct {
	platform  release.Platform
	zstd      bool
	zstdAlone bool
	files     map[release.Platform][]byte
	manifest  []func(*release.Manifest)
	entry     []func(*release.Entry)
	unlisted  bool
}

// Zstd stores the files compressed only.
func Zstd() Option { return func(p *publication) { p.zstd, p.zstdAlone = true, true } }

// Both stores the files as they are and compressed.
func Both() Option { return func(p *publication) { p.zstd = true } }

// On publishes for this platform (os/arch or os/arch/variant) instead of the host.
func On(platform string) Option { return func(p *publication) { p.platform = parse(platform) } }

// Also publishes another file for another platform in the same release.
func Also(platform string, file []byte) Option {
	return func(p *publication) { p.files[parse(platform)] = file }
}

// Manifest edits the manifest before it is signed.
func Manifest(edit func(*release.Manifest)) Option {
	return func(p *publication) { p.manifest = append(p.manifest, edit) }
}

// Entry edits the entry before the channel is signed.
func Entry(edit func(*release.Entry)) Option {
	return func(p *publication) { p.entry = append(p.entry, edit) }
}

// Unlisted stores files and manifest and leaves the channel as it is.
func Unlisted() Option { return func(p *publication) { p.unlisted = true } }

func parse(platform string) release.Platform {
	parts := append(strings.SplitN(platform, "/", 3), "", "")
	return release.Platform{OS: parts[0], Arch: parts[1], Variant: parts[2]}
}

// Publish stores a file as a release for the host's platform, signs its manifest, lists it in the channel (in place of an
// entry of the same version) and signs the channel with the next sequence number. It returns the entry.
func (r *Repo) Publish(version string, file []byte, options ...Option) release.Entry {
	r.tb.Helper()
	p := &publication{platform: Host(), files: map[release.Platform][]byte{}}
	for _, o := range options {
		o(p)
	}
	p.files[p.platform] = file

	v := r.version(version)
	m := &release.Manifest{App: r.App, Version: v, Date: r.Now}
	for platform, b := range p.files {
		m.Artifacts = append(m.Artifacts, r.artifact(platform, b, p))
	}
	for _, edit := range p.manifest {
		edit(m)
	}
	signed, err := release.SignManifest(m, signers(r.ReleaseKeys)...)
	if err != nil {
		r.tb.Fatalf("publishing %s: %v", version, err)
	}
	r.Put(release.ManifestPath(v), signed)

	e := release.Entry{Version: v, Manifest: r.TextID(signed)}
	for _, edit := range p.entry {
		edit(&e)
	}
	if p.unlisted {
		return e
	}
	r.Resign(func(c *release.Channel) {
		if old := c.Entry(v); old != nil {
			*old = e
			return
		}
		c.Entries = append(c.Entries, e)
	})
	return e
}

func (r *Repo) artifact(platform release.Platform, file []byte, p *publication) release.Artifact {
	a := release.Artifact{Platform: platform, File: verify.IDOf(file)}
	if !p.zstdAlone {
		a.Downloads = append(a.Downloads, r.Store("", file))
	}
	if p.zstd {
		a.Downloads = append(a.Downloads, r.Store(release.Zstd, Compress(file)))
	}
	return a
}

// Store puts stored bytes where a download of this encoding is looked for.
func (r *Repo) Store(encoding string, stored []byte) release.Download {
	d := release.Download{Encoding: encoding, Stored: verify.IDOf(stored)}
	r.Put(d.Path(), stored)
	return d
}

// frames holds what was compressed, by the digest of what it was: tests publish the same few programs again and again.
var frames sync.Map

// Compress is a zstd frame with a window that clients accept. The caller does not change it.
func Compress(file []byte) []byte {
	frame, _ := frames.LoadOrStore(sha256.Sum256(file), sync.OnceValue(func() []byte {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			panic(err) // cannot fail: the options are constants
		}
		return w.EncodeAll(file, nil)
	}))
	return frame.(func() []byte)()
}

// Resign raises the sequence, sets the dates, lets edit change the channel (those two, too), signs it and stores it. It returns the
// signed file. edit may be nil: a refresh.
func (r *Repo) Resign(edit func(*release.Channel)) []byte {
	r.tb.Helper()
	if r.Channel == nil {
		r.Channel = &release.Channel{App: r.App, Name: r.Name}
	}
	c := r.Channel
	c.Sequence++
	c.Issued, c.Expires = r.Now, r.Now.Add(r.Expires)
	if edit != nil {
		edit(c)
	}
	slices.SortFunc(c.Entries, func(a, b release.Entry) int { return b.Version.Compare(a.Version) })
	b := r.SignChannel(c, r.ChannelKeys...)
	r.Put(c.Name, b)
	return b
}

// SignChannel signs any channel document without storing it.
func (r *Repo) SignChannel(c *release.Channel, keys ...*Key) []byte {
	r.tb.Helper()
	b, err := release.SignChannel(c, signers(keys)...)
	if err != nil {
		r.tb.Fatalf("signing channel: %v", err)
	}
	return b
}

// Role is a role of a trust document.
func Role(threshold int, keys ...*Key) verify.Role {
	role := verify.Role{Threshold: threshold}
	for _, k := range keys {
		role.Keys = append(role.Keys, verify.NamedKey{Key: k.Key()})
	}
	return role
}

// Trust signs a trust document, stores it as trust/N and returns it. What is missing in the draft is filled in: app, dates,
// and for a role without keys those that the repository signs with (the release keys for the trust role), with threshold 1.
func (r *Repo) Trust(d verify.TrustDraft, keys ...*Key) []byte {
	r.tb.Helper()
	if d.App == "" {
		d.App = r.App
	}
	if d.Issued.IsZero() {
		d.Issued = verify.Time{Time: r.Now}
	}
	if d.Expires.IsZero() {
		d.Expires = verify.Time{Time: r.Now.Add(r.Expires)}
	}
	for _, role := range []struct {
		is   *verify.Role
		keys []*Key
	}{{&d.Trust, r.ReleaseKeys}, {&d.Release, r.ReleaseKeys}, {&d.Channel, r.ChannelKeys}} {
		if role.is.Keys == nil {
			*role.is = Role(1, role.keys...)
		}
	}
	b, err := d.Sign(signers(keys)...)
	if err != nil {
		r.tb.Fatalf("signing trust document %d: %v", d.Version, err)
	}
	r.Put(release.TrustPath(d.Version), b)
	return b
}

// SignText signs any text without a look at it: for documents that the publisher's tool would not sign.
func (r *Repo) SignText(text string, keys ...*Key) []byte {
	r.tb.Helper()
	b := []byte(text + "\n")
	for _, k := range keys {
		block, err := k.Sign([]byte(text))
		if err != nil {
			r.tb.Fatal(err)
		}
		b = append(b, block...)
	}
	return b
}

// Text is the signed part of a document.
func (r *Repo) Text(file []byte) string {
	r.tb.Helper()
	text, _, err := verify.Split(file)
	if err != nil {
		r.tb.Fatal(err)
	}
	return string(text)
}

// TextID is the identity of a signed document.
func (r *Repo) TextID(file []byte) verify.ID {
	r.tb.Helper()
	return verify.IDOf([]byte(r.Text(file)))
}

// Put stores a file of the repository, and Get returns one; Get ends the test if there is none. Remove removes one.
func (r *Repo) Put(path string, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[path] = bytes.Clone(b)
}

func (r *Repo) Get(path string) []byte {
	r.tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.files[path]
	if !ok {
		r.tb.Fatalf("the repository has no %s", path)
	}
	return bytes.Clone(b)
}

func (r *Repo) Remove(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.files, path)
}

// Files lists the paths of the repository, sorted.
func (r *Repo) Files() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.files))
}

// WriteTo writes the repository into a folder, for file: sources and the publisher's tool.
func (r *Repo) WriteTo(dir string) {
	r.tb.Helper()
	for _, path := range r.Files() {
		name := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			r.tb.Fatal(err)
		}
		if err := os.WriteFile(name, r.Get(path), 0o644); err != nil {
			r.tb.Fatal(err)
		}
	}
}

// Entry is the entry of a version in the channel as it was signed last, for editing inside Resign.
func (r *Repo) Entry(version string) *release.Entry {
	r.tb.Helper()
	if r.Channel != nil {
		if e := r.Channel.Entry(r.version(version)); e != nil {
			return e
		}
	}
	r.tb.Fatalf("the channel has no release %s", version)
	return nil
}

// FilePath is where the only download of a version's only artifact is stored.
func (r *Repo) FilePath(version string) string {
	r.tb.Helper()
	m, err := release.OpenManifest(r.Get(release.ManifestPath(r.version(version))), r.Keys(), r.App, *r.Entry(version))
	if err != nil {
		r.tb.Fatal(err)
	}
	if len(m.Artifacts) != 1 || len(m.Artifacts[0].Downloads) != 1 {
		r.tb.Fatalf("release %s has more than one download", version)
	}
	return m.Artifacts[0].Downloads[0].Path()
}

func signers(keys []*Key) []verify.Signer {
	var s []verify.Signer
	for _, k := range keys {
		s = append(s, k)
	}
	return s
}

// version parses a version; a wrong one ends the test.
func (r *Repo) version(s string) *semver.Version {
	r.tb.Helper()
	v, err := release.ParseVersion(s)
	if err != nil {
		r.tb.Fatal(err)
	}
	return v
}
