package updater

import (
	"errors"
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

// heldLong is how long updates may be held back before that is worth an alarm.
const heldLong = 7 * 24 * time.Hour

// noteHold tells, and remembers, that a gate holds an update back, or that none does any more. A check that came to no
// end says nothing about that.
func (j *job) noteHold(err error) {
	h, at := (*Held)(nil), (*Error)(nil)
	switch {
	case errors.As(err, &h) && errors.As(err, &at):
	case err == nil, errors.Is(err, ErrNothing), errors.Is(err, ErrUndone):
		j.endHold()
		return
	default:
		return
	}
	now, version := j.now().UTC(), at.Version
	hold := &state.Hold{Version: version, Kind: h.Kind, Reason: text.Of(h.Reason), Since: now}
	if old := j.held.State().Hold; old != nil {
		hold.Since, hold.Unknown = old.Since, old.Unknown
		if old.Version == version && old.Kind == hold.Kind {
			hold.Reason = old.Reason // an idle poll writes nothing
		}
	}
	if err := j.held.Change(func(st *state.State) { st.Hold = hold }); err != nil {
		j.log.Warn("remembering that an update is held back", "err", err)
	}
	shown := &Hold{Version: version, Kind: h.Kind, Reason: h.Reason, Since: hold.Since}
	if h.After > 0 {
		shown.Next = now.Add(h.After)
	}
	j.set(func(s *Status) { s.Held = shown })
	j.events.raiseAs(EventHeld, version+" "+h.Kind, Event{Version: version, Text: "a release is held back", Err: h})
	if now.Sub(hold.Since) > heldLong {
		j.events.raiseAs(EventHeldLong, "", Event{Version: version, Err: h,
			Text: fmt.Sprintf("updates have been held back since %s", hold.Since.Format(time.DateOnly))})
	}
}

// endHold tells and remembers that nothing is held back.
func (j *job) endHold() {
	if err := j.held.Change(func(st *state.State) { st.Hold = nil }); err != nil {
		j.log.Warn("remembering that nothing is held back", "err", err)
	}
	j.set(func(s *Status) { s.Held = nil })
	j.events.clear(EventHeld, EventHeldLong)
}

// spread is by how much clients at most come later than a gate says, so that not all of them come as a window opens.
const spread = time.Minute

// untilNext is how long the interval waits after an update ended like that: about the interval, but not past the moment
// at which a gate opens, which may be the only one of a week.
func untilNext(err error, interval time.Duration, random func() float64) time.Duration {
	d := fetch.Jitter(interval, random)
	if h := (*Held)(nil); errors.As(err, &h) && h.After > 0 {
		after := max(time.Second, h.After)
		d = min(d, after+time.Duration(random()*float64(min(spread, after/5))))
	}
	return d
}
