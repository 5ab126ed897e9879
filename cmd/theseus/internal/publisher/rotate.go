package publisher

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Rotation puts one key in the place of another.
type Rotation struct {
	To      verify.NamedKey
	Replace *verify.Key   // nil: the only key there is
	Holds   time.Duration // lifetime of the trust document

	// Keep stores the signed trust document of a version before it is published, or returns the one that an interrupted
	// run has stored. If made is nil it only looks.
	Keep func(version int, made []byte) (kept []byte, err error)
}

// Rotate makes, signs and publishes the trust document that replaces a key, and has what is on offer signed by the new key.
func Rotate(ctx context.Context, o Options, r Rotation, lifetime time.Duration) (*PublishedTrust, error) {
	p, err := prepare(ctx, interruptedRotation(o, r))
	if err != nil {
		return nil, err
	}
	old := p.trust
	if old.Version > 0 && only(old, r.To.Key) { // published, and perhaps not all that follows
		return PublishTrust(ctx, o, old.File, release.TrustPath(old.Version), lifetime)
	}
	draft, err := r.draft(p)
	if err != nil {
		return nil, err
	}
	made, err := draft.Sign(p.signersOf(old.Trust, draft)...)
	if err != nil {
		return nil, err
	}
	file, err := r.Keep(draft.Version, made)
	if err != nil {
		return nil, err
	}
	kept, err := verify.ParseTrustDraft(file)
	if err != nil || !sameRoles(kept, draft) {
		return nil, ui.Fail(ui.ExitError, "there is a trust document %d already, and it is another rotation: publish or remove it first", draft.Version)
	}
	const name = "the new trust document"
	change, err := CompareTrust(old, file, name, p.now)
	if err != nil {
		return nil, err
	}
	if !change.Ready {
		return nil, ui.Fail(ui.ExitError, "trust document %d is written, and others must sign it (theseus sign), then publish it (theseus trust publish): still needed are %s", draft.Version, strings.Join(change.Missing, ", and "))
	}
	return publishTrust(ctx, o, file, name, lifetime, (*Publisher).countersign)
}

// interruptedRotation forgives that the memory is ahead by the document that a killed run was about to upload.
func interruptedRotation(o Options, r Rotation) Options {
	if o.Memory == nil || o.Root == nil {
		return o
	}
	newest := o.Memory.newestTrust()
	if kept, err := r.Keep(newest, nil); newest > o.Root.Version && err == nil {
		if c, err := Peek(kept); err == nil && c.ID.SHA256 == o.Memory.Trust[newest] {
			forgiving := *o.Memory
			forgiving.Trust = map[int]verify.Digest{}
			for v, id := range o.Memory.Trust {
				if v != newest {
					forgiving.Trust[v] = id
				}
			}
			o.Memory = &forgiving
		}
	}
	return o
}

func (r Rotation) draft(p *Publisher) (verify.TrustDraft, error) {
	d := p.trust.Draft()
	d.App = p.app
	d.Issued, d.Expires = verify.Time{Time: p.now}, verify.Time{Time: p.now.Add(r.Holds)}
	replace := r.Replace
	if replace == nil {
		first := d.Trust.Keys[0].Key
		if !only(p.trust, first) {
			return d, ui.Usage("there is more than one key: say with --replace which one goes")
		}
		replace = &first
	}
	found := false
	for _, role := range []*verify.Role{&d.Trust, &d.Release, &d.Channel} {
		for i, k := range role.Keys {
			if k.Key.Equal(*replace) {
				role.Keys[i], found = r.To, true
			}
		}
	}
	if !found {
		return d, ui.Usage("the key %s has no role: there is nothing to replace", replace.ID())
	}
	if err := d.Check(); err != nil {
		return d, ui.Usage("%w", err)
	}
	return d, nil
}

// only reports whether one key has every role, alone.
func only(t *verify.Trust, k verify.Key) bool {
	for _, role := range []verify.Keys{t.Trust, t.Release, t.Channel} {
		if all := role.All(); len(all) != 1 || !all[0].Equal(k) {
			return false
		}
	}
	return true
}

// signersOf returns who of those here may sign a trust document.
func (p *Publisher) signersOf(old verify.Keys, d verify.TrustDraft) []verify.Signer {
	return slices.DeleteFunc(slices.Clone(p.signers), func(s verify.Signer) bool {
		return !slices.ContainsFunc(old.All(), s.Key().Equal) &&
			!slices.ContainsFunc(d.Trust.Keys, func(k verify.NamedKey) bool { return k.Key.Equal(s.Key()) })
	})
}

func sameRoles(a, b verify.TrustDraft) bool {
	for _, c := range a.Compare(b) {
		if len(c.Added) > 0 || len(c.Removed) > 0 || c.From != c.To {
			return false
		}
	}
	return a.App == b.App && a.Version == b.Version
}

// countersign has the release keys of next that are here sign what these channels offer, if enough keys of old have signed
// it. Nothing else in the repository gets their signature: whoever has the old key can put releases of his own there.
func (p *Publisher) countersign(ctx context.Context, old, next *verify.Trust, channels []base) error {
	type signed struct {
		name    string
		file    []byte
		version Version
	}
	var all []signed
	for _, c := range channels {
		if c.Trust >= next.Version {
			continue // done before an interruption
		}
		for _, entry := range c.Entries {
			name := release.ManifestPath(entry.Version)
			if slices.ContainsFunc(all, func(s signed) bool { return s.name == name }) {
				continue
			}
			file, version, err := p.read(ctx, name, verify.TypeManifest)
			if errors.Is(err, fs.ErrNotExist) {
				return p.noManifest(name, c.Name)
			}
			if err != nil {
				return err
			}
			if _, err := release.OpenManifest(file, old.Release, p.app, entry); err != nil {
				continue // releasesHold says what is wrong
			}
			progress, err := next.Release.Progress(file)
			if err != nil {
				return err
			}
			more := file
			for _, s := range p.of(next.Release) {
				if slices.ContainsFunc(progress.Signed, s.Key().Equal) {
					continue
				}
				if more, err = verify.AddSignature(more, s); err != nil {
					return err
				}
			}
			if !bytes.Equal(more, file) {
				all = append(all, signed{name, more, version})
			}
		}
	}
	for _, s := range all {
		if err := p.write(ctx, s.name, s.file, s.version); err != nil {
			return err
		}
		p.say(p.path(s.name) + " is on offer, and signed by the new key too")
	}
	return nil
}
