package restart

import (
	"fmt"
	"time"
)

// Phase is where a process stands between its start and its end.
type Phase uint8

const (
	Starting    Phase = iota // Run was not called yet: nothing is accepted
	Probation                // a new process serves, and its predecessor stands by
	Returning                // a new process that has to leave gives its connections back
	Serving                  // in service
	HandingOver              // in service, and the new process is starting
	StandingBy               // the new process serves on probation; this one keeps the connections it has
	Recalling                // the new process was told to go, or is going; this one serves again
	Draining                 // another process serves, or the program stops: finishing what was begun
	Stopped                  // Run has returned, or is about to
)

var phaseNames = [...]string{"starting", "probation", "returning", "serving", "handing over", "standing by", "recalling", "draining", "stopped"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// MarshalText makes a Phase readable in JSON.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Ready says whether a process in this phase should get traffic.
func (p Phase) Ready() bool {
	switch p {
	case Probation, Serving, HandingOver, StandingBy, Recalling:
		return true
	}
	return false
}

// Status is a snapshot of a Restarter, for an endpoint or a log.
type Status struct {
	Phase       Phase     `json:"phase"`
	Since       time.Time `json:"since"` // when the phase began
	PID         int       `json:"pid"`
	Ready       bool      `json:"ready"`                // false before Run, from the stop signal on, and while draining
	Successor   int       `json:"successor,omitzero"`   // process id of the new process, once it has said hello
	Predecessor bool      `json:"predecessor,omitzero"` // the process before this one has not exited yet
	Failed      int       `json:"failed,omitzero"`      // handovers from this process that did not succeed
	Error       string    `json:"error,omitzero"`       // why the last of them did not
	Unsupported string    `json:"unsupported,omitzero"` // why this process cannot hand over at all
}

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
