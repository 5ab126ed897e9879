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

// Undo puts back the file that the last swap replaced, if the file at the path
// is the one that was swapped in and it has not proved itself; otherwise, as
// for a file that somebody deployed by hand, it does nothing. It is what a
// restart calls when a successor failed. cause is remembered, and the version
// not tried again by itself, unless cause wraps context.Canceled: a stop that
// was announced is nobody's failure.
//
// Undo is idempotent and needs no new disk block.
func (u *Updater) Undo(ctx context.Context, cause error) error {
	if u.manager() != nil {
		return nil // nothing was installed from here
	}
	lock, release, err := u.await(ctx, lockWait)
	if err != nil {
		return fail(Undoing, "", err)
	}
	defer release()
	u.acting.Lock()
	defer u.acting.Unlock()
	return u.undo(lock, cause)
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
	lock, release, err := u.begins(ctx, u.patience)
	if err != nil {
		return r, fail(RollingBack, "", err)
	}
	defer release()
	if r, err = u.rollbackLocked(lock); err != nil {
		return r, fail(RollingBack, "", err)
	}
	if !restart || u.opts.Restart == nil {
		return r, nil
	}
	u.set(func(s *Status) { s.State = Restarting })
	err = u.opts.Restart(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return r, nil // installed; Run answers ErrRestart
	}
	if err != nil {
		return r, fail(Restarting, r.Installed, fmt.Errorf("the earlier version is installed, this process serves on: %w", err))
	}
	r.Restarted = true
	return r, nil
}

func (u *Updater) rollbackLocked(lock *state.Lock) (Result, error) {
	u.acting.Lock()
	defer u.acting.Unlock()
	if err := u.settle(lock); err != nil {
		return Result{}, err
	}
	seen, err := u.recall()
	if err != nil {
		return Result{}, err
	}
	good := seen.state.Previous
	if good == nil {
		return Result{}, fmt.Errorf("no earlier version is kept here; install one by name with --version: %w", ErrNothing)
	}
	left, err := u.fileAt(seen.state, u.running.String())
	if err != nil {
		return Result{}, err
	}
	if err := u.allowed(seen, left.Version, good.Version); err != nil {
		return Result{}, err
	}
	j := state.Journal{Step: state.Rollback, From: left, To: *good, Cause: "left by hand", Started: u.now().UTC()}
	if err := u.restore(lock, j); err != nil {
		return Result{}, err
	}
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
