package release

import (
	"fmt"

	"github.com/theseus-go/theseus/verify"
)

// MaxSequence is the highest sequence number and the largest number of any kind in a document: the largest integer that
// every JSON reader reads exactly (RFC 8259, section 6).
const MaxSequence = 1<<53 - 1

// Seen is what a client remembers of the last channel document that it accepted. The zero Seen has seen nothing.
type Seen struct {
	Sequence  int64
	ID        verify.ID
	Signers   []verify.Digest // fingerprints of the keys that were counted for it
	Threshold int             // how many of them were needed
	Trust     int             // the lowest trust document that a channel may name, see Under
}

// Follows reports whether the channel document may take the place of the one that was seen: nil when it is the same or
// newer, ErrRollback when its sequence is lower or it names a trust document from before the keys were replaced,
// ErrEquivocation when the sequence is the same and the signed text is not.
func (c *Channel) Follows(seen Seen) error {
	switch {
	case c.Trust < seen.Trust:
		return fmt.Errorf("channel %s of %s: it was made under trust document %d and is %w: keys were replaced by document %d, and the publisher has to sign the channel again; or an old copy is replayed",
			c.Name, c.App, c.Trust, ErrRollback, seen.Trust)
	case c.Sequence < seen.Sequence:
		return fmt.Errorf("channel %s of %s: sequence %d is %w (%d): a server that lags behind, or an old copy that is replayed to keep this installation from an update",
			c.Name, c.App, c.Sequence, ErrRollback, seen.Sequence)
	case c.Sequence == seen.Sequence && c.ID != seen.ID:
		return fmt.Errorf("channel %s of %s: %w, %d: two publishers at once, or someone shows different clients different releases",
			c.Name, c.App, ErrEquivocation, c.Sequence)
	}
	return nil
}

// Accept returns what to remember once c, which follows what was seen, has passed every other check too.
func (s Seen) Accept(c *Channel) Seen {
	now := Seen{Sequence: c.Sequence, ID: c.ID, Threshold: c.Threshold, Trust: s.Trust}
	for _, k := range c.Signers {
		now.Signers = append(now.Signers, k.Fingerprint())
	}
	return now
}

// Under returns what still binds a client that now trusts t, and whether anything was forgotten: it is, if the keys
// that vouched for it were replaced ([verify.ResetDue]). Call it for each trust document in turn.
//
// That is how a publisher recovers from a stolen key that signed the highest sequence there is: take the key out of the
// trust document, and clients accept sequence 1 again. The kept text of the channel and the time floor go with the
// sequence. In their place comes a floor of another kind: no channel is accepted from then on that names a trust
// document below t, or an older document would be good again that a key which stays had signed.
func (s Seen) Under(t *verify.Trust) (now Seen, forgotten bool) {
	if !verify.ResetDue(s.Signers, s.Threshold, t.Channel) {
		return s, false
	}
	return Seen{Trust: max(s.Trust, t.Version)}, true
}

// Current reports whether the channel can be judged by trust document t: ErrTrust if it names a later one. A client
// looks for that first; if it cannot be had, somebody withholds it, and the keys that it takes away would still be
// trusted.
func (c *Channel) Current(t *verify.Trust) error {
	if c.Trust > t.Version {
		return fmt.Errorf("channel %s of %s: %w: it names document %d, and the last that can be had is %d: publish every trust document, or somebody withholds one",
			c.Name, c.App, ErrTrust, c.Trust, t.Version)
	}
	return nil
}
