package installation

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/text"
)

// The steps that are journalled here: what is to happen is written and synced first, then done, then recorded. See
// state.Settle for what that rests on.

// Error is why a step failed, and for which version.
type Error struct {
	Version string // "" if none is concerned
	Err     error
}

func (e *Error) Error() string { return e.Version + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Settlement is how an interrupted step has ended.
type Settlement struct {
	Version string // that the step led to
	Text    string // what became of it
}

// Settle finishes or undoes what an interrupted step left; nil if nothing was. A Settlement with an error says that
// there is nothing to go back to.
func (h *Held) Settle() (*Settlement, error) {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	return h.settle()
}

func (h *Held) settle() (*Settlement, error) {
	st := h.held.state
	if st.Journal == nil {
		// Nothing was begun, but a killed writer may have left a partial file, and one that is killed each time would
		// fill the folder.
		if err := h.i.target.Tidy(st.Keep()...); err != nil {
			h.i.Log.Warn("sweeping the state folder", "err", err)
		}
		return nil, nil
	}
	j := *st.Journal
	failed := func(err error) error { return &Error{j.To.Version, err} }
	at, err := h.i.target.Identify()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failed(err)
	}
	kept, err := h.i.target.Kept(j.Kept().ID.SHA256)
	if err != nil && !errors.Is(err, swap.ErrNoPrevious) {
		return nil, failed(err)
	}
	verdict := state.Settle(j, at, kept)
	var spared *state.File
	if verdict.Restore != nil {
		spared = h.spare(j)
		if err := h.i.target.Restore(verdict.Restore.ID); err != nil {
			return nil, failed(err)
		}
	}
	err = h.save(func(st *state.State) {
		st.Settle(verdict, h.i.Now().UTC())
		st.Staged = cmp.Or(spared, st.Staged)
	})
	if err != nil {
		return nil, failed(err)
	}
	h.sweep()
	s := &Settlement{Version: j.To.Version, Text: fmt.Sprintf("an interrupted %s to %s: %s", j.Step, j.To.Version, verdict.Outcome)}
	if verdict.Outcome == state.Stuck || verdict.Outcome == state.Lost {
		return s, failed(fmt.Errorf("%s; the version to go back to is missing: install a release by name", s.Text))
	}
	return s, nil
}

// spare keeps the file at the path, which a step back is about to take away, for another attempt, if the release is not
// known to be at fault. It returns nil if it does not.
func (h *Held) spare(j state.Journal) *state.File {
	if j.Step != state.Undo || j.Judged.Fault != blame.Machine && j.Judged.Fault != blame.Unknown {
		return nil
	}
	if err := h.i.target.Stage(j.From.ID); err != nil {
		h.i.Log.Info("the file will be downloaded again for another attempt", "err", err)
		return nil
	}
	return &state.File{Version: j.From.Version, ID: j.From.ID}
}

// Swap puts sealed at the path in place of what is there, which is taken for version from if it has no record, and
// keeps at most keep proved earlier files. With an error the old file is at the path, unless the error says
// otherwise; a Settlement says what became of a step that was begun.
func (h *Held) Swap(sealed *os.File, from string, to state.File, keep int) (*Settlement, error) {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	old, err := h.i.FileAt(h.held.state, from)
	if err != nil {
		return nil, err
	}
	j := state.Journal{Step: state.Swap, From: old, To: to, Started: h.i.Now().UTC(), Trigger: h.Trigger}
	// If the step fails, the file that was to be installed waits for another attempt.
	if err := h.save(func(st *state.State) { st.Journal, st.Staged = &j, &to }); err != nil {
		return nil, fmt.Errorf("writing the journal: %w", err)
	}
	if err := h.i.target.Replace(sealed, to.ID); err != nil {
		settled, settleErr := h.settle()
		return settled, errors.Join(err, settleErr)
	}
	err = h.save(func(st *state.State) { Installed(st, j, keep) })
	if err != nil {
		// The journal says what happened; the next start writes it down.
		h.i.Log.Warn("recording the installed version; the journal will be settled later", "err", err)
		return nil, nil
	}
	h.sweep()
	return nil, nil
}

// Installed does to a state what a swap does.
func Installed(st *state.State, j state.Journal, keep int) {
	st.Swapped(j)
	st.Trim(keep)
	st.Staged = nil
}

// Undone is a step back.
type Undone struct {
	From, To string // versions
	Cause    error
}

// Undo puts back the file that the last swap replaced, if the file at the path is the one that was swapped in and it
// has not proved itself; else it does nothing and returns nil. cause is judged and remembered, unless it is somebody's
// stop, which is nobody's failure. The file of a release that is not known to be at fault stays in the state folder for
// another attempt, where there are hard links.
func (h *Held) Undo(cause error) (*Undone, error) {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	return h.undo(cause)
}

func (h *Held) undo(cause error) (*Undone, error) {
	st := h.held.state
	if st.Installed == nil || st.Installed.Proved || st.Previous == nil {
		return nil, nil
	}
	at, err := h.i.target.Identify()
	if err != nil {
		return nil, &Error{st.Installed.Version, err}
	}
	if at != st.Installed.ID {
		return nil, nil // somebody has deployed another file since
	}
	if cause == nil {
		cause = errors.New("no reason was given")
	}
	j := state.Journal{Step: state.Undo, From: *st.Installed, To: *st.Previous, Started: h.i.Now().UTC()}
	if judged := blame.Judge(cause); judged.Fault != blame.Stop {
		j.Cause, j.Judged = reason(cause.Error()), judged
	}
	if err := h.restore(j); err != nil {
		return nil, &Error{j.From.Version, fmt.Errorf("the failed version stays installed: %w", err)}
	}
	return &Undone{From: j.From.Version, To: j.To.Version, Cause: cause}, nil
}

// reason returns why something failed as it is kept: never empty, because what has no cause was nobody's failure.
func reason(why string) text.Line {
	if l := text.Of(why); !l.IsZero() {
		return l
	}
	return text.Of("no reason was given")
}

// Rollback goes back to the previous file because a person asked. What is at the path is left, whether it is proved
// or not, and not installed again by itself.
func (h *Held) Rollback(left, to state.File) error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	return h.restore(state.Journal{Step: state.Rollback, From: left, To: to, Cause: text.Of("left by hand"), Started: h.i.Now().UTC()})
}

// restore carries out a journal that leads back to a kept file.
func (h *Held) restore(j state.Journal) error {
	if err := h.save(func(st *state.State) { st.Journal = &j }); err != nil {
		// Not even the journal can be written (a full disk, say): putting the good file back needs no space, and
		// matters more.
		h.i.Log.Warn("writing the journal", "step", j.Step, "err", err)
	}
	spared := h.spare(j)
	if err := h.i.target.Restore(j.To.ID); err != nil {
		_, settleErr := h.settle()
		return errors.Join(err, settleErr)
	}
	err := h.save(func(st *state.State) {
		st.Undone(j, h.i.Now().UTC())
		st.Staged = spared
	})
	if err != nil {
		h.i.Log.Warn("recording that the earlier version is back; the journal will be settled later", "err", err)
	}
	return nil
}

// Fail remembers that a release failed before it was installed. Its staged file waits for another attempt, unless the
// release is at fault, and everything else that was staged is removed.
func (h *Held) Fail(release state.File, cause error) error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	judged := blame.Judge(cause)
	err := h.save(func(st *state.State) {
		st.Fail(release.Version, reason(cause.Error()), judged, h.i.Now().UTC())
		if st.Staged = nil; judged.Fault != blame.Release {
			st.Staged = &release
		}
	})
	if err == nil {
		h.sweep()
	}
	return err
}

// Prove records that the file with this hash ran healthily, and returns its version; "" if that was known, or if
// another file was installed over it since, which has its own probation.
func (h *Held) Prove(id content.ID) (version string, err error) {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	err = h.save(func(st *state.State) {
		if in := st.Installed; in != nil && !in.Proved && in.ID == id {
			in.Proved, in.Starts, in.Counted = true, 0, false
			st.Prove(h.i.Now().UTC())
			delete(st.Failed, in.Version)
			version = in.Version
		}
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

// Count counts a start of an unproved file, and undoes one that was started too often. early: the start is only
// coming, so a mark keeps the program that then runs from counting it again.
func (h *Held) Count(early bool) (*Undone, error) {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	in := h.held.state.Installed
	if in == nil || in.Proved {
		return nil, nil
	}
	was := in.Counted && !early
	if in.Starts >= MaxStarts && !was {
		return h.undo(tooManyStarts(in.Starts))
	}
	return nil, h.save(func(st *state.State) {
		if !was {
			st.Installed.Starts++
		}
		st.Installed.Counted = early
	})
}

// tooManyStarts is why a release is undone that never ran for long. What ended it nobody saw, so it may have been
// anything; but each start was a chance.
type tooManyStarts int

func (n tooManyStarts) Error() string {
	return fmt.Sprintf("started %d times and never ran for %v", int(n), ProveAfter)
}
func (n tooManyStarts) Blame() string { return string(blame.Unknown) }
func (n tooManyStarts) Attempts() int { return int(n) }
