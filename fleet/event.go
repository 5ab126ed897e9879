package fleet

import "time"

// Event is something that has happened in a group and is in the store: for an audit log, or to tell somebody.
type Event struct {
	Time    time.Time `json:"time"`
	App     string    `json:"app,omitempty"`
	Group   string    `json:"group"`
	Kind    EventKind `json:"event"`
	ID      string    `json:"id,omitempty"`      // of the machine
	Version string    `json:"version,omitempty"` // that it goes to, or that the group goes to
	Reason  string    `json:"reason,omitempty"`  // one line
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	EventBegan   EventKind = "began"   // a version that the group did not go to before
	EventWave    EventKind = "wave"    // a wave is full
	EventEntered EventKind = "entered" // a machine may go
	EventProved  EventKind = "proved"  // it runs the version healthily
	EventStopped EventKind = "stopped" // it has not gone, and nobody is to blame
	EventFailed  EventKind = "failed"  // it went back
	EventLost    EventKind = "lost"    // it has not come back in time, which is a failure
	EventFound   EventKind = "found"   // a lost one has come back well, so it was none
	EventHalted  EventKind = "halted"
	EventResumed EventKind = "resumed"
	EventCleared EventKind = "cleared"
)
