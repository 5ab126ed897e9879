package restart

import (
	"fmt"
	"time"
)

// Phase is where a process stands between its start and its end.
type Phase uint8

const (
	PhaseStarting    Phase = iota // Run was not called yet: nothing is accepted
	PhaseWaiting                  // Options.Exclusive: a process waits for what is exclusive; nothing is accepted yet
	PhaseProbation                // a new process serves, and its predecessor stands by
	PhaseReturning                // a new process that has to leave gives its connections back
	PhaseServing                  // in service
	PhaseHandingOver              // in service, and the new process is starting
	PhaseYielding                 // Options.Exclusive: finishing requests and letting go, so that the new process can serve
	PhaseStandingBy               // the new process serves on probation; this one keeps the connections it has
	PhaseRecalling                // the new process was told to go, or is going; this one serves again
	PhaseDraining                 // another process serves, or the program stops: finishing what was begun
	PhaseStopped                  // Run has returned, or is about to
)

var phaseNames = [...]string{"starting", "waiting", "probation", "returning", "serving", "handing over", "yielding", "standing by", "recalling",
	"draining", "stopped"}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// MarshalText makes a Phase readable in JSON.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Ready reports whether a process in this phase should get traffic.
func (p Phase) Ready() bool {
	switch p {
	case PhaseProbation, PhaseServing, PhaseHandingOver, PhaseStandingBy, PhaseRecalling, PhaseYielding:
		return true
	}
	return false
}

// Status is a snapshot of a Restarter, for an endpoint or a log.
type Status struct {
	Phase        Phase     `json:"phase"`
	Since        time.Time `json:"since"` // when the phase began
	PID          int       `json:"pid"`
	Ready        bool      `json:"ready"`                 // false before Run, from the stop signal on, and while draining
	Successor    int       `json:"successor,omitzero"`    // process id of the new process, once it has said hello
	Predecessor  bool      `json:"predecessor,omitzero"`  // the process before this one has not exited yet
	Failed       int       `json:"failed,omitzero"`       // handovers from this process that did not succeed
	Error        string    `json:"error,omitzero"`        // why the last of them did not
	Anchor       bool      `json:"anchor,omitzero"`       // the process that was started keeps its process id, and stands apart
	Unsupported  string    `json:"unsupported,omitzero"`  // why this process cannot hand over at all
	Surroundings string    `json:"surroundings,omitzero"` // who follows the service, or does not: see [Survey]
}
