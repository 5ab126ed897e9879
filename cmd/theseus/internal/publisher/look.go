package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A View is a repository as the root and the memory account for it. It signs nothing and writes nothing there.
type View struct{ p *Publisher }

// Look opens a repository to read it. Its trust documents must follow from the root and be those that the memory knows.
func Look(ctx context.Context, o Options) (*View, error) {
	p, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	return &View{p}, p.follow(ctx, o.Root)
}

// App is the program whose repository it is.
func (v *View) App() string { return v.p.app }

// Trust is the newest trust document that follows from the root: who may sign now.
func (v *View) Trust() *verify.Trust { return v.p.trust }

// Chain is the root and all that follows from it.
func (v *View) Chain() []*verify.Trust { return v.p.chain }

// Channels returns the names of the channels that are there or are remembered, sorted.
func (v *View) Channels(ctx context.Context) ([]string, error) {
	names, err := v.p.channels(ctx)
	for name, known := range v.p.memory.Channels {
		if known.Sequence > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// A Served is a channel as it lies in a store.
type Served struct {
	*release.Channel
	File    []byte
	Version Version
}

// ErrForged: a document is there that nobody has signed who may.
var ErrForged = errors.New("it is not signed by the keys that follow from the root")

// Channel opens a channel of the repository by the keys of the trust document in force, or of an earlier one that led to it:
// a store may lag behind a rotation. The error is fs.ErrNotExist where there is none, and ErrForged where there is something
// else.
func (v *View) Channel(ctx context.Context, name string) (*Served, error) {
	return v.ChannelIn(ctx, v.p.Store, name)
}

// ChannelIn is Channel for another store of the same repository.
func (v *View) ChannelIn(ctx context.Context, s Store, name string) (*Served, error) {
	file, version, err := repository{s}.read(ctx, name, verify.TypeChannel)
	if err != nil {
		return nil, err
	}
	var wrong error
	for _, t := range slices.Backward(v.p.chain) {
		c, err := release.OpenChannel(file, t.Channel, v.p.app, name)
		if err == nil {
			return &Served{c, file, version}, nil
		}
		wrong = errors.Join(wrong, err)
		if t.Version == v.p.trust.Version {
			wrong = err // what the newest keys say is what a person wants to read
		}
	}
	return &Served{File: file, Version: version}, fmt.Errorf("%w: %w", ErrForged, wrong)
}

// Judge decides whether a channel may be built upon and passed on: it must not fall behind the memory, and be signed by the
// keys in force.
func (v *View) Judge(c *Served) error {
	if c.Trust < v.p.trust.Version {
		if _, err := release.OpenChannel(c.File, v.p.trust.Channel, v.p.app, c.Name); err != nil {
			return ui.Fail(ui.ExitRefused, "%s was signed before trust document %d, by a key that it replaced: %w: sign it again (theseus refresh, or theseus trust publish)", v.p.path(c.Name), v.p.trust.Version, err)
		}
	}
	return v.p.judge(c.Name, v.p.memory.Channels[c.Name], c.Channel)
}

// Remembers reports whether the memory knows a channel.
func (v *View) Remembers(name string) bool { return v.p.memory.Channels[name] != nil }

// Removed is the refusal for a channel that was listed or is remembered, and that the repository does not have.
func (v *View) Removed(name string) error {
	if err := v.p.judge(name, v.p.memory.Channels[name], nil); err != nil {
		return err
	}
	return ui.Fail(ui.ExitRefused, "%s was removed while this ran: find out by whom, then run this again", v.p.path(name))
}

// Manifest opens the manifest that a channel names.
func (v *View) Manifest(ctx context.Context, e release.Entry) (*release.Manifest, []byte, error) {
	file, _, err := v.p.read(ctx, release.ManifestPath(e.Version), verify.TypeManifest)
	if err != nil {
		return nil, nil, err
	}
	m, err := release.OpenManifest(file, v.p.trust.Release, v.p.app, e)
	if err != nil {
		err = fmt.Errorf("%s: %w", v.p.path(release.ManifestPath(e.Version)), err)
	}
	return m, file, err
}

// TrustFiles returns the trust documents that are accounted for, by version: those from the root on, and those before it that
// are there and lead to it or are known to the memory.
func (v *View) TrustFiles(ctx context.Context) (map[int][]byte, error) {
	files := map[int][]byte{}
	for _, t := range slices.Concat(v.p.earlier, v.p.chain) {
		if t.Version > 0 {
			files[t.Version] = t.File
		}
	}
	there, err := v.p.trusts(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range there {
		if _, ok := v.p.memory.Trust[n]; !ok && files[n] == nil {
			continue
		}
		file, _, err := v.p.read(ctx, release.TrustPath(n), verify.TypeTrust)
		if err != nil {
			return nil, err
		}
		files[n] = file // follow has compared it; it may have more signatures than the root has
	}
	return files, nil
}

// Trusts returns the versions of the trust documents that lie in a store.
func Trusts(ctx context.Context, s Store) ([]int, error) { return repository{s}.trusts(ctx) }

// ChannelNames returns the names of the channels that lie in a store.
func ChannelNames(ctx context.Context, s Store) ([]string, error) { return repository{s}.channels(ctx) }

// ReadDocument returns a document of a store, and fs.ErrNotExist if it has none.
func ReadDocument(ctx context.Context, s Store, name string, t verify.Type) ([]byte, Version, error) {
	return repository{s}.read(ctx, name, t)
}

// Identity is what a document is, whoever signed it; the zero ID of what is none.
func Identity(file []byte) verify.ID {
	c, err := Peek(file)
	if err != nil {
		return verify.ID{}
	}
	return c.ID
}

// MoreSignatures reports whether a has the text of b and more signatures.
func MoreSignatures(a, b []byte) bool {
	x, signed, err := verify.Split(a)
	if err != nil {
		return false
	}
	y, before, err := verify.Split(b)
	return err == nil && bytes.Equal(x, y) && len(signed) > len(before)
}

// Settle writes down what was followed.
func (v *View) Settle() error { return v.p.settled() }

// Adopt writes down a channel that was judged, signed here or elsewhere, as what comes next is built on.
func (v *View) Adopt(c *Served) error {
	if !v.p.adopt {
		return v.p.remember(base{Channel: c.Channel})
	}
	known := v.p.memory.channel(c.Name)
	known.Signed, known.Pending = signedOf(c.Channel), nil
	return v.p.memory.keep()
}

// Dropped says in words what the memory knows of a channel and c does not say; "" if nothing.
func (v *View) Dropped(c *Served) string {
	known := v.p.memory.Channels[c.Name]
	if known == nil {
		return ""
	}
	return known.lost(signedOf(c.Channel))
}

// Saw writes down what lies at a remote. It is what a later push may replace there.
func (v *View) Saw(remote string, c *release.Channel) error {
	known := v.p.memory.channel(c.Name)
	if known.At[remote] == c.ID.SHA256 {
		return nil
	}
	if known.Sequence == 0 && known.Pending == nil {
		known.Signed = signedOf(c)
	}
	if known.At == nil {
		known.At = map[string]verify.Digest{}
	}
	known.At[remote] = c.ID.SHA256
	return v.p.memory.keep()
}

// Known reports whether a channel that lies at a remote is one that there is an account of: what was last seen there, or
// what was signed last.
func (v *View) Known(remote string, c *release.Channel) bool {
	known := v.p.memory.Channels[c.Name]
	return known != nil && (known.At[remote] == c.ID.SHA256 || known.SHA256 == c.ID.SHA256)
}

// Missing says in words what one channel document offers or forbids and a later one says nothing of; "" if nothing.
func Missing(before, later *release.Channel) string {
	var lost []string
	for _, e := range before.Entries {
		if later.Entry(e.Version) == nil {
			lost = append(lost, e.Version.String())
		}
	}
	text := ""
	if len(lost) > 0 {
		text = "the release of " + strings.Join(lost, " and ")
	}
	if more := signedOf(before).lost(signedOf(later)); more != "" {
		if text != "" {
			text += ", "
		}
		text += more
	}
	return text
}

// joinSeen joins what two machines saw last at each remote. Where they differ, nobody knows which is there now.
func joinSeen(a, b map[string]verify.Digest) map[string]verify.Digest {
	joined := maps.Clone(b)
	for remote, id := range a {
		if other, ok := b[remote]; ok && other != id {
			delete(joined, remote)
			continue
		}
		if joined == nil {
			joined = map[string]verify.Digest{}
		}
		joined[remote] = id
	}
	return joined
}
