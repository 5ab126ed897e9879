package restart

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrBusy: a handover is under way already, or waits for its turn. Like ErrCalledOff it is a context.Canceled.
	ErrBusy error = blameless("restart: a handover is under way")

	// ErrNotRunning: Handover was called before Run, or after its end. Like ErrCalledOff it is a context.Canceled.
	ErrNotRunning error = blameless("restart: Handover works only while Run does")

	// ErrCalledOff: the handover ended for a reason that says nothing against the new version: an announced stop (a
	// signal to either process, the end of a context), or something about this process or machine (its working
	// directory was deleted, no descriptors are left). It is a context.Canceled for errors.Is, so that a package
	// which does not import this one can tell: whoever undoes an update because of it should not remember the
	// version as bad.
	ErrCalledOff = fmt.Errorf("called off (%w)", context.Canceled)
)

// HandoverError is why a handover did not succeed. This process serves on, or stops if that is what was asked.
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
	if e.Phase == StandingBy {
		when = "did not pass its probation"
	}
	return fmt.Sprintf("restart: %s %s: %v", who, when, e.Err)
}

func (e *HandoverError) Unwrap() error { return e.Err }

// blameless is an error that says nothing against the version that should have been started.
type blameless string

func (b blameless) Error() string        { return string(b) }
func (b blameless) Is(target error) bool { return target == context.Canceled }

// errTold is the cause when a stop was announced.
var errTold = calledOff(errors.New("told to stop before the new process had proved itself"))

// calledOff is err as a reason for which no version is to blame.
func calledOff(err error) error { return fmt.Errorf("%w: %w", ErrCalledOff, err) }

// blame is tableflip's error of an upgrade, which has no types, as a cause. A process that ended by one of the signals
// that people and terminals send was told to, before it could catch them.
func blame(err error) error {
	for _, s := range []string{"hangup", "interrupt", "terminated"} {
		if strings.HasSuffix(err.Error(), "signal: "+s) {
			return calledOff(err)
		}
	}
	return err
}
