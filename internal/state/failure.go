package state

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/text"
)

// Failure is what is remembered of a version that failed here. It fades: the longer it has been left alone, and the more
// rarely it failed, the sooner it gets another chance.
type Failure struct {
	Reason text.Line `json:"reason"`
	At     time.Time `json:"at"` // when it failed last
	ByHand bool      `json:"by_hand,omitzero"`
	// Judged says whose fault the last failure was. In states of before it is zero: the release's.
	Judged blame.Judgement `json:"judged,omitzero"`
	// Steps is how many failures count against it, Served how many of them came after it had accepted connections.
	Steps  int `json:"steps,omitzero"`
	Served int `json:"served,omitzero"`
	// Recent are the failures of a day that are not known to be its fault.
	Recent []time.Time `json:"recent,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

const (
	// unproved is how many failures within a day count against a release, whoever was to blame: nothing is exempt for
	// ever.
	unproved = 3
	day      = 24 * time.Hour
)

// waits are the times for which a release is left alone, one for each failure that counts; from then on the last.
var waits = [...]time.Duration{time.Hour, 4 * time.Hour, day, 3 * day, 7 * day}

// CriticalWait is the first wait of a release that is critical.
const CriticalWait = 5 * time.Minute

// Fail records that a version failed. A stop is nobody's failure.
func (s *State) Fail(version string, why text.Line, j blame.Judgement, now time.Time) {
	if j.Fault == blame.Stop {
		return
	}
	old := s.Failed[version]
	f := Failure{Reason: why, At: now, Judged: j, Steps: old.steps(), Served: old.Served, Unknown: old.Unknown}
	if j.Fault == blame.Release {
		f.Steps++
		if j.Served {
			f.Served++
		}
	} else {
		for _, at := range old.Recent {
			if age := now.Sub(at); age >= 0 && age < day {
				f.Recent = append(f.Recent, at)
			}
		}
		for range max(1, j.Attempts) {
			f.Recent = append(f.Recent, now)
		}
		if n := len(f.Recent); n > unproved {
			f.Recent = f.Recent[n-unproved:]
		}
		if f.Steps > 0 || len(f.Recent) == unproved {
			f.Steps++
		}
	}
	if s.Failed == nil {
		s.Failed = map[string]Failure{}
	}
	s.Failed[version] = f
}

func (f Failure) steps() int {
	if f.Judged.Fault == "" && !f.ByHand && !f.At.IsZero() {
		return max(f.Steps, 1) // of a state of before
	}
	return f.Steps
}

// Unproved reports whether the release is left alone although nobody knows that it is to blame: it had chances enough.
func (f Failure) Unproved() bool {
	return f.steps() > 0 && f.Judged.Fault != "" && f.Judged.Fault != blame.Release
}

// Wait returns for how long after At the release is left alone: 0 if it is not, and named if only naming it ends that.
func (f Failure) Wait() (d time.Duration, named bool) {
	n := f.steps()
	switch {
	case f.ByHand, f.Judged.Wrong, f.Served > 1:
		return 0, true
	case n == 0:
		return 0, false
	}
	d = waits[min(n, len(waits))-1]
	if f.Served > 0 {
		d = max(d, day)
	}
	return d, false
}

// Waits reports whether the release is left alone at a time. A clock that was set back behind At makes no wait longer.
func (f Failure) Waits(now time.Time, critical bool) bool {
	d, named := f.Wait()
	if named {
		return true
	}
	if critical && f.steps() == 1 {
		d = min(d, CriticalWait)
	}
	return now.Before(f.At.Add(d)) && !now.Before(f.At)
}
