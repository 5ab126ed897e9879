package publisher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A base is a channel as it is, on which the next one is built.
type base struct {
	*release.Channel         // nil: there is none
	version          Version // what its successor replaces
}

// next is the channel as it is, to be changed; an empty one if there is none.
func (b base) next(name string) *release.Channel {
	if b.Channel == nil {
		return &release.Channel{Name: name}
	}
	c := *b.Channel
	c.Entries = slices.Clone(c.Entries)
	return &c
}

// base opens a channel and decides whether the next one may be built on it.
func (p *Publisher) base(ctx context.Context, name string) (base, error) {
	return p.baseSignedBy(ctx, name, p.trust.Channel)
}

// baseSignedBy also takes a channel that any of several sets of keys has signed: in a rotation those of before.
func (p *Publisher) baseSignedBy(ctx context.Context, name string, signed ...verify.Keys) (base, error) {
	open := func(file []byte) (c *release.Channel, err error) {
		for _, keys := range signed {
			var e error
			if c, e = release.OpenChannel(file, keys, p.app, name); e == nil {
				return c, nil
			} else if err == nil {
				err = e
			}
		}
		return nil, err
	}
	file, version, err := p.read(ctx, name, verify.TypeChannel)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return base{}, err
	}
	b := base{version: version}
	if err == nil {
		if b.Channel, err = open(file); err != nil {
			return base{}, fmt.Errorf("%s was not signed by a key that may sign it now: give the key that it was published with, or restore the file: %w", p.path(name), err)
		}
	} else {
		b.version = Nothing
	}
	known := p.memory.Channels[name]
	if known != nil && known.Pending != nil {
		if b, err = p.settlePending(ctx, name, known, b, open); err != nil {
			return base{}, err
		}
	}
	return b, p.judge(name, known, b.Channel)
}

// settlePending finds out what became of a document that was signed when a run was interrupted: it arrived, or it is sent
// now, or others have published since.
func (p *Publisher) settlePending(ctx context.Context, name string, known *Remembered, b base, open func([]byte) (*release.Channel, error)) (base, error) {
	pending := known.Pending
	before := b.Channel == nil && known.Sequence == 0 || b.Channel != nil && b.ID.SHA256 == known.SHA256
	if before {
		c, err := open([]byte(pending.Document))
		if err != nil || c.ID.SHA256 != pending.SHA256 {
			// Signed by keys that were replaced since: it will not be sent any more. Its number stays used.
			return b, nil
		}
		if lost := known.lost(signedOf(c)); lost != "" {
			// Signed on a machine that did not know it, and joined with this memory since. Its number stays used too.
			p.say(fmt.Sprintf("channel %s: what an interrupted run had signed (sequence %d) says nothing of %s and is not sent: do again what that run was to do", name, c.Sequence, lost))
			return b, nil
		}
		if err := p.write(ctx, name, []byte(pending.Document), b.version); err != nil {
			return b, err
		}
		p.say(fmt.Sprintf("channel %s: finished what an interrupted run had signed (sequence %d)", name, c.Sequence))
		b = base{c, Version("")}
		_, b.version, err = p.read(ctx, name, verify.TypeChannel)
		if err != nil {
			return b, err
		}
	}
	if b.Channel != nil && b.ID.SHA256 == pending.SHA256 && known.lost(signedOf(b.Channel)) == "" {
		known.Signed, known.Pending = signedOf(b.Channel), nil
		return b, p.memory.keep()
	}
	return b, nil
}

// remember writes down a base that was found to be good and stays as it is.
func (p *Publisher) remember(b base) error {
	known := p.memory.channel(b.Name)
	if b.Sequence < known.Sequence || b.Sequence == known.Sequence && known.lost(signedOf(b.Channel)) == "" {
		return nil
	}
	known.Signed = signedOf(b.Channel)
	if known.Pending != nil && known.Pending.Sequence <= b.Sequence {
		known.Pending = nil
	}
	return p.memory.keep()
}

// sequenceSlack is how far the sequence of a channel may be above the second in which it was issued. Honest numbers are
// above it only while several are signed within a second.
const sequenceSlack = 1 << 20

// epoch is where sequences are counted from, in seconds.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func secondsAt(t time.Time) int64 { return int64(t.Sub(epoch) / time.Second) }

// judge decides whether a channel may be signed anew, with more or with less in it. known is nil if nothing is remembered.
func (p *Publisher) judge(name string, known *Remembered, c *release.Channel) error {
	if known == nil {
		known = &Remembered{}
	}
	refuse := func(format string, args ...any) error {
		return ui.Fail(ui.ExitRefused, "%s "+format, append([]any{p.path(name)}, args...)...)
	}
	const adopt = "--adopt, if you know that it is right"
	if c == nil {
		if known.Sequence > 0 && !p.adopt {
			return refuse("was removed, and sequence %d of it was signed here: restore it from your backup or from the server (to begin it anew with nothing withdrawn: --adopt)", known.Sequence)
		}
		return nil
	}
	if c.Trust > p.trust.Version {
		return refuse("names trust document %d, and the last one that follows from the root is %d: restore those between from your backup, clients refuse this channel without them", c.Trust, p.trust.Version)
	}
	if ceiling := max(known.highest(), secondsAt(c.Issued)) + sequenceSlack; c.Sequence > ceiling {
		return refuse("has sequence %d, far above any that was ever signed honestly: whoever signed it wants clients to refuse all that comes later; restore the channel from your backup, and see \"A key has leaked\" in doc/operations.md", c.Sequence)
	}
	if p.now.Before(c.Issued) {
		return ui.Fail(ui.ExitError, "this machine's clock says %s, and the channel was signed at %s: set the clock, for clients judge by these dates", p.now.Format(time.RFC3339), c.Issued.Format(time.RFC3339))
	}
	same := known.Sequence > 0 && c.ID.SHA256 == known.SHA256
	if p.adopt {
		return nil
	}
	switch {
	case same:
		if lost := known.lost(signedOf(c)); lost != "" {
			return refuse("was signed by a machine that did not know of %s, which %s remembers: say it again with --adopt (for a withdrawal: theseus yank --adopt), or run this with --adopt if it was taken back on purpose", lost, LockFile)
		}
	case c.Sequence < known.Sequence:
		return refuse("has sequence %d, and %d was signed here: this looks like a replay of an old one; restore the newest from your backup (%s)", c.Sequence, known.Sequence, adopt)
	case c.Sequence == known.Sequence:
		return refuse("has sequence %d like the one that was signed here, and is another document: another publisher has your key, or a lock was copied; compare the two (%s)", c.Sequence, adopt)
	case c.Trust < p.trust.Version:
		return refuse("was signed under trust document %d, and %d is in force: this looks like a replay from before the rotation; restore the newest from your backup (%s)", c.Trust, p.trust.Version, adopt)
	default:
		if lost := known.lost(signedOf(c)); lost != "" {
			return refuse("is newer than what was signed here (sequence %d) and says nothing any more of %s: another publisher took it away, or somebody has a channel key (%s)", known.Sequence, lost, adopt)
		}
	}
	switch age := p.now.Sub(c.Issued); {
	case p.within > 0 && age > p.within:
		return refuse("was signed %s ago, and refresh-within is %s: this looks like a replay, or the scheduled refresh does not run; compare it with the server (%s)", ui.Span(age), ui.Span(p.within), adopt)
	case p.within == 0 && !same && !p.now.Before(c.Expires):
		return refuse("expired on %s and is not what was signed here last: this looks like a replay; restore the newest from your backup (%s)", ui.Deadline(c.Expires), adopt)
	}
	if !same && known.Sequence > 0 {
		p.say(fmt.Sprintf("channel %s: sequence %d was signed elsewhere and is newer than %s knows (%d): it is built upon", name, c.Sequence, LockFile, known.Sequence))
	}
	return nil
}
