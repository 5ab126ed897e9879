package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// The sentinels are what a caller or an operator would branch on; the text of
// the error around them names the attack or the fault and what to do next.
var (
	// ErrRefused: what was served is not a valid, current document for this
	// program, or its bytes are not the signed ones. Exit code 4.
	ErrRefused = errors.New("refused by verification")
	// ErrUnreachable: no source answered. Exit code 5.
	ErrUnreachable = errors.New("source unreachable")
	// ErrNothing: there is a newer release, but none that this machine may
	// install now. Exit code 3.
	ErrNothing = errors.New("nothing that this machine may install")
	// ErrPermission: this process may not replace its executable. Exit code 6.
	ErrPermission = errors.New("no permission to update")
	// ErrBusy: another update of this program is running, and still was after the
	// 5 seconds that a person's request waits. Exit code 7.
	ErrBusy = errors.New("another update is running")
	// ErrUndone: the release was refused by its probe, or was installed, failed
	// to start and was undone. Exit code 8.
	ErrUndone = errors.New("the release failed and is not installed")
	// ErrInconclusive is wrapped by a probe that could not decide: the release
	// is not installed now, not remembered as failed, and tried again later.
	ErrInconclusive = errors.New("probe was inconclusive")
	// ErrRestart is returned by Run when a release was installed and there is
	// no Options.Restart: main should exit with a code its service manager
	// restarts on.
	ErrRestart = errors.New("installed; restart to run it")
)

// Error is every error that an update returns: where it stopped, for which
// version ("" if none was chosen yet), and why.
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

// Step is a step of an update, in the gerund that error texts and status use.
type Step string

const (
	Idle        Step = "idle"
	Checking    Step = "checking"
	Planning    Step = "planning"
	Downloading Step = "downloading"
	Probing     Step = "probing"
	Swapping    Step = "swapping"
	Restarting  Step = "restarting"
	Undoing     Step = "undoing"
	RollingBack Step = "rolling back"
	Settling    Step = "settling"
)

// fail wraps err as an *Error with the sentinel that its cause belongs to.
func fail(step Step, version string, err error) error {
	if err == nil {
		return nil
	}
	if _, named := err.(*Error); named {
		return err
	}
	return &Error{Step: step, Version: version, Err: classify(err)}
}

// classified joins a sentinel to the error whose text it does not repeat.
type classified struct {
	error
	sentinel error
}

func (c *classified) Unwrap() []error { return []error{c.error, c.sentinel} }

func classify(err error) error {
	for _, sentinel := range []error{ErrRefused, ErrUnreachable, ErrNothing, ErrPermission, ErrBusy, ErrUndone} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	var nothing *release.Nothing
	switch {
	case errors.As(err, &nothing):
		return &classified{err, ErrNothing}
	case errors.Is(err, state.ErrBusy):
		return &classified{err, ErrBusy}
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, swap.ErrPermission), errors.Is(err, swap.ErrReadOnly), errors.Is(err, fs.ErrPermission):
		return &classified{err, ErrPermission}
	case refusal(err):
		return &classified{err, ErrRefused}
	case fetch.Unreachable(err):
		return &classified{err, ErrUnreachable}
	}
	return err
}

// refusal: something answered, and what it served is not what it should be.
func refusal(err error) bool {
	var served *fetch.Refusal
	if errors.As(err, &served) {
		return true
	}
	for _, e := range []error{
		verify.ErrMalformed, verify.ErrTooLarge, verify.ErrAlgorithm, verify.ErrSignature, verify.ErrThreshold, verify.ErrType,
		release.ErrMalformed, release.ErrApp, release.ErrChannel, release.ErrVersion, release.ErrID,
		release.ErrRollback, release.ErrEquivocation, release.ErrTrust, release.ErrExpired, release.ErrFuture,
		fetch.ErrTooLarge, fetch.ErrHash, swap.ErrChanged,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
