package restart

import (
	"os"
	"time"
)

// Event is something that an operator may want to see.
type Event struct {
	Time  time.Time
	Name  string // see the constants below
	Phase Phase  // after the event
	PID   int    // the other process concerned, if known
	Err   error
	Text  string // a sentence
}

// Names of events.
const (
	EventPhase     = "phase"     // the phase has changed
	EventProved    = "proved"    // this process has passed its probation; in the old process: its successor has
	EventFailed    = "failed"    // a handover failed, this process serves on
	EventUndone    = "undone"    // the functions of OnFailure have run; Err is theirs
	EventCut       = "cut"       // the drain ended at its limit and Text names what it cut
	EventDowngrade = "downgrade" // a mechanism is not available and a lesser one takes its place
)

func (r *Restarter) event(e Event) {
	r.eventMu.Lock()
	defer r.eventMu.Unlock()
	e.Time, e.Phase = time.Now(), r.Phase()
	log := r.opts.Logger.Info
	if e.Err != nil || e.Name == EventCut || e.Name == EventDowngrade {
		log = r.opts.Logger.Warn
	}
	args := []any{"event", e.Name, "phase", e.Phase.String(), "pid", os.Getpid()}
	if e.PID != 0 && e.PID != os.Getpid() {
		args = append(args, "other", e.PID)
	}
	if e.Err != nil {
		args = append(args, "error", e.Err)
	}
	log("restart: "+e.Text, args...)
	if r.opts.Event != nil {
		r.opts.Event(e)
	}
}
