package updater

import (
	"context"
	"errors"
	"time"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/release"
)

// A Gate is asked last, when the new file is staged, verified and probed: may this machine go now? While one says no, the
// staged file is kept, so that a machine that is held back for a month still downloads a release once.
//
// A process can be killed at any moment, so what is asked is written down before, and an answer to it is owed: Leave is
// called until it returns nil, by whichever process knows how the move ended. Gates are called one at a time, while no
// other process may change the installation: they should not take long, and must not call the Updater.
type Gate interface {
	// Enter returns nil if this machine may go now, and a *Held if not; any other error holds the update back too. What has
	// not answered when ctx ends, after 20 seconds, has not agreed. If the swap does not begin within 30 seconds, every
	// gate is asked again, so Enter has to be idempotent.
	Enter(ctx context.Context, m Move) error
	// Leave tells how the move ended: Outcome.Name is "ok" if the new version runs healthily, "undone" if it was put back,
	// "held" if another gate held it back, and any other if nothing was changed. It is also called where Enter has said no
	// or was never called, perhaps more than once, and perhaps by another process than Enter: after a handover by the
	// first or the second, after a power cut by whichever comes next. ctx ends after 10 seconds.
	Leave(ctx context.Context, m Move, o Outcome) error
}

// Move is what a Gate is asked about.
type Move struct {
	Installation string // random and lasting, 32 hex digits; it identifies this installation
	App          string
	From, To     string // versions
	Critical     bool   // From should not be run any longer
	Manual       bool   // a person asked for it

	now    time.Time // by the clock of the machine
	behind bool      // which stands before dates that were signed already
	age    time.Duration
}

// A looker is a gate that only looks at this machine, at any time: what it keeps taken is freed with this process.
type looker interface {
	Gate
	// look says whether it would let the move pass, and if not after which time it may.
	look(ctx context.Context, m Move) (v release.Verdict, after time.Duration)
	// letGo frees what Enter has taken.
	letGo()
}

// enterBy is Enter of a looker.
func enterBy(ctx context.Context, l looker, m Move) error {
	v, after := l.look(ctx, m)
	if v.Passed {
		return nil
	}
	return &Held{Kind: v.Rule, Reason: v.Detail, After: after}
}

// A checked gate can be wrong by itself, which New finds.
type checked interface{ check() error }

// Held is the answer of a Gate that does not let a machine go now.
type Held struct {
	Kind   string // a word or two for a log or a metric: "window"
	Reason string // a sentence for a person, the same each time unless something has changed
	// After is how soon to ask again. 0, or more than it: Options.Interval.
	After time.Duration
}

func (h *Held) Error() string { return "held back (" + h.Kind + "): " + h.Reason }
func (h *Held) Unwrap() error { return ErrHeld }

// Blame keeps the staged file: it is not at fault.
func (h *Held) Blame() string { return string(blame.Machine) }

// asHeld is the answer of a gate, whatever kind of error it is; nil if it agreed.
func asHeld(err error) error {
	if err == nil {
		return nil
	}
	if h := (*Held)(nil); errors.As(err, &h) {
		return &Held{Kind: text.Of(h.Kind).String(), Reason: text.Of(h.Reason).String(), After: h.After}
	}
	return &Held{Kind: "error", Reason: text.Of(err.Error()).String()}
}
