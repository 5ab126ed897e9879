package installation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
)

// Held is an installation that no other process changes meanwhile. It ends with Release, and its methods must not be
// called after that.
type Held struct {
	// Trigger says in the history who asked for what is done: "interval" or "person".
	Trigger string

	i        *Installation
	held     *held
	released bool
}

// TryHold is Hold without waiting.
func (i *Installation) TryHold() (*Held, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.held != nil {
		i.held.holders++
		return &Held{i: i, held: i.held}, nil
	}
	lock, err := state.TryLock(i.Home)
	if err != nil {
		return nil, err
	}
	st, doubt := state.Load(i.Home)
	if doubt != nil && !errors.Is(doubt, state.ErrNone) && !errors.Is(doubt, state.ErrCorrupt) {
		return nil, errors.Join(doubt, lock.Unlock())
	}
	i.held = &held{lock: lock, state: st, doubt: doubt, holders: 1}
	return &Held{i: i, held: i.held}, nil
}

// Hold takes the lock and reads what is remembered. It waits until ctx ends for another process that is at work, and says
// what for: who only downloads gives way to that, others mostly hold the lock for moments. The error then is a
// state.ErrBusy that says why ctx ended. Where this process holds the lock already, it is held once more, and what one
// holder changes the others see.
func (i *Installation) Hold(ctx context.Context, need Need) (*Held, error) {
	call := state.Call(i.Home, string(need))
	defer call.Close()
	// It polls because a thread that blocks in flock cannot be called back.
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		h, err := i.TryHold()
		if !errors.Is(err, state.ErrBusy) {
			return h, err
		}
		if need != Quietly {
			call.Renew()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// HoldFor is Hold that waits for d at most.
func (i *Installation) HoldFor(ctx context.Context, d time.Duration, need Need) (*Held, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("waited %v for it", d))
	defer cancel()
	return i.Hold(ctx, need)
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

// Rehearse does all that Swap will do to the disk, with a small file and to a second name of the program, after it has found
// out whether need bytes can be staged at once, when the kept files that are listed in gone are given up.
func (h *Held) Rehearse(need int64, gone ...content.Digest) error {
	return h.i.target.Rehearse(need, gone...)
}

// Staged opens the file with this content that an earlier attempt has left whole in the state folder, hashed again and
// sealed; nil if there is none.
func (h *Held) Staged(want content.ID) (*os.File, error) { return h.i.target.Staged(want) }

// Await remembers that a staged file waits for another attempt, and removes everything else that was staged.
func (h *Held) Await(file state.File) error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	err := h.save(func(st *state.State) { st.Staged = &file })
	if err == nil {
		h.sweep()
	}
	return err
}

// Unstage removes a file that waits for another attempt, if there is one.
func (h *Held) Unstage() error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	if h.held.state.Staged == nil {
		return nil
	}
	err := h.save(func(st *state.State) { st.Staged = nil })
	if err == nil {
		h.sweep()
	}
	return err
}

// Roomy reports whether a file that waits for another attempt may stay: space is not short.
func (h *Held) Roomy() bool { return h.i.target.Roomy() }

// Free returns how many bytes are free where updates are staged, if the system tells.
func (h *Held) Free() (bytes int64, known bool) { return h.i.target.Free() }

// Create makes a private, empty file for what shall have this digest.
func (h *Held) Create(want content.Digest) (*os.File, error) { return h.i.target.Create(want) }

// Resume opens what an interrupted download left of the file that shall have this digest, or makes an empty one. Its
// bytes are worth nothing until they are hashed.
func (h *Held) Resume(want content.Digest) (*os.File, error) { return h.i.target.Resume(want) }

// Seal ends writing: it closes f, which is then executable and can only be read.
func (h *Held) Seal(f *os.File) (*os.File, error) { return h.i.target.Seal(f) }

// Lend gives a sealed file a name beside the program until take is called, so that it can be tried out there.
func (h *Held) Lend(sealed *os.File) (path string, take func() error, err error) {
	return h.i.target.Lend(sealed)
}

// InPlace calls do where the sealed file is seen at the path already; false, and do is not called, where the system does not
// let this process arrange that.
func (h *Held) InPlace(sealed *os.File, do func()) (done bool, err error) {
	return h.i.target.InPlace(sealed, do)
}

// Discard closes and removes a staged file. What Swap has put at the path is not under its staged name any more.
func (h *Held) Discard(f *os.File) {
	if err := h.i.target.Discard(f); err != nil {
		h.i.Log.Warn("removing a staged file", "err", err)
	}
}

// Spare removes from the state folder what is neither remembered nor listed, so that at most one download is begun
// there. A file that waited for another attempt is removed too.
func (h *Held) Spare(staged ...content.Digest) error {
	h.i.mu.Lock()
	defer h.i.mu.Unlock()
	if err := h.save(func(st *state.State) { st.Staged = nil }); err != nil {
		return err
	}
	return h.i.target.Sweep(append(h.held.state.Keep(), staged...)...)
}

// sweep removes what the state does not name. Litter is no reason to fail.
func (h *Held) sweep() {
	if err := h.i.target.Sweep(h.held.state.Keep()...); err != nil {
		h.i.Log.Warn("sweeping the state folder", "err", err)
	}
}
