package updater

import (
	"context"
	"errors"
	"fmt"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// Rollback goes back to the version before this one, as many times as earlier versions are kept (Options.Keep), and has it restarted. The version left behind is
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
	defer func() {
		_ = j.leave(ctx, j.held, nil)
		j.show(j.held.State())
	}()
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
	if j.want != nil {
		good = keptAs(st, j.want)
	}
	if good == nil {
		return Result{}, fmt.Errorf("no earlier version is kept here; --version V --allow-downgrade installs one that the publisher lets people go back to: %w", ErrNothing)
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
	if j.want != nil {
		j.leaveBehind(left.Version, j.client.Known(j.known(st)))
	}
	j.show(j.held.State())
	j.events.emit(Event{Kind: EventRolledBack, Version: good.Version, Text: "went back from " + left.Version})
	return Result{Replaced: left.Version, Installed: good.Version}, nil
}

// leaveBehind puts what lies between the version that a person has named and the one that was installed on the failed
// list, or the interval would go there at once.
func (j *job) leaveBehind(from string, c *release.Channel) {
	top, err := release.ParseVersion(from)
	if err != nil {
		return
	}
	versions := []string{from}
	if c != nil {
		for _, e := range c.Entries {
			if e.Version.GreaterThan(j.want) && e.Version.LessThan(top) {
				versions = append(versions, e.Version.String())
			}
		}
	}
	err = j.held.Change(func(st *state.State) {
		for _, v := range versions {
			if !st.Failed[v].ByHand {
				st.Leave(v, j.now().UTC())
			}
		}
	})
	if err != nil {
		j.log.Warn("remembering the versions that were left", "err", err)
	}
}

// vouches reports whether this run of an unproved file, in an update that a person has asked for, proves it: no service
// has started it or runs it now, which would be the one to prove it.
func (j *job) vouches(in *state.File) bool {
	return in != nil && !in.Proved && in.Starts == 0 && j.runs(in) && len(j.instances()) == 0
}

// keptAs is the kept file of a version, nil if there is none.
func keptAs(st *state.State, want *semver.Version) *state.File {
	for _, f := range kept(st) {
		if v, err := release.ParseVersion(f.Version); err == nil && v.Equal(want) {
			return f
		}
	}
	return nil
}

// keptHere reports whether an earlier version was named of which the file is kept. To install that is to go back, and
// needs no network.
func (j *job) keptHere(ctx context.Context) bool {
	if j.want == nil || j.source != j.opts.network || j.manager() != nil {
		return false
	}
	st, err := j.recall(j.events)
	if err != nil || keptAs(st, j.want) == nil {
		return false
	}
	installed, err := j.Updater.installed(ctx, st)
	if err != nil || !j.want.LessThan(installed) {
		return false
	}
	j.set(func(s *Status) { s.Installed = installed.String() })
	return true
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
