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
	ID      content.ID  `json:"id"`    // of what describes the release: another one with that version is as old as it is here
	First   time.Time   `json:"first"` // when it was seen first, by the clock of then
	Age     float64     `json:"age"`   // seconds that have gone by from First until Last
	Last    Observation `json:"last"`

	Unknown jsontext.Value `json:",embed"`
}

// Observation is a moment, by both clocks of a machine.
type Observation struct {
	Wall time.Time `json:"wall"`          // not before any date that was signed already
	Boot string    `json:"boot,omitzero"` // which start of the machine it is; "" if it does not tell
	Up   float64   `json:"up,omitzero"`   // seconds since then, those that it slept included
}

// since is how many seconds went by from o until now. Between two starts of the machine only the clock on the wall
// knows.
func (o Observation) since(now Observation) float64 {
	if now.Boot != "" && now.Boot == o.Boot {
		return max(0, now.Up-o.Up)
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
		if d := known.Last.since(now); d >= 3600 || now.Boot != known.Last.Boot {
			// A clock that was set back since would count the same time twice.
			wall := known.Last.Wall.Add(time.Duration(d * float64(time.Second)))
			known.Age, known.Last = known.Age+d, now
			if wall.After(now.Wall) {
				known.Last.Wall = wall
			}
		}
		seen = append(seen, known)
	}
	s.Sights = seen
}
