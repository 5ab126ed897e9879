package release

import (
	"fmt"
	"time"
)

// skew is how far the clocks of a publisher and of a machine may be apart.
const skew = 24 * time.Hour

// Clock is what an installation knows about the time: its own clock, which anybody who runs the machine can set, and
// dates that somebody signed. All fields but Wall may be zero.
type Clock struct {
	Wall  time.Time // the machine's clock
	Floor time.Time // the highest signed date accepted before
	Built time.Time // when the running program was built
}

// Now returns the time to judge expiry by: a clock that was set back does not make an expired document good again.
func (c Clock) Now() time.Time {
	now := c.Wall
	for _, t := range []time.Time{c.Floor, c.Built} {
		if t.After(now) {
			now = t
		}
	}
	return now
}

// plausible reports whether the clock says anything: one that stands before the build date of the program that reads it
// was never set (no battery).
func (c Clock) plausible() bool { return !c.Wall.Before(c.Built) }

// Behind reports by how much the wall clock is behind what is known for certain; more than a day deserves an event.
func (c Clock) Behind() time.Duration { return c.Now().Sub(c.Wall) }

// Fresh reports whether a document with these dates may be believed now: nil, ErrExpired or ErrFuture. A date beyond
// tomorrow is refused because it would raise the floor so far that every honest document after it looked expired.
func (c Clock) Fresh(issued, expires time.Time) error {
	if c.plausible() && issued.After(c.Wall.Add(skew)) {
		return fmt.Errorf("%w: issued %s, and this machine's clock says %s: correct the clock if it is wrong; otherwise the publisher's clock is, or a stolen key was used",
			ErrFuture, stamp(issued), stamp(c.Wall))
	}
	if now := c.Now(); !now.Before(expires) {
		return fmt.Errorf("%w: %s ago, on %s: the publisher has stopped refreshing it, or someone between here and there serves an old copy",
			ErrExpired, now.Sub(expires).Round(time.Second), stamp(expires))
	}
	return nil
}

// Raise returns the floor after a document that was issued then and was accepted in full: never lower than before,
// never more than a day ahead of a plausible wall clock, and never raised by the wall clock itself.
func (c Clock) Raise(issued time.Time) time.Time {
	if top := c.Wall.Add(skew); c.plausible() && issued.After(top) {
		issued = top
	}
	if issued.After(c.Floor) {
		return issued
	}
	return c.Floor
}

// Fresh judges the dates of the channel document by the clock.
func (c *Channel) Fresh(clock Clock) error {
	if err := clock.Fresh(c.Issued, c.Expires); err != nil {
		return fmt.Errorf("channel %s of %s, sequence %d: %w", c.Name, c.App, c.Sequence, err)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
