package restart

import (
	"log/slog"
	"os"
	"time"
)

// Kind names what an Event is about.
type Kind string

// The kinds of events.
const (
	EventPhase     Kind = "phase"     // the phase has changed
	EventProved    Kind = "proved"    // this process has passed its probation; in the old process: its successor has
	EventFailed    Kind = "failed"    // a handover failed, and this process serves on
	EventUndone    Kind = "undone"    // the functions of OnFailure have run; Err is theirs
	EventCut       Kind = "cut"       // the drain ended at its limit, and Text names what it cut
	EventPaused    Kind = "paused"    // nobody served for a time, which Text names, because of Options.Exclusive
	EventDowngrade Kind = "downgrade" // a mechanism is not available, and a lesser one takes its place

	// EventSurroundings comes before the first handover if nobody is known to follow the service; see [Survey].
	EventSurroundings Kind = "surroundings"
)

// Event is something that an operator may want to see.
type Event struct {
	Time  time.Time
	Kind  Kind
	Phase Phase // after the event
	PID   int   // the other process concerned, 0 if there is none or it is not known
	Err   error
	Text  string // a sentence
}

// event logs e, without waiting, with the keys event, phase, pid and err, and passes it to OnEvent.
func (r *Restarter) event(e Event) {
	r.eventMu.Lock()
	defer r.eventMu.Unlock()
	e.Time, e.Phase = time.Now(), r.Phase()
	level := slog.LevelInfo
	if e.Err != nil || e.Kind == EventCut || e.Kind == EventDowngrade || e.Kind == EventSurroundings {
		level = slog.LevelWarn
	}
	args := []any{"event", string(e.Kind), "phase", e.Phase.String(), "pid", os.Getpid()}
	if e.PID != 0 && e.PID != os.Getpid() {
		args = append(args, "other", e.PID)
	}
	if e.Err != nil {
		args = append(args, "err", e.Err)
	}
	r.log.log(e.Time, level, e.Text, args...)
	if r.opts.OnEvent != nil {
		r.opts.OnEvent(e)
	}
}
