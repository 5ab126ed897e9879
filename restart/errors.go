package restart

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrBusy: a handover is under way already, or waits for its turn.
	ErrBusy = errors.New("restart: a handover is under way")

	// ErrNotRunning: Handover was called before Run, or after its end.
	ErrNotRunning = errors.New("restart: Handover works only while Run does")

	// ErrStopped: the handover was called off by an announced stop (a signal to either process, or the end of a
	// context). It says nothing against the new version, and so it is a context.Canceled for errors.Is: whoever
	// undoes an update because of it should not remember the version as bad.
	ErrStopped = fmt.Errorf("stopped before the new process had proved itself (%w)", context.Canceled)
)

// HandoverError is why a handover did not succeed. This process serves on, or stops if that is what was asked.
type HandoverError struct {
	PID   int   // of the new process, 0 if it never said hello
	Phase Phase // HandingOver: before the new process served; StandingBy: during its probation
	Err   error // the cause; wraps ErrStopped if it was an announced stop
}

func (e *HandoverError) Error() string {
	who := "the new process"
	if e.PID != 0 {
		who = fmt.Sprintf("the new process %d", e.PID)
	}
	when := "did not start to serve"
	if e.Phase == StandingBy {
		when = "did not pass its probation"
	}
	return fmt.Sprintf("restart: %s %s: %v", who, when, e.Err)
}

func (e *HandoverError) Unwrap() error { return e.Err }
