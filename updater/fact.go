package updater

import (
	"errors"
	"fmt"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
)

// What an installation found and did, told as events.

// doubt tells that what was remembered is lost. Any other error is returned.
func (r reporter) doubt(err error) error {
	switch {
	case errors.Is(err, state.ErrCorrupt):
		r.raise(EventStateCorrupt, "what was remembered cannot be read; going on from what the program was built with", err)
		return nil
	case errors.Is(err, state.ErrNone):
		r.raise(EventStateMissing, "nothing is remembered: a first installation, or the state folder was removed; going on from what the program was built with", nil)
		return nil
	case err == nil:
		r.clear(EventStateCorrupt, EventStateMissing)
	}
	return err
}

// settled tells what became of an interrupted update.
func (r reporter) settled(s *installation.Settlement) {
	if s != nil {
		r.emit(Event{Kind: EventSettled, Version: s.Version, Text: s.Text})
	}
}

// undone tells that the version before is back.
func (r reporter) undone(u *installation.Undone) {
	if u != nil {
		r.emit(Event{Kind: EventUndone, Version: u.From, Text: "put back to " + u.To, Err: u.Cause})
	}
}

// asOwner refuses to work as root in another user's folder, and says how to run command as that user.
func asOwner(i *installation.Installation, command string) error {
	err := i.CheckOwner()
	if other := (*installation.OtherOwner)(nil); errors.As(err, &other) {
		return fmt.Errorf("%w; run it as that user: %s", err, other.Command(command))
	}
	return err
}
