package state

import (
	"time"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/text"
)

// The steps a journal names.
const (
	Swap     = "swap"     // an update: From is what ran, To the new release
	Undo     = "undo"     // a release that did not prove itself: To is the kept file
	Rollback = "rollback" // the same, because a person asked
)

// Outcome is how an interrupted step ends.
type Outcome int

const (
	// Abandoned: the step had changed nothing at the path, and it is not tried again by itself.
	Abandoned Outcome = iota
	// Finished: the file at the path is what the step was to bring.
	Finished
	// Foreign: the file at the path is neither; somebody has deployed by hand, and that counts.
	Foreign
	// Stuck: an undo cannot be done, because the kept file is missing or damaged; the release that it was to take away
	// stays, because it is the only executable there is. Worth an alarm.
	Stuck
	// Lost: there is no executable at the path and no kept file to put there. Worth an alarm, and a person.
	Lost
)

func (o Outcome) String() string {
	return [...]string{"abandoned", "finished", "foreign", "stuck", "lost"}[o]
}

// Verdict is what to do about an interrupted step.
type Verdict struct {
	Outcome Outcome
	// Restore is the kept file to put at the path first (Target.Restore); nil if the path is as it shall be. If that
	// fails, nothing may be recorded: the journal stays, and the next one who settles tries again.
	Restore *File
	// At is the file at the path then; nil if it is Foreign or Lost.
	At *File
}

// Settle decides how the step in the journal ends. at identifies the file at the path, kept the kept file that would take
// its place (Journal.Kept says which); the zero ID means that there is none, or that its bytes are not what they should be.
//
// It rests on three invariants, kept by whoever works under the lock:
//
//  1. The journal is synced before the step begins, and removed, together with the record of the outcome, in one synced
//     write after it. So whatever an interruption left is described by the journal, or nothing was left.
//  2. A swap keeps From (a synced hard link, named by its content) before it renames To over the path. So while a journal
//     names them, From or To is at the path, or, only where a running file must be moved aside, From is kept.
//  3. Kept files are removed only after a state that does not name them was synced.
//
// The journal says what was intended, the hashes say what is. A swap that was interrupted before its rename is abandoned,
// not finished: the next update starts anew and checks everything again. An undo that was decided is carried out. An unknown
// step of a newer version is judged like a swap: what is at the path counts.
func Settle(j Journal, at, kept content.ID) Verdict {
	restorable := kept != content.ID{} && kept == j.Kept().ID
	switch at {
	case j.To.ID:
		return Verdict{Outcome: Finished, At: &j.To}
	case j.From.ID:
		switch {
		case !j.back():
			return Verdict{Outcome: Abandoned, At: &j.From}
		case restorable:
			return Verdict{Outcome: Finished, Restore: &j.To, At: &j.To}
		default:
			return Verdict{Outcome: Stuck, At: &j.From}
		}
	case content.ID{}:
		switch {
		case restorable && j.back():
			return Verdict{Outcome: Finished, Restore: &j.To, At: &j.To}
		case restorable:
			return Verdict{Outcome: Abandoned, Restore: &j.From, At: &j.From}
		default:
			return Verdict{Outcome: Lost}
		}
	default:
		return Verdict{Outcome: Foreign}
	}
}

func (j *Journal) back() bool { return j.Step == Undo || j.Step == Rollback }

// Kept is the kept file on which settling may depend: where an undo leads to, what a swap came from.
func (j *Journal) Kept() File {
	if j.back() {
		return j.To
	}
	return j.From
}

// Settle records the verdict and removes the journal. What was at the path before is handled as by a step that was not
// interrupted: see Swapped and Undone. It changes only s; the caller saves.
func (s *State) Settle(v Verdict, now time.Time) {
	j := s.Journal
	s.Journal = nil
	if j == nil {
		return
	}
	switch {
	case v.Outcome == Foreign, v.Outcome == Lost:
		s.Installed = nil
	case v.Outcome == Finished && j.back():
		s.Undone(*j, now)
	case v.Outcome == Finished:
		s.Swapped(*j)
	case v.At != nil:
		s.Installed = v.At
	}
}

// Swapped records that j, a swap, is done: To is installed and not proved, and From is where a rollback leads if it is
// proved. A file that is not never displaces one that is.
func (s *State) Swapped(j Journal) {
	s.Journal = nil
	s.Installed = &j.To
	s.begin(j, j.Trigger)
	if !j.From.Proved || j.From.ID == j.To.ID {
		return
	}
	if s.Previous != nil && s.Previous.ID != j.From.ID && s.Previous.ID != j.To.ID {
		s.Older = append([]*File{s.Previous}, s.Older...)
	}
	s.Previous = &j.From
}

// Undone records that j, an undo or a rollback, is done: To is installed, From is on the failed list unless the journal names
// no cause (a stop that was announced is nobody's failure), and a rollback after it leads to the next older file.
func (s *State) Undone(j Journal, now time.Time) {
	s.Journal = nil
	s.Installed = &j.To
	if j.Step == Rollback {
		s.settleTrial(j.From.Version, RolledBack, text.Of("left by hand"), now)
		s.Ended(Move{At: now, From: j.From.Version, To: j.To.Version, Trigger: "person", Result: RolledBack})
	} else {
		s.end(j.From.Version, WasUndone, j.Cause, now)
	}
	if !j.Cause.IsZero() {
		judged := j.Judged
		if judged.Fault == "" {
			judged.Fault = blame.Release // a journal of before
		}
		s.Fail(j.From.Version, j.Cause, judged, now)
		if f, ok := s.Failed[j.From.Version]; ok && j.Step == Rollback {
			f.ByHand = true
			s.Failed[j.From.Version] = f
		}
	}
	for s.Previous != nil && s.Previous.ID == j.To.ID {
		s.Previous = nil
		if len(s.Older) > 0 {
			s.Previous, s.Older = s.Older[0], s.Older[1:]
		}
	}
}

// Leave puts a version on the failed list because a person went back behind it.
func (s *State) Leave(version string, now time.Time) {
	s.Fail(version, text.Of("left by hand"), blame.Judgement{Fault: blame.Release}, now)
	f := s.Failed[version]
	f.ByHand = true
	s.Failed[version] = f
}

// Trim forgets all but n kept files, at least none; Target.Sweep then removes them.
func (s *State) Trim(n int) {
	if n <= 0 {
		s.Previous, s.Older = nil, nil
	} else if len(s.Older) > n-1 {
		s.Older = s.Older[:n-1]
	}
}
