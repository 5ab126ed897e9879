package updater

import (
	"context"
	"errors"
	"log/slog"

	"github.com/theseus-go/theseus/internal/aside"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
)

// Recovery is what Recover found and did.
type Recovery struct {
	// Installed is the recorded version at the path, "" if there is no record.
	Installed string
	// Proved: it has run healthily before.
	Proved bool
	// Starts is how often it was started without proving itself.
	Starts int
	// Done are the steps that were settled or undone, as sentences.
	Done []string
	// Busy: another process is at work on this program, and settles it.
	Busy error
}

// Recover brings the program at path back to a version that starts, from outside and without network or key: it
// settles an interrupted update, and undoes a release that was started three times and never proved itself. It is for
// the moment before a service starts (ExecStartPre=) and for a rescue shell, and works where the program itself
// cannot even start. It counts the start that is coming. It waits at most ten seconds for a process that is at work
// on the same program. log may be nil.
//
// Run by root on a program in a folder of another user's it changes nothing: the error wraps ErrPermission and ends
// with the command that runs it as that user.
func Recover(ctx context.Context, path string, log *slog.Logger) (r Recovery, err error) {
	i, err := installation.Open(path, aside.Commit)
	if err != nil {
		return r, fail(StepSettling, "", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	i.Log = log
	events := reporter{conditions: &conditions{app: path, log: log, now: i.Now, held: map[Kind]string{}, on: func(e Event) {
		if e.Kind == EventStateMissing {
			return // nothing was done
		}
		text := string(e.Kind) + ": " + e.Text
		if e.Version != "" {
			text = string(e.Kind) + " " + e.Version + ": " + e.Text
		}
		r.Done = append(r.Done, text)
	}}}
	if err := asOwner(i, "theseus recover "+swap.Quote(i.Path)); err != nil {
		return r, fail(StepSettling, "", err)
	}
	h, err := i.HoldFor(ctx, installation.Patience, installation.ToChange)
	if errors.Is(err, state.ErrBusy) {
		r.Busy = err
		return r, nil
	}
	if err != nil {
		return r, fail(StepSettling, "", err)
	}
	defer h.Release()
	if err := events.doubt(h.Doubt()); err != nil {
		return r, fail(StepSettling, "", err)
	}
	settled, err := h.Settle()
	events.settled(settled)
	if err != nil {
		return r, fail(StepSettling, "", err)
	}
	undone, err := h.Count(true)
	events.undone(undone)
	if err != nil {
		return r, fail(StepUndoing, "", err)
	}
	if in := h.State().Installed; in != nil {
		r.Installed, r.Proved, r.Starts = in.Version, in.Proved, in.Starts
	}
	return r, nil
}
