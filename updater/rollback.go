package updater

import (
	"context"
	"errors"
	"fmt"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// Rollback goes back to the version that the last update replaced, and has it restarted. The version left behind is
// not installed again unless a person names it. It is refused where there is no earlier version, and below a security
// floor that the channel has signed.
func (u *Updater) Rollback(ctx context.Context) (Result, error) {
	if u.off != nil {
		return Result{}, fail(StepRollingBack, "", u.off)
	}
	t := u.beginFor(installation.ToChange, StepRollingBack)
	if t == nil {
		return Result{}, fail(StepRollingBack, "", ErrBusy)
	}
	defer t.end()
	return u.job(t, request{manual: true}).rollback(ctx, true)
}

func (j *job) rollback(ctx context.Context, restart bool) (r Result, err error) {
	defer func() { j.record(r, err) }()
	j.turn.at(StepRollingBack)
	if err := j.lock(ctx, installation.ToChange); err != nil {
		return r, fail(StepRollingBack, "", err)
	}
	defer j.held.Release()
	defer func() { _ = j.leave(ctx, j.held, nil) }()
	if r, err = j.goBack(); err != nil {
		return r, fail(StepRollingBack, "", err)
	}
	if !restart || j.opts.Restart == nil {
		return r, nil
	}
	j.turn.at(StepRestarting)
	err = j.opts.Restart(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return r, nil // installed; Run answers ErrRestart
	}
	if err != nil {
		return r, fail(StepRestarting, r.Installed, fmt.Errorf("the earlier version is installed, this process serves on: %w", err))
	}
	r.Restarted = true
	return r, nil
}

func (j *job) goBack() (Result, error) {
	if err := j.settle(); err != nil {
		return Result{}, err
	}
	st := j.held.State()
	good := st.Previous
	if good == nil {
		return Result{}, fmt.Errorf("no earlier version is kept here; install one by name with --version: %w", ErrNothing)
	}
	left, err := j.disk.FileAt(st, j.opts.running.String())
	if err != nil {
		return Result{}, err
	}
	if err := j.allowed(st, left.Version, good.Version); err != nil {
		return Result{}, err
	}
	if err := j.held.Rollback(left, *good); err != nil {
		return Result{}, err
	}
	j.show(j.held.State())
	j.events.emit(Event{Kind: EventRolledBack, Version: good.Version, Text: "went back from " + left.Version})
	return Result{Replaced: left.Version, Installed: good.Version}, nil
}

// allowed refuses a version below the floor of the last channel that was seen signed.
func (j *job) allowed(st *state.State, from, to string) error {
	c := j.client.Known(j.known(st))
	if c == nil {
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
