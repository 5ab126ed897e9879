package state

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/theseus-go/theseus/internal/content"
)

// Sight is for how long an installation has known a release. It is a sum of what went by, and not the time since a date:
// clocks are set, also by years on a machine whose clock has no battery.
type Sight struct {
	Version string      `json:"version"`
	ID      content.ID  `json:"id"`             // of what describes the release: another one with that version is as old as it is here
	First   time.Time   `json:"first,omitzero"` // when it was seen first, by the clock of then
	Age     float64     `json:"age"`            // seconds that have gone by from First until Last
	Last    Observation `json:"last"`

	Unknown jsontext.Value `json:",embed"`
}

// Observation is a moment, by both clocks of a machine.
type Observation struct {
	Wall time.Time `json:"wall,omitzero"` // zero if that clock is known to be wrong
	Boot string    `json:"boot,omitzero"` // which start of the machine it is; "" if it does not tell
	Up   float64   `json:"up,omitzero"`   // seconds since then, those that it slept included
}

// since is how many seconds went by from o until now. Between two starts of the machine only the clock on the wall
// knows.
func (o Observation) since(now Observation) float64 {
	if now.Boot != "" && now.Boot == o.Boot {
		return max(0, now.Up-o.Up)
	}
	if o.Wall.IsZero() || now.Wall.IsZero() {
		return 0
	}
	return max(0, now.Wall.Sub(o.Wall).Seconds())
}

// AgeAt is how old the release is at a moment.
func (s Sight) AgeAt(now Observation) time.Duration {
	return time.Duration((s.Age + s.Last.since(now)) * float64(time.Second))
}

// maxSights caps how many releases are known. Those that are listed first are kept.
const maxSights = 64

// See notes that these releases, and no others, are newer than what is installed: versions and ids of the sights count.
// That time has gone by is worth a write once an hour only.
func (s *State) See(listed []Sight, now Observation) {
	var seen []Sight
	for _, l := range listed[:min(len(listed), maxSights)] {
		i := slices.IndexFunc(s.Sights, func(k Sight) bool { return k.Version == l.Version && k.ID == l.ID })
		if i < 0 {
			l.First, l.Last = now.Wall, now
			seen = append(seen, l)
			continue
		}
		known := s.Sights[i]
		d := known.Last.since(now)
		switch last := known.Last; {
		case now.Boot != last.Boot && now.Wall.IsZero() && !last.Wall.IsZero():
			// How long the machine was off is known once its clock is.
		case d >= 3600, now.Boot != last.Boot, last.Wall.IsZero() && !now.Wall.IsZero():
			known.Age, known.Last = known.Age+d, now
			// A clock that was set back since would count the same time twice.
			if wall := last.Wall.Add(time.Duration(d * float64(time.Second))); !last.Wall.IsZero() && wall.After(now.Wall) {
				known.Last.Wall = wall
			}
		}
		seen = append(seen, known)
	}
	s.Sights = seen
}
