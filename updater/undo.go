package updater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// lockWait is how long Undo waits for another process that is at work on the
// same executable.
const lockWait = 10 * time.Second

// acquire takes the lock of the executable and makes the folder that it lives
// in. release gives it back; within a call that holds it already, acquire
// returns the same lock again.
func (u *Updater) acquire() (lock *state.Lock, release func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lock != nil {
		return u.lock, func() {}, nil
	}
	if err := u.target.Prepare(0); err != nil {
		return nil, nil, err
	}
	if lock, err = state.TryLock(u.target.Home); err != nil {
		return nil, nil, err
	}
	u.lock = lock
	return lock, u.letGo, nil
}

func (u *Updater) letGo() {
	u.mu.Lock()
	lock := u.lock
	u.lock = nil
	u.mu.Unlock()
	if lock != nil {
		if err := lock.Unlock(); err != nil {
			u.log.Warn("giving back the lock", "err", err)
		}
	}
}

// Undo puts back the file that the last swap replaced, if the file at the path
// is the one that was swapped in and it has not proved itself; otherwise, as
// for a file that somebody deployed by hand, it does nothing. It is what a
// restart calls when a successor failed. cause is remembered, and the version
// not tried again by itself, unless cause wraps context.Canceled: a stop that
// was announced is nobody's failure.
//
// Undo is idempotent and needs no new disk block.
func (u *Updater) Undo(ctx context.Context, cause error) error {
	deadline := time.Now().Add(lockWait)
	lock, release, err := u.acquire()
	for errors.Is(err, state.ErrBusy) && time.Now().Before(deadline) && ctx.Err() == nil {
		// Another process swaps or settles; it holds the lock for moments.
		wait, cancel := context.WithDeadline(ctx, deadline)
		var other *state.Lock
		if other, err = state.WaitLock(wait, u.target.Home); err == nil {
			u.mu.Lock()
			u.lock = other
			u.mu.Unlock()
			lock, release = other, u.letGo
		}
		cancel()
	}
	if err != nil {
		return fail(Undoing, "", err)
	}
	defer release()
	return u.undo(lock, cause)
}

func (u *Updater) undo(lock *state.Lock, cause error) error {
	seen, err := u.recall()
	if err != nil {
		return fail(Undoing, "", err)
	}
	st := seen.state
	if st.Installed == nil || st.Installed.Proved || st.Previous == nil {
		return nil
	}
	id, err := u.target.Identify()
	if err != nil {
		return fail(Undoing, st.Installed.Version, err)
	}
	if id != st.Installed.ID {
		return nil
	}
	bad, good := *st.Installed, *st.Previous
	st.Journal = &state.Journal{Step: state.Undo, From: bad, To: good, Started: u.now().UTC()}
	if !errors.Is(cause, context.Canceled) {
		st.Journal.Cause = cause.Error()
	}
	if err := lock.Save(st); err != nil {
		// Not even the journal can be written (a full disk): putting the good
		// file back needs no space, and matters more.
		u.log.Warn("writing the journal of an undo", "err", err)
	}
	if err := u.target.Restore(good.ID); err != nil {
		return fail(Undoing, bad.Version, fmt.Errorf("the failed version stays installed: %w", err))
	}
	st.Undone(*st.Journal, u.now().UTC())
	if err := lock.Save(st); err != nil {
		u.log.Warn("recording an undo; the journal will be settled later", "err", err)
	}
	u.set(func(s *Status) { s.Installed, s.Proved, s.Failed = good.Version, good.Proved, failures(st) })
	u.emit(Event{Kind: Undone, Version: bad.Version, Text: "put back to " + good.Version, Err: cause})
	return nil
}

func (u *Updater) blame(st *state.State, version, reason string, byHand bool) {
	if st.Failed == nil {
		st.Failed = map[string]state.Failure{}
	}
	st.Failed[version] = state.Failure{Reason: reason, At: u.now().UTC(), ByHand: byHand}
}

// Rollback goes back to the version that the last update replaced, and has it
// restarted. The version left behind is not installed again unless a person
// names it. It is refused where there is no earlier version, and below a
// security floor that the channel has signed.
func (u *Updater) Rollback(ctx context.Context) (Result, error) {
	leave, ok := u.enter(ctx)
	if !ok {
		return Result{}, fail(RollingBack, "", ErrBusy)
	}
	defer leave()
	return u.rollback(ctx, true)
}

func (u *Updater) rollback(ctx context.Context, restart bool) (r Result, err error) {
	defer func() { u.ended(r, err) }()
	u.set(func(s *Status) { s.State = RollingBack })
	lock, release, err := u.acquire()
	if err != nil {
		return r, fail(RollingBack, "", err)
	}
	defer release()
	if err := u.settle(lock); err != nil {
		return r, err
	}
	if r, err = u.rollbackLocked(lock); err != nil {
		return r, fail(RollingBack, "", err)
	}
	if !restart || u.opts.Restart == nil {
		return r, nil
	}
	u.set(func(s *Status) { s.State = Restarting })
	if err := u.opts.Restart(ctx); err != nil {
		return r, fail(Restarting, r.Installed, fmt.Errorf("the earlier version is installed, this process serves on: %w", err))
	}
	r.Restarted = true
	return r, nil
}

func (u *Updater) rollbackLocked(lock *state.Lock) (Result, error) {
	seen, err := u.recall()
	if err != nil {
		return Result{}, err
	}
	st := seen.state
	if st.Previous == nil {
		return Result{}, fmt.Errorf("no earlier version is kept here; install one by name with --version: %w", ErrNothing)
	}
	good := *st.Previous
	left, err := u.fileAt(st, u.running.String())
	if err != nil {
		return Result{}, err
	}
	if err := u.allowed(seen, left.Version, good.Version); err != nil {
		return Result{}, err
	}
	st.Journal = &state.Journal{Step: state.Rollback, From: left, To: good, Cause: "left by hand", Started: u.now().UTC()}
	if err := lock.Save(st); err != nil {
		return Result{}, fmt.Errorf("writing the journal: %w", err)
	}
	if err := u.target.Restore(good.ID); err != nil {
		return Result{}, errors.Join(err, u.settle(lock))
	}
	st.Undone(*st.Journal, u.now().UTC())
	if err := lock.Save(st); err != nil {
		return Result{}, fmt.Errorf("recording the rollback: %w", err)
	}
	u.set(func(s *Status) { s.Installed, s.Proved, s.Failed = good.Version, good.Proved, failures(st) })
	u.emit(Event{Kind: RolledBack, Version: good.Version, Text: "went back from " + left.Version})
	return Result{Replaced: left.Version, Installed: good.Version}, nil
}

// allowed refuses a version below the floor of the last channel that was seen
// signed.
func (u *Updater) allowed(seen *recalled, from, to string) error {
	known := seen.channel(u.opts.Channel)
	if known == nil {
		return nil
	}
	c, err := release.OpenChannel([]byte(known.File), seen.trust.Channel, u.opts.App, u.opts.Channel)
	if err != nil {
		return nil // nothing signed says otherwise
	}
	installed, err := release.ParseVersion(from)
	if err != nil {
		return err
	}
	target, err := release.ParseVersion(to)
	if err != nil {
		return err
	}
	if lowest := c.LowestAllowed(installed); lowest != nil && target.LessThan(lowest) {
		return fmt.Errorf("%s is below %s, which the publisher signed as the lowest safe version: %w", to, lowest, ErrNothing)
	}
	return nil
}
