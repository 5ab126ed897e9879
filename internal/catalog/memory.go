package catalog

import (
	"errors"
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// ErrRoot is the error where a client was built with another trust document than the one of the same version that it
// remembers: one of the two is not the publisher's.
var ErrRoot = errors.New("built with another trust document than the one that is remembered")

// Memory is what a client remembers of one channel's documents. The zero Memory remembers nothing. What it points to is
// never changed, so values may be copied.
type Memory struct {
	Trust   Trust
	Channel *Channel  // what was last accepted, nil if nothing was
	Floor   time.Time // the latest signed date of an accepted document: the time is not before it

	// The rest is not worth writing down.

	Asked     time.Time            // when a source was last asked for a newer trust document
	Manifests map[verify.ID][]byte // files, opened anew for each entry and trust
}

// Trust is the newest trust document that was accepted, as it was served. The zero Trust is none.
type Trust struct {
	Version int
	File    string
}

// Channel is what was last accepted of a channel.
type Channel struct {
	release.Seen
	File      string          // as it was served, so that "not modified" re-evaluates expiry and rollout
	Served    time.Time       // when a source last served it, by the wall clock
	Validator fetch.Validator // for the next request
}

// after reports whether c was accepted after o, or is o: the keys were replaced in between, or its sequence is not lower.
func (c *Channel) after(o *Channel) bool {
	switch {
	case c == nil || o == nil:
		return c != nil
	case c.Trust != o.Trust:
		return c.Trust > o.Trust
	}
	return c.Sequence >= o.Sequence
}

// Join returns what two memories of the same client know together: the higher of each value. Nothing of what signers vouched
// for who were replaced meanwhile survives, or a leaked key that signed the highest sequence and the latest date would
// outlive its replacement. If what is remembered does not belong to this client, a is returned as it is; Look says why.
func (c *Client) Join(a, b Memory) Memory {
	joined := a
	if b.Trust.Version > a.Trust.Version {
		joined.Trust = b.Trust
	}
	trust, lost, err := c.inForce(joined)
	if err != nil {
		return a
	}
	if lost != nil {
		joined.Trust = Trust{}
	}
	joined.forget(trust)
	b.forget(trust)
	if b.Channel.after(joined.Channel) {
		joined.Channel = b.Channel
	}
	if b.Floor.After(joined.Floor) {
		joined.Floor = b.Floor
	}
	if b.Asked.After(joined.Asked) {
		joined.Asked = b.Asked
	}
	if b.Manifests != nil {
		joined.Manifests = b.Manifests
	}
	return joined
}

// inForce returns the trust document that m and what the client was built with lead to. lost says why the remembered one
// does not count.
func (c *Client) inForce(m Memory) (trust *verify.Trust, lost, err error) {
	if m.Trust.Version == 0 {
		return c.Root, nil, nil
	}
	known, err := verify.ParseTrust(m.Trust.File)
	switch {
	case err != nil:
		return c.Root, err, nil
	case known.App != c.App:
		return c.Root, fmt.Errorf("it is of %q: %w", known.App, verify.ErrApp), nil
	case known.Version > c.Root.Version:
		return known, nil, nil
	case known.Version == c.Root.Version && known.ID() != c.Root.ID():
		return nil, nil, fmt.Errorf("version %d: %w", known.Version, ErrRoot)
	}
	return c.Root, nil, nil
}

// Known opens the channel document that is remembered, by the keys that are in force; nil if there is none that still counts.
func (c *Client) Known(m Memory) *release.Channel {
	trust, _, err := c.inForce(m)
	if err != nil || m.Channel == nil {
		return nil
	}
	known, err := release.OpenChannel([]byte(m.Channel.File), trust.Channel, c.App, c.Channel)
	if err != nil {
		return nil
	}
	return known
}

// forget drops sequence, text and time floor of a channel whose signers were replaced, and keeps the floor that comes in their
// place.
func (m *Memory) forget(trust *verify.Trust) {
	if m.Channel == nil {
		return
	}
	if seen, forgotten := m.Channel.Under(trust); forgotten {
		m.Channel, m.Floor = &Channel{Seen: seen}, time.Time{}
	}
}
