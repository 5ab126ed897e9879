package catalog

import (
	"fmt"
	"time"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Client is one installation: the app and channel that it follows, and what it was built with. It must not change
// once it is in use.
type Client struct {
	App     string
	Channel string
	Root    *verify.Trust // what the client was built with
	Built   time.Time     // when; a floor for the clock
}

// Join returns what two memories of the same client know together: the higher of each value. What only signers have
// vouched for who were replaced since is dropped, or a leaked key that signed the highest sequence and the latest
// date would outlive its replacement. If what is remembered does not belong to this client, a is returned as it is;
// Look says why.
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
	for name, c := range b.Included {
		if c.after(joined.Included[name]) {
			joined.Included = with(joined.Included, name, c)
		}
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

// inForce returns the trust document that m and what the client was built with lead to. lost says why the remembered
// one does not count.
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

// Known opens the channel document that is remembered, with those that it includes, by the keys that are in force; nil
// if there is none that still counts.
func (c *Client) Known(m Memory) *release.Channel {
	trust, _, err := c.inForce(m)
	if err != nil || m.Channel == nil {
		return nil
	}
	known, err := release.OpenChannel([]byte(m.Channel.File), trust.Channel, c.App, c.Channel)
	if err != nil {
		return nil
	}
	for _, name := range known.Includes {
		other := m.Included[name]
		if other == nil {
			continue
		}
		if opened, err := release.OpenChannel([]byte(other.File), trust.Channel, c.App, name); err == nil {
			if all, err := known.Including(opened); err == nil {
				known = all
			}
		}
	}
	return known
}
