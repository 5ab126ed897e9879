package catalog

import (
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Memory is what a client remembers of one channel's documents. The zero Memory remembers nothing. What it points to
// is never changed, so values may be copied.
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

// after reports whether c was accepted after o, or is o: the keys were replaced in between, or its sequence is not
// lower.
func (c *Channel) after(o *Channel) bool {
	switch {
	case c == nil || o == nil:
		return c != nil
	case c.Trust != o.Trust:
		return c.Trust > o.Trust
	}
	return c.Sequence >= o.Sequence
}

// forget drops sequence, text and time floor of a channel whose signers were replaced, and keeps the floor that comes
// in their place.
func (m *Memory) forget(trust *verify.Trust) {
	if m.Channel == nil {
		return
	}
	if seen, forgotten := m.Channel.Under(trust); forgotten {
		m.Channel, m.Floor = &Channel{Seen: seen}, time.Time{}
	}
}
