package publisher

import (
	"context"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
)

// A Change is what an amendment does to the entry of a release. It returns in words what it did.
type Change func(c *release.Channel, e *release.Entry, now time.Time) (said string, err error)

// Amend changes what a channel says about a release that it offers already. It takes a channel key only: a channel can
// withhold and reorder, never introduce code.
func (p *Publisher) Amend(ctx context.Context, channel string, v *semver.Version, lifetime time.Duration, change Change) (ChannelReport, string, error) {
	old, err := p.base(ctx, channel)
	if err != nil {
		return ChannelReport{}, "", err
	}
	if old.Channel == nil {
		there, err := p.channels(ctx)
		if err == nil {
			err = noChannel(channel, there)
		}
		return ChannelReport{}, "", err
	}
	next := old.next(channel)
	entry := next.Entry(v)
	if entry == nil {
		return ChannelReport{}, "", ui.Fail(ui.ExitError, "channel %s does not list %s: it lists %s", channel, v, strings.Join(Versions(old.Channel), ", "))
	}
	said, err := change(next, entry, p.now)
	if err != nil {
		return ChannelReport{}, "", err
	}
	if err := p.put(ctx, next, old, old.lifetime(lifetime)); err != nil {
		return ChannelReport{}, "", err
	}
	return reportChannel(next, true), said, nil
}

// Versions are the versions that a channel lists, newest first.
func Versions(c *release.Channel) []string {
	var v []string
	for _, e := range c.Entries {
		v = append(v, e.Version.String())
	}
	return v
}
