package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
)

// maxStarts is how many unproved starts a release gets. A release that was
// started this often and never lived for ten seconds is undone.
const maxStarts = 3

// proveAfter is how long a release has to run to count as proved where nobody
// watched its probation.
const proveAfter = 10 * time.Second

// installation is a program on disk: the file at its path, the folder beside
// it, and what is remembered about it. It needs no key and no network, so it
// works where the program itself cannot even start.
type installation struct {
	*reporter
	target *swap.Target
	// merge adds to a state what only this process knows, before it is saved.
	merge func(*state.State)
	// show is told of every state that was saved.
	show func(*state.State)

	acting  sync.Mutex // one journal at a time: an undo may come while an update works; never held over a restart
	locking sync.Mutex
	lock    *state.Lock // held from before a swap until it is proved or undone
	holders int         // of lock: a check may run while a failed handover is undone
	writing sync.Mutex  // one load, change and save at a time
}

// acquire takes the lock of the executable. Where this process holds it
// already, it is the same lock once more. Every release has to be called once.
func (i *installation) acquire() (lock *state.Lock, release func(), err error) {
	i.locking.Lock()
	defer i.locking.Unlock()
	if i.lock != nil {
		i.holders++
		return i.lock, i.letGo, nil
	}
	if lock, err = state.TryLock(i.target.Home); err != nil {
		return nil, nil, err
	}
	i.lock, i.holders = lock, 1
	return lock, i.letGo, nil
}

// await is acquire for what must not be given up at once: it waits up to d for
// whoever is at work, who mostly holds the lock for moments.
func (i *installation) await(ctx context.Context, d time.Duration) (lock *state.Lock, release func(), err error) {
	if lock, release, err = i.acquire(); d == 0 || !errors.Is(err, state.ErrBusy) {
		return lock, release, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("waited %v for it", d))
	defer cancel()
	if lock, err = state.WaitLock(ctx, i.target.Home); err != nil {
		return nil, nil, err
	}
	i.locking.Lock()
	defer i.locking.Unlock()
	i.lock, i.holders = lock, 1
	return lock, i.letGo, nil
}

// letGo gives back one hold; the last one frees the lock.
func (i *installation) letGo() {
	i.locking.Lock()
	defer i.locking.Unlock()
	if i.holders--; i.holders > 0 {
		return
	}
	if err := i.lock.Unlock(); err != nil {
		i.log.Warn("giving back the lock", "err", err)
	}
	i.lock = nil
}

// load reads what is remembered. What cannot be read counts as lost, and is
// told once; a file that may not be read is an error.
func (i *installation) load() (*state.State, error) {
	st, err := state.Load(i.target.Home)
	switch {
	case errors.Is(err, state.ErrCorrupt):
		i.begin(StateCorrupt, "what was remembered cannot be read; going on from what the program was built with", err)
	case errors.Is(err, state.ErrNone):
		i.begin(StateMissing, "nothing is remembered: a first installation, or the state folder was removed; going on from what the program was built with", nil)
	case err != nil:
		return nil, err
	default:
		i.end(StateCorrupt, StateMissing)
	}
	return st, nil
}

// change is load, change, save. It returns what was saved.
func (i *installation) change(lock *state.Lock, change func(*state.State)) (*state.State, error) {
	i.writing.Lock()
	defer i.writing.Unlock()
	st, err := i.load()
	if err != nil {
		return nil, err
	}
	if i.merge != nil {
		i.merge(st)
	}
	change(st)
	if err := lock.Save(st); err != nil {
		return st, fmt.Errorf("remembering: %w", err)
	}
	if i.show != nil {
		i.show(st)
	}
	return st, nil
}

// settle finishes or undoes what an interrupted update left.
func (i *installation) settle(lock *state.Lock) error {
	st, err := i.load()
	if err != nil {
		return fail(Settling, "", err)
	}
	if st.Journal == nil {
		// Nothing was begun, but whoever was killed while he wrote left half of a file, and whoever comes by often, and is
		// killed each time, would fill the folder.
		if err := i.target.Tidy(st.Keep()...); err != nil {
			i.log.Warn("sweeping the state folder", "err", err)
		}
		return nil
	}
	j := *st.Journal
	at, err := i.target.Identify()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(Settling, j.To.Version, err)
	}
	kept, err := i.target.Kept(j.Kept().ID.SHA256)
	if err != nil && !errors.Is(err, swap.ErrNoPrevious) {
		return fail(Settling, j.To.Version, err)
	}
	verdict := state.Settle(j, at, kept)
	if verdict.Restore != nil {
		if err := i.target.Restore(verdict.Restore.ID); err != nil {
			return fail(Settling, j.To.Version, err)
		}
	}
	st, err = i.change(lock, func(st *state.State) { st.Settle(verdict, i.now().UTC()) })
	if err != nil {
		return fail(Settling, j.To.Version, err)
	}
	i.sweep(st)
	text := fmt.Sprintf("an interrupted %s to %s: %s", j.Step, j.To.Version, verdict.Outcome)
	i.emit(Event{Kind: Settled, Version: j.To.Version, Text: text})
	if verdict.Outcome == state.Stuck || verdict.Outcome == state.Lost {
		return fail(Settling, j.To.Version, fmt.Errorf("%s; the version to go back to is missing: install a release by name", text))
	}
	return nil
}

// sweep removes from the state folder what st does not name. Litter is no
// reason to fail.
func (i *installation) sweep(st *state.State) {
	if err := i.target.Sweep(st.Keep()...); err != nil {
		i.log.Warn("sweeping the state folder", "err", err)
	}
}

// undo puts back the file that the last swap replaced, if the file at the path
// is the one that was swapped in, and is unproved.
func (i *installation) undo(lock *state.Lock, cause error) error {
	st, err := i.load()
	if err != nil {
		return fail(Undoing, "", err)
	}
	if st.Installed == nil || st.Installed.Proved || st.Previous == nil {
		return nil
	}
	at, err := i.target.Identify()
	if err != nil {
		return fail(Undoing, st.Installed.Version, err)
	}
	if at != st.Installed.ID {
		return nil // somebody has deployed another file since
	}
	if cause == nil {
		cause = errors.New("no reason was given")
	}
	j := state.Journal{Step: state.Undo, From: *st.Installed, To: *st.Previous, Started: i.now().UTC()}
	if !errors.Is(cause, context.Canceled) {
		j.Cause = cause.Error()
	}
	if err := i.restore(lock, j); err != nil {
		return fail(Undoing, j.From.Version, fmt.Errorf("the failed version stays installed: %w", err))
	}
	i.emit(Event{Kind: Undone, Version: j.From.Version, Text: "put back to " + j.To.Version, Err: cause})
	return nil
}

// restore carries out a journal that leads back to a kept file.
func (i *installation) restore(lock *state.Lock, j state.Journal) error {
	if _, err := i.change(lock, func(st *state.State) { st.Journal = &j }); err != nil {
		// Not even the journal can be written (a full disk, say): putting the
		// good file back needs no space, and matters more.
		i.log.Warn("writing the journal", "step", j.Step, "err", err)
	}
	if err := i.target.Restore(j.To.ID); err != nil {
		return errors.Join(err, i.settle(lock))
	}
	if _, err := i.change(lock, func(st *state.State) { st.Undone(j, i.now().UTC()) }); err != nil {
		i.log.Warn("recording that the earlier version is back; the journal will be settled later", "err", err)
	}
	return nil
}

// counted counts a start of an unproved file, and undoes one that was started
// too often. early: the start is only coming, so a mark keeps the program that
// then runs from counting it again.
func (i *installation) counted(lock *state.Lock, early bool) error {
	st, err := i.load()
	if err != nil {
		return err
	}
	in := st.Installed
	if in == nil || in.Proved {
		return nil
	}
	was := in.Counted && !early
	if in.Starts >= maxStarts && !was {
		return i.undo(lock, fmt.Errorf("started %d times and never ran for %v", in.Starts, proveAfter))
	}
	_, err = i.change(lock, func(st *state.State) {
		if st.Installed == nil {
			return
		}
		if !was {
			st.Installed.Starts++
		}
		st.Installed.Counted = early
	})
	return err
}
