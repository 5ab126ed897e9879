package state_test

import (
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
)

// Age is what went by, whatever is done to the clock on the wall.
func TestSightCountsWhatWentBy(t *testing.T) {
	day0 := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	listed := []state.Sight{{Version: "1.1.0", ID: id("manifest")}}
	type look struct {
		wall time.Duration // since day0, by the clock on the wall
		boot string
		up   time.Duration
		age  time.Duration // that it should have then
	}
	const h, wrong = time.Hour, -1
	for name, looks := range map[string][]look{
		"an ordinary day":                         {{0, "a", h, 0}, {h / 2, "a", 3 * h / 2, h / 2}, {10 * h, "a", 11 * h, 10 * h}, {24 * h, "a", 25 * h, 24 * h}},
		"the clock is set forward by a year":      {{0, "a", h, 0}, {9000 * h, "a", 2 * h, h}, {9001 * h, "a", 3 * h, 2 * h}},
		"the clock is set back by a year":         {{0, "a", h, 0}, {-9000 * h, "a", 2 * h, h}, {-8999 * h, "a", 3 * h, 2 * h}},
		"the machine was off":                     {{0, "a", h, 0}, {2 * h, "a", 3 * h, 2 * h}, {50 * h, "b", 0, 50 * h}, {52 * h, "b", 2 * h, 52 * h}},
		"off, and then the clock stands still":    {{0, "a", h, 0}, {48 * h, "a", 49 * h, 48 * h}, {0, "b", 0, 48 * h}, {49 * h, "c", 0, 49 * h}},
		"no clock until the network sets it":      {{0, "a", 0, 0}, {9000 * h, "a", h, h}, {0, "b", 0, h}, {9002 * h, "b", h, 2 * h}},
		"a machine that does not tell its starts": {{0, "", 0, 0}, {5 * h, "", 0, 5 * h}, {2 * h, "", 0, 5 * h}, {9 * h, "", 0, 9 * h}},
		"a clock that is known to be wrong":       {{0, "a", h, 0}, {5 * h, "a", 6 * h, 5 * h}, {wrong, "b", 0, 5 * h}, {wrong, "b", h, 5 * h}, {40 * h, "b", 2 * h, 40 * h}, {wrong, "c", 0, 40 * h}, {50 * h, "d", 0, 50 * h}},
		"a wrong clock at first":                  {{wrong, "a", h, 0}, {wrong, "a", 5 * h, 4 * h}, {9 * h, "b", 0, 4 * h}, {10 * h, "b", h, 5 * h}},
		"a snapshot of a machine is brought back": {{0, "a", 9 * h, 0}, {h, "a", 10 * h, h}, {h, "a", 5 * h, h}},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.New()
			for i, l := range looks {
				now := state.Observation{Wall: day0.Add(l.wall), Boot: l.boot, Up: l.up.Seconds()}
				if l.wall == wrong {
					now.Wall = time.Time{}
				}
				s.See(listed, now)
				if age := s.Sights[0].AgeAt(now); age != l.age {
					t.Errorf("look %d: the age is %v, want %v", i, age, l.age)
				}
			}
		})
	}
}

// What is not listed any more is forgotten, another release of the same version is another, and an idle hour writes
// nothing.
func TestSightsAreOfWhatIsListed(t *testing.T) {
	now := state.Observation{Wall: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Boot: "a"}
	s := state.New()
	s.See([]state.Sight{{Version: "1.1.0", ID: id("a")}, {Version: "1.2.0", ID: id("b")}}, now)
	before := s.Clone()
	now.Up += 3599
	s.See([]state.Sight{{Version: "1.1.0", ID: id("a")}, {Version: "1.2.0", ID: id("b")}}, now)
	if !s.Equal(before) {
		t.Error("an idle hour writes")
	}
	s.See([]state.Sight{{Version: "1.2.0", ID: id("c")}}, now)
	if len(s.Sights) != 1 || s.Sights[0].AgeAt(now) != 0 {
		t.Errorf("%+v", s.Sights)
	}
	var many []state.Sight
	for range 1000 {
		many = append(many, state.Sight{Version: "1.9.0"})
	}
	if s.See(many, now); len(s.Sights) > 100 {
		t.Errorf("%d are remembered", len(s.Sights))
	}
	if s.See(nil, now); s.Sights != nil {
		t.Errorf("%+v", s.Sights)
	}
}
