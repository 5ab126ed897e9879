package catalog

import (
	"maps"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Memory is what a client remembers of the documents of its channel, and of those that it includes. The zero Memory
// remembers nothing. What it points to is never changed, so values may be copied.
type Memory struct {
	Trust    Trust
	Channel  *Channel            // what was last accepted, nil if nothing was
	Included map[string]*Channel // the same of other channels, by name
	Floor    time.Time           // the latest signed date of an accepted document: the time is not before it

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
	m.Channel = m.without(m.Channel, trust)
	included := m.Included
	for name, c := range included {
		if kept := m.without(c, trust); kept != c {
			m.Included = with(m.Included, name, kept)
		}
	}
}

func (m *Memory) without(c *Channel, trust *verify.Trust) *Channel {
	if c == nil {
		return nil
	}
	seen, forgotten := c.Under(trust)
	if !forgotten {
		return c
	}
	m.Floor = time.Time{}
	return &Channel{Seen: seen}
}

// with is a copy of what is remembered of other channels, with this one.
func with(included map[string]*Channel, name string, c *Channel) map[string]*Channel {
	copied := maps.Clone(included)
	if copied == nil {
		copied = map[string]*Channel{}
	}
	copied[name] = c
	return copied
}
