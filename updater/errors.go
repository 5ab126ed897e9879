package updater

import (
	"errors"
	"fmt"

	"github.com/theseus-go/theseus/internal/blame"
)

// The sentinels are what a caller or an operator would branch on; the text of the error around them names the attack
// or the fault and what to do next.
var (
	// ErrRefused: what was served is not a valid, current document for this program, or its bytes are not the signed
	// ones. Exit code 4.
	ErrRefused = errors.New("refused by verification")
	// ErrUnreachable: no source answered. Exit code 5.
	ErrUnreachable = errors.New("source unreachable")
	// ErrNothing: there is a newer release, but none that this machine may install now. Exit code 3.
	ErrNothing = errors.New("nothing that this machine may install")
	// ErrHeld: a release is verified and ready, and one of Options.Gates holds it back; errors.As finds the *Held that says
	// why. Exit code 3.
	ErrHeld = errors.New("held back for now")
	// ErrPermission: this process may not replace its executable. Exit code 6.
	ErrPermission = errors.New("no permission to update")
	// ErrBusy: another update of this program is running, and still was after the 5 seconds that a person's request
	// waits. A download is no reason: it gives way, unless a person waits for it who has asked for an update too.
	// Exit code 7.
	ErrBusy = errors.New("another update is running")
	// ErrUndone: the release was refused by its probe, or was installed, failed to start and was undone. Exit code 8.
	ErrUndone = errors.New("the release failed and is not installed")
	// ErrInconclusive is wrapped by a probe that could not decide: the release is not installed now, and tried again
	// later, without another download. After three such ends within a day it is left alone for a while.
	ErrInconclusive error = undecided("probe was inconclusive")
	// ErrOff: this Updater does nothing, because of where the program runs or what it was built as. Status.Off says why.
	ErrOff = errors.New("updates are off")
	// ErrRestart is returned by Run when a release was installed and there is no Options.Restart: main should exit
	// with a code its service manager restarts on.
	ErrRestart = errors.New("installed; restart to run it")
)

// undecided is an error that blames nobody.
type undecided string

func (u undecided) Error() string { return string(u) }
func (u undecided) Blame() string { return string(blame.Unknown) }

// Error is every error that an update returns: where it stopped, for which version ("" if none was chosen yet), and
// why.
type Error struct {
	Step    Step
	Version string
	Err     error
}

func (e *Error) Error() string {
	if e.Version != "" {
		return fmt.Sprintf("updater: %s %s: %v", e.Step, e.Version, e.Err)
	}
	return fmt.Sprintf("updater: %s: %v", e.Step, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// cause drops the step from an error.
func cause(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Step is a step of an update, in the gerund that error texts and status use.
type Step string

// The steps in which an update goes.
const (
	StepIdle        Step = "idle"
	StepChecking    Step = "checking"
	StepPlanning    Step = "planning"
	StepDownloading Step = "downloading"
	StepProbing     Step = "probing"
	StepWaiting     Step = "waiting" // asking Options.Gates
	StepSwapping    Step = "swapping"
	StepRestarting  Step = "restarting"
	StepUndoing     Step = "undoing"
	StepRollingBack Step = "rolling back"
	StepSettling    Step = "settling"
)
