package installation

import (
	"fmt"
	"os"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
)

// Held is an installation that no other process changes meanwhile. It ends with Release, and its methods must not be called
// after that.
type Held struct {
	i        *Installation
	held     *held
	released bool
}

// Release gives back the lock, if no other holder in this process is left. To call it again does nothing.
func (h *Held) Release() {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	if h.released {
		return
	}
	h.released = true
	if h.held.holders--; h.held.holders > 0 {
		return
	}
	if err := h.held.lock.Unlock(); err != nil {
		h.i.Log.Warn("giving back the lock", "err", err)
	}
	h.i.held = nil
}

// State returns a copy of what is remembered.
func (h *Held) State() *state.State {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	return h.held.state.Clone()
}

// Doubt says why what is remembered is a fresh state: state.ErrNone or state.ErrCorrupt; nil if it was read.
func (h *Held) Doubt() error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	return h.held.doubt
}

// Change changes what is remembered and saves it durably, if it has changed. With an error it is as before.
func (h *Held) Change(change func(*state.State)) error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	return h.save(change)
}

func (h *Held) save(change func(*state.State)) error {
	next := h.held.state.Clone()
	change(next)
	if next.Equal(h.held.state) {
		return nil
	}
	if err := h.held.lock.Save(next); err != nil {
		return fmt.Errorf("remembering: %w", err)
	}
	h.held.state, h.held.doubt = next, nil
	return nil
}

// Create makes a private, empty file for what shall have this digest.
func (h *Held) Create(want content.Digest) (*os.File, error) { return h.i.target.Create(want) }

// Resume opens what an interrupted download left of the file that shall have this digest, or makes an empty one. Its bytes
// are worth nothing until they are hashed.
func (h *Held) Resume(want content.Digest) (*os.File, error) { return h.i.target.Resume(want) }

// Seal ends writing: it closes f, which is then executable and can only be read.
func (h *Held) Seal(f *os.File) (*os.File, error) { return h.i.target.Seal(f) }

// Discard closes and removes a staged file. What Swap has put at the path is not under its staged name any more.
func (h *Held) Discard(f *os.File) {
	if err := h.i.target.Discard(f); err != nil {
		h.i.Log.Warn("removing a staged file", "err", err)
	}
}

// Spare removes from the state folder what is neither remembered nor listed, so that at most one download is begun there.
func (h *Held) Spare(staged ...content.Digest) error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	return h.i.target.Sweep(append(h.held.state.Keep(), staged...)...)
}

// sweep removes what the state does not name. Litter is no reason to fail.
func (h *Held) sweep() {
	if err := h.i.target.Sweep(h.held.state.Keep()...); err != nil {
		h.i.Log.Warn("sweeping the state folder", "err", err)
	}
}
