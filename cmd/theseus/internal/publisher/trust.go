package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Newest returns the newest trust document that follows from the root: what the next one is built on and compared with.
// Where there is no store, that is the root itself.
func Newest(ctx context.Context, o Options) (*verify.Trust, error) {
	if o.Root == nil {
		return nil, noRoot()
	}
	if o.Store == nil {
		return o.Root, nil
	}
	p, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	return p.trust, nil
}

// Followed returns the trust document of a version that leads to the newest one; nil if it is none that was followed.
func (p *Publisher) Followed(version int) *verify.Trust {
	for _, t := range p.chain {
		if t.Version == version {
			return t
		}
	}
	return nil
}

// PublishedTrust is what came of publishing a trust document.
type PublishedTrust struct {
	Trust    *verify.Trust
	Channels []ChannelReport
	Failed   []error // channels that could not be signed anew, each with its reason
}

// PublishTrust puts a trust document into the repository and signs every channel anew, so that clients learn of it at their
// next look and refuse what was signed before. To say it again after an interruption finishes it.
func PublishTrust(ctx context.Context, o Options, file []byte, name string, lifetime time.Duration) (*PublishedTrust, error) {
	return publishTrust(ctx, o, file, name, lifetime, nil)
}

// A countersigner has the new release keys sign what channels offer that were found to be good.
type countersigner func(p *Publisher, ctx context.Context, old, next *verify.Trust, channels []base) error

func publishTrust(ctx context.Context, o Options, file []byte, name string, lifetime time.Duration, sign countersigner) (*PublishedTrust, error) {
	draft, err := verify.ParseTrustDraft(file)
	if err != nil {
		return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
	}
	// Killed between the lock and the upload, the memory is ahead of the repository by this document.
	if peeked, err := Peek(file); err == nil && o.Memory != nil && o.Memory.Trust[draft.Version] == peeked.ID.SHA256 {
		delete(o.Memory.Trust, draft.Version)
	}
	p, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	old := p.trust
	if draft.Version <= p.trust.Version { // it is there already
		there := p.Followed(draft.Version)
		if there == nil || !sameText(there.File, file) {
			return nil, ui.Fail(ui.ExitRefused, "%s is trust document %d, and another one is in force already: make the next one with theseus trust init", name, draft.Version)
		}
		if draft.Version < p.trust.Version {
			return nil, ui.Fail(ui.ExitError, "%s is trust document %d, and %d is in force already: there is nothing to do", name, draft.Version, p.trust.Version)
		}
		if old = p.Followed(draft.Version - 1); old == nil {
			old = there // the root has moved, which is the last step
		}
	}
	if err := p.putRootBack(ctx); err != nil {
		return nil, err
	}
	change, next := (*TrustChange)(nil), p.trust
	if old.Version < draft.Version {
		if change, err = CompareTrust(old, file, name, p.now); err != nil {
			return nil, err
		}
		if !change.Ready {
			return nil, ui.Fail(ui.ExitError, "%s is not signed by all who must: still needed are %s", name, strings.Join(change.Missing, ", and "))
		}
		if next, err = old.Next(file, p.app); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p.enforce(ctx, old, next, lifetime, sign)
}

func sameText(a, b []byte) bool {
	x, _, err := verify.Split(a)
	if err != nil {
		return false
	}
	y, _, err := verify.Split(b)
	return err == nil && bytes.Equal(x, y)
}

// enforce makes next the trust document in force, in place of old.
func (p *Publisher) enforce(ctx context.Context, old, next *verify.Trust, lifetime time.Duration, sign countersigner) (*PublishedTrust, error) {
	there := p.trust.Version == next.Version
	p.trust = next
	names, err := p.channels(ctx)
	if err != nil {
		return nil, err
	}
	for name, known := range p.memory.Channels {
		if known.Sequence > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if n, need := len(p.of(next.Channel)), next.Channel.Threshold(); n < need && len(names) > 0 {
		return nil, ui.Fail(ui.ExitError, "the channels must be signed anew, by %s of %s: give them with --key", ui.Plural(need, "key"), ui.KeyIDs(next.Channel.All()))
	}
	done := &PublishedTrust{Trust: next}
	var bases []base
	for _, name := range names {
		b, err := p.baseBefore(ctx, name, old, next)
		if err == nil && b.Channel == nil {
			err = ui.Fail(ui.ExitError, "%s is not there: publish a release into it", p.path(name))
		}
		if err != nil {
			done.Failed = append(done.Failed, err)
			continue
		}
		bases = append(bases, b)
	}
	if len(done.Failed) > 0 && (!there || len(bases) == 0) {
		// Nothing is in force yet: better all channels later than some now.
		return nil, errors.Join(done.Failed...)
	}
	if sign != nil {
		if err := sign(p, ctx, old, next, bases); err != nil {
			return nil, err
		}
	}
	if err := p.releasesHold(ctx, bases); err != nil {
		return nil, err
	}
	if !there {
		if p.memory.Trust == nil {
			p.memory.Trust = map[int]verify.Digest{}
		}
		p.memory.Trust[next.Version] = next.ID().SHA256
		if err := p.settled(); err != nil {
			return nil, err
		}
		if err := p.memory.keep(); err != nil {
			return nil, err
		}
		name := release.TrustPath(next.Version)
		if err := p.write(ctx, name, next.File, Nothing); err != nil {
			if errors.Is(err, ErrChanged) { // for certain it did not arrive
				delete(p.memory.Trust, next.Version)
				err = errors.Join(err, p.memory.keep())
			}
			return nil, err
		}
	} else if err := p.settled(); err != nil {
		return nil, err
	}
	for _, b := range bases {
		if b.Trust == next.Version { // done before an interruption
			done.Channels = append(done.Channels, reportChannel(b.Channel, false))
			continue
		}
		fresh := b.next(b.Name)
		if err := p.put(ctx, fresh, b, b.lifetime(lifetime)); err != nil {
			return nil, err
		}
		done.Channels = append(done.Channels, reportChannel(fresh, true))
	}
	return done, nil
}

// baseBefore opens a channel for the change from one trust document to the next. The keys of before may be in the wrong
// hands now, so it must be what was signed here last, or nothing vouches for it but a person.
func (p *Publisher) baseBefore(ctx context.Context, name string, old, next *verify.Trust) (base, error) {
	p.trust = old
	defer func() { p.trust = next }()
	if file, _, err := p.read(ctx, name, verify.TypeChannel); err == nil {
		if c, err := release.OpenChannel(file, next.Channel, p.app, name); err == nil && c.Trust == next.Version {
			p.trust = next // done before an interruption
			return p.base(ctx, name)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return base{}, err
	}
	b, err := p.base(ctx, name)
	if err != nil || b.Channel == nil || p.adopt {
		return b, err
	}
	switch known := p.memory.Channels[name]; {
	case known == nil || known.Sequence == 0:
		err = ui.Fail(ui.ExitRefused, "%s (sequence %d) may be signed by a key that you replace, and %s knows nothing of it: restore %s from your version control; or look at it (theseus inspect %s), and add --adopt if it is right",
			p.path(name), b.Sequence, LockFile, LockFile, p.path(name))
	case b.ID.SHA256 != known.SHA256:
		err = ui.Fail(ui.ExitRefused, "%s (sequence %d) was signed elsewhere than what %s knows (%d), by a key that may be the one you replace: look at it (theseus inspect %s), and add --adopt if it is right",
			p.path(name), b.Sequence, LockFile, known.Sequence, p.path(name))
	}
	return b, err
}

// releasesHold refuses to strand clients: what is on offer must be signed by the new release keys before these rule.
func (p *Publisher) releasesHold(ctx context.Context, channels []base) error {
	for _, c := range channels {
		for _, entry := range c.Entries {
			name := release.ManifestPath(entry.Version)
			file, _, err := p.read(ctx, name, verify.TypeManifest)
			if errors.Is(err, fs.ErrNotExist) {
				return p.noManifest(name, c.Name)
			}
			if err != nil {
				return err
			}
			if _, err := release.OpenManifest(file, p.trust.Release, p.app, entry); err != nil {
				return ui.Fail(ui.ExitError, "%s is on offer and not signed by %s of the new release keys: have them run 'theseus sign %s --key FILE' first: %w",
					p.path(name), ui.Plural(p.trust.Release.Threshold(), "holder"), p.path(name), err)
			}
		}
	}
	return nil
}

func (p *Publisher) noManifest(name, channel string) error {
	return ui.Fail(ui.ExitRefused, "%s is not there, and channel %s offers it: restore it from your backup", p.path(name), channel)
}
