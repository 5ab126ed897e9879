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
}

// Seen returns what to remember of an accepted channel document.
func (c *Channel) Seen() Seen {
	s := Seen{Sequence: c.Sequence, ID: c.ID, Threshold: c.Threshold}
	for _, k := range c.Signers {
		s.Signers = append(s.Signers, k.Fingerprint())
	}
	return s
}

// Follows reports whether the channel document may take the place of the one that was seen: nil when it is the same or
// newer, ErrRollback when its sequence is lower, ErrEquivocation when the sequence is the same and the signed text is
// not.
func (c *Channel) Follows(seen Seen) error {
	switch {
	case c.Sequence < seen.Sequence:
		return fmt.Errorf("channel %s of %s: sequence %d is %w (%d): a server that lags behind, or an old copy that is replayed to keep this installation from an update",
			c.Name, c.App, c.Sequence, ErrRollback, seen.Sequence)
	case c.Sequence == seen.Sequence && c.ID != seen.ID:
		return fmt.Errorf("channel %s of %s: %w, %d: two publishers at once, or someone shows different clients different releases",
			c.Name, c.App, ErrEquivocation, c.Sequence)
	}
	return nil
}

// Forgotten reports whether what was seen no longer binds a client that now trusts these keys for channels, because
// those that vouched for it were replaced: verify.ResetDue says when. That is how a publisher recovers from a stolen
// key that signed the highest sequence there is: take the key out of the trust document, and clients accept sequence 1
// again. The kept channel and the time floor go with the sequence.
func (s Seen) Forgotten(keys verify.Keys) bool { return verify.ResetDue(s.Signers, s.Threshold, keys) }
