package restart

import (
	"context"
	"errors"
	"fmt"

	"github.com/theseus-go/theseus/internal/blame"
)

var (
	// ErrBusy means that a handover is under way already, or waits for its turn. Like ErrCalledOff it is a context.Canceled.
	ErrBusy error = blameless("restart: a handover is under way")

	// ErrNotRunning means that Handover was called before Run, or after its end. Like ErrCalledOff it is a context.Canceled.
	ErrNotRunning error = blameless("restart: Handover works only while Run does")

	// ErrCalledOff means that the handover ended for a reason that says nothing against the new version: an announced stop (a
	// signal to this process, the end of a context), or something about this process or machine (its working
	// directory was deleted, no descriptors are left). It is a context.Canceled for errors.Is, so that a package
	// which does not import this one can tell: whoever undoes an update because of it should not remember the
	// version as bad.
	ErrCalledOff = fmt.Errorf("called off (%w)", context.Canceled)
)

// A HandoverError tells why a handover did not succeed. This process serves on, or stops if that is what was asked.
type HandoverError struct {
	PID   int   // of the new process, 0 if it never said hello
	Phase Phase // HandingOver: before the new process served; StandingBy: during its probation
	Err   error // the cause; wraps ErrCalledOff if it says nothing against the new version
}

func (e *HandoverError) Error() string {
	who := "the new process"
	if e.PID != 0 {
		who = fmt.Sprintf("the new process %d", e.PID)
	}
	when := "did not start to serve"
	if e.Phase == PhaseStandingBy {
		when = "did not pass its probation"
	}
	return fmt.Sprintf("restart: %s %s: %v", who, when, e.Err)
}

func (e *HandoverError) Unwrap() error { return e.Err }

// Blame says whose fault it is: "release" of the new version, "machine" where something was used up (descriptors,
// processes, memory, processor time), "stop" if somebody has called it off, and "unknown" where a signal or a silence may
// have come from outside. It is for whoever undoes an update, who need not import this package to ask.
func (e *HandoverError) Blame() string {
	fault := blame.Of(e.Err)
	if fault == blame.Release { // what tableflip and the new process say has no type
		fault = blame.OfText(e.Err.Error())
	}
	return string(fault)
}

// Served reports whether the new process had begun to accept connections.
func (e *HandoverError) Served() bool { return e.Phase == PhaseStandingBy }

// blameless is an error that says nothing against the version that should have been started.
type blameless string

func (b blameless) Error() string        { return string(b) }
func (b blameless) Is(target error) bool { return target == context.Canceled }

// errTold is the cause of a failure when a stop was announced.
var errTold = stopped(errors.New("told to stop before the new process had proved itself"))

// errLeft is the cause of a failure when the new process was told to stop and this one was not. It may have told itself.
var errLeft = blame.As(blame.Unknown, errors.New("the new process was told to stop, by a signal that is not from this one"))

// calledOff marks err as something about this process or machine, for which no version is to blame.
func calledOff(err error) error {
	return fmt.Errorf("%w: %w", ErrCalledOff, blame.As(blame.Machine, err))
}

// stopped marks err as somebody's wish.
func stopped(err error) error { return fmt.Errorf("%w: %w", ErrCalledOff, blame.As(blame.Stop, err)) }
