package updater

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
)

// Exit codes of Command, for scripts and service managers.
const (
	ExitOK          = 0   // current, or updated
	ExitError       = 1   // anything that has no code of its own
	ExitUsage       = 2   // unknown flag or argument
	ExitNothing     = 3   // something newer, but nothing that this machine may install now
	ExitRefused     = 4   // refused by verification
	ExitUnreachable = 5   // no source answered
	ExitPermission  = 6   // this process may not replace the executable
	ExitBusy        = 7   // another update is running
	ExitUndone      = 8   // refused by its probe, or undone after a failed start
	ExitFound       = 100 // --check found an update
)

// Blame says where the cause of an outcome lies.
type Blame string

// Who is to blame.
const (
	BlameNobody  Blame = ""        // it worked, or it is not an error
	BlameRelease Blame = "release" // the release does not work here
	BlameSource  Blame = "source"  // what was served, or that nothing was
	BlameMachine Blame = "machine" // this installation or its machine
	BlameCaller  Blame = "caller"  // somebody called it off
	BlameUnknown Blame = "unknown" // a signal or a silence that may have come from outside
)

// outcome is one way in which a check or an update can end. Whatever depends on how it ended is read from the table
// below: sentinels, exit codes, events, status, --json and when the interval tries again.
type outcome struct {
	name     string
	sentinel error            // nil: the outcome is not told apart by errors.Is
	is       func(error) bool // which errors of other packages belong to it
	finer    bool             // the sentinel alone is not enough
	code     int
	blame    Blame
	// event is the condition that it begins, "" if whoever met it has told already, or nobody needs to know.
	event Kind
	text  string
	// soon: the interval tries again with backoff. Otherwise trying again soon would change nothing.
	soon bool
	// knows: it says something about what is served, so a condition of that kind which it does not begin is over.
	knows bool
}

var (
	succeeded = outcome{name: "ok", code: ExitOK, knows: true}
	failed    = outcome{name: "failed", code: ExitError, blame: BlameMachine, event: EventUpdateFailed, text: "the update ended early; nothing was changed", soon: true}
)

// outcomes are those with a name of their own. An error that wraps a sentinel belongs to its row; any other to the
// first whose is it meets, else to failed.
var outcomes = []outcome{
	{name: "undone", sentinel: ErrUndone, code: ExitUndone, blame: BlameRelease, soon: true},
	{name: "held", sentinel: ErrHeld, code: ExitNothing, knows: true},
	{name: "nothing", sentinel: ErrNothing, is: isNothing, code: ExitNothing, knows: true},
	{name: "busy", sentinel: ErrBusy, is: wraps(state.ErrBusy), code: ExitBusy},
	{name: "off", sentinel: ErrOff, code: ExitError, blame: BlameMachine, event: EventOff, text: "this program does not update itself"},
	{name: "called off", is: wraps(context.Canceled), code: ExitError, blame: BlameCaller, soon: true},
	{name: "no permission", sentinel: ErrPermission, is: wraps(swap.ErrPermission, swap.ErrReadOnly, fs.ErrPermission), code: ExitPermission, blame: BlameMachine},
	{name: "stale source", sentinel: ErrRefused, finer: true, is: wraps(catalog.ErrLagging), code: ExitRefused, blame: BlameSource, soon: true,
		event: EventStaleSource, text: "the source lags behind what was seen before"},
	{name: "rollback", sentinel: ErrRefused, finer: true, is: wraps(release.ErrRollback), code: ExitRefused, blame: BlameSource, soon: true,
		event: EventRollback, text: "no source has served the newest document that was seen for a day; somebody may be holding updates back"},
	{name: "expired", sentinel: ErrRefused, finer: true, is: wraps(release.ErrExpired), code: ExitRefused, blame: BlameSource, soon: true,
		event: EventExpired, text: "nobody vouches for the channel any longer: the publisher must refresh it, or somebody is holding updates back"},
	{name: "refused", sentinel: ErrRefused, is: isRefused, code: ExitRefused, blame: BlameSource, soon: true,
		event: EventRefused, text: "what was served is refused"},
	{name: "unreachable", sentinel: ErrUnreachable, is: fetch.Unreachable, code: ExitUnreachable, blame: BlameSource, soon: true,
		event: EventUnreachable, text: "no source answers"},
}

func wraps(sentinels ...error) func(error) bool {
	return func(err error) bool {
		for _, s := range sentinels {
			if errors.Is(err, s) {
				return true
			}
		}
		return false
	}
}

func isNothing(err error) bool {
	_, nothing := errors.AsType[*release.Nothing](err)
	return nothing
}

func isRefused(err error) bool { return catalog.Refused(err) || errors.Is(err, swap.ErrChanged) }

// outcomeOf finds the row of an error.
func outcomeOf(err error) outcome {
	if err == nil {
		return succeeded
	}
	for _, o := range outcomes {
		if o.sentinel != nil && errors.Is(err, o.sentinel) && (!o.finer || o.is(err)) {
			return o
		}
	}
	for _, o := range outcomes {
		if o.is != nil && o.is(err) {
			return o
		}
	}
	return failed
}

// blameOf is where the cause of an error lies. Whose fault it is that a release failed is in the error, not in its row.
func blameOf(row outcome, err error) Blame {
	if row.sentinel != ErrUndone {
		return row.blame
	}
	return map[blame.Fault]Blame{
		blame.Release: BlameRelease, blame.Machine: BlameMachine, blame.Stop: BlameCaller, blame.Unknown: BlameUnknown,
	}[blame.Of(err)]
}

func exitCode(err error) int { return outcomeOf(err).code }

// retryAfter is how long a source asks to be left alone.
func retryAfter(err error) time.Duration {
	if status, ok := errors.AsType[*fetch.StatusError](err); ok {
		return status.RetryAfter
	}
	return 0
}

// fail wraps err as an *Error with the sentinel of its outcome.
func fail(step Step, version string, err error) error {
	if err == nil {
		return nil
	}
	if _, named := err.(*Error); named {
		return err
	}
	if e, ok := err.(*installation.Error); ok {
		version, err = e.Version, e.Err
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
	if o := outcomeOf(err); o.sentinel != nil && !errors.Is(err, o.sentinel) {
		return &classified{err, o.sentinel}
	}
	return err
}
