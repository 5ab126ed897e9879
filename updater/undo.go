package updater

import (
	"context"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/text"
)

// Undo puts back the file that the last swap replaced, if the file at the path is the one that was swapped in and it
// has not proved itself; otherwise, as for a file that somebody deployed by hand, it does nothing. It is what a
// restart calls when a successor failed. cause is remembered, and the version not tried again by itself, unless cause
// wraps context.Canceled: a stop that was announced is nobody's failure.
//
// Undo is idempotent and needs no new disk block.
func (u *Updater) Undo(ctx context.Context, cause error) error {
	if u.off != nil || u.manager() != nil {
		return nil // nothing was installed from here
	}
	h, err := u.hold(ctx, u.events, installation.Patience, installation.ToChange)
	if err != nil {
		return fail(StepUndoing, "", err)
	}
	defer h.Release()
	err = u.undo(h, text.Error(cause))
	_ = u.leave(ctx, h, nil)
	return err
}

func (u *Updater) undo(h *installation.Held, cause error) error {
	undone, err := h.Undo(cause)
	u.show(h.State())
	u.events.undone(undone)
	return fail(StepUndoing, "", err)
}

// prove records that the file with this hash ran healthily.
func (u *Updater) prove(h *installation.Held, id content.ID) {
	version, err := h.Prove(id)
	if err != nil {
		u.log.Warn("recording that the version has proved itself", "err", err)
		return
	}
	u.show(h.State())
	if version != "" {
		u.events.emit(Event{Kind: EventProved, Version: version, Text: "runs healthily"})
	}
}
