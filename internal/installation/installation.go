// Package installation is one program on disk: the file at its path, the folder beside it, and how it gets back.
//
//	i, err := installation.Open("/opt/hello/hello")
//	h, err := i.Hold(ctx, ToUpdate)     // the lock, and what is remembered, read once
//	defer h.Release()
//	settled, err := h.Settle()          // finish or undo what was interrupted
//	f, err := h.Resume(id)              // a private file to download into
//	sealed, err := h.Seal(f)            // nobody can write it any more: probe it
//	err = h.Swap(sealed, "1.0.0", file, 1)
//	undone, err := h.Undo(cause)        // unless it has proved itself
//
// A [Held] is the only way to change anything, so what needs the lock cannot be called without it. The state is saved
// only when something has changed, and always before the step that it describes.
//
// The package knows no keys, no network and no documents: it works where the program itself cannot start. It returns
// facts and errors; what they mean to a person or a service is for the caller to say.
package installation

import (
	"log/slog"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
)

const (
	// MaxStarts is how many unproved starts a release gets. A release that was started this often and never lived for
	// ProveAfter is undone.
	MaxStarts = 3
	// ProveAfter is how long a release has to run to count as proved where nobody watched its probation.
	ProveAfter = 10 * time.Second
	// Patience is how long an undo or a rescue waits for another process that is at work on the same program.
	Patience = 10 * time.Second
)

// Installation is a program on disk, resolved once, links followed. Its methods may be called from several
// goroutines.
type Installation struct {
	Path string // the file
	Dir  string // its folder
	Home string // the state folder in it: state, lock, staged and kept files

	// Now is the clock, and Log gets what went wrong without consequence. Both are set before the first call.
	Now func() time.Time
	Log *slog.Logger

	target *swap.Target

	mu   sync.Mutex // held while something is done on disk, never while something else is waited for
	held *held      // nil if this process does not hold the lock
}

// held is the lock and the loaded state, shared by all holders in this process: a check may run while a failed
// handover is undone.
type held struct {
	lock    *state.Lock
	state   *state.State // as it is on disk
	doubt   error        // why it is a fresh one: state.ErrNone or state.ErrCorrupt
	holders int
}

// Open finds the program at path. It changes nothing. A path that names nothing is an error unless the state folder
// is there, from which something can be put back.
func Open(path string, move func(path, save string) error) (*Installation, error) {
	target, err := swap.Open(path)
	return of(target, err, move)
}

// Running is Open for the program of this process: see swap.Running.
func Running(path string, move func(path, save string) error) (*Installation, error) {
	target, err := swap.Running(path)
	return of(target, err, move)
}

func of(target *swap.Target, err error, move func(path, save string) error) (*Installation, error) {
	if err != nil {
		return nil, err
	}
	target.Aside = move
	return &Installation{
		Path: target.Path, Dir: target.Dir, Home: target.Home,
		Now: time.Now, Log: slog.New(slog.DiscardHandler), target: target,
	}, nil
}

// Look reads what is remembered, without the lock: the file is replaced atomically. The state is never nil and the
// caller's own. With state.ErrNone or state.ErrCorrupt it is a fresh one; any other error says that it may not be
// read.
func (i *Installation) Look() (*state.State, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.held != nil {
		return i.held.state.Clone(), i.held.doubt
	}
	return state.Load(i.Home)
}

// Identify hashes the file at the path, unless it was hashed before and has not been touched since.
func (i *Installation) Identify() (content.ID, error) { return i.target.Identify() }

// Prepare finds out without the lock what would keep any update from working, before anything is downloaded; see
// Held.Rehearse. It makes the state folder if it is missing.
func (i *Installation) Prepare() error { return i.target.Prepare(0) }

// Likeness is what a new file will have of the old one: mode, owner, attributes.
func (i *Installation) Likeness() (swap.Likeness, error) { return i.target.Likeness() }

// OtherNames is how many other hard links the file has.
func (i *Installation) OtherNames() (int, error) { return i.target.OtherNames() }

// FileAt describes the file at the path. One without a record, a first install or a hand deployment, is taken for
// version, and counts as proved.
func (i *Installation) FileAt(st *state.State, version string) (state.File, error) {
	id, err := i.target.Identify()
	if err != nil {
		return state.File{}, err
	}
	if st.Installed != nil && st.Installed.ID == id {
		return *st.Installed, nil
	}
	return state.File{Version: version, ID: id, Proved: true}, nil
}
