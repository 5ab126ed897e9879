package updater

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// Update installs what the channel offers this machine, or version if it is not "", and has it restarted. It returns
// when the new version has proved itself (Result.Restarted: this process should end), when it is installed and there
// is no Options.Restart, or when there is nothing to do. An error means that this process serves on with the file
// that it had, unless it wraps context.Canceled.
//
// A person asked: the ramp of a staged rollout does not hold Update back, and neither does an earlier failure of a
// version that is named.
func (u *Updater) Update(ctx context.Context, version string) (Result, error) {
	req := request{manual: true}
	if version != "" {
		want, err := release.ParseVersion(version)
		if err != nil {
			return Result{}, fail(StepPlanning, version, err)
		}
		req.want = want
	}
	t := u.begin(StepChecking)
	if t == nil {
		return Result{}, fail(StepChecking, "", ErrBusy)
	}
	defer t.end()
	return u.job(t, req).update(ctx, true)
}

// update installs and, unless it is the command line that asks, restarts.
func (j *job) update(ctx context.Context, restart bool) (r Result, err error) {
	defer func() { j.record(r, err) }()
	if err := j.lockForUpdate(ctx); err != nil {
		return j.checkOnly(ctx, fail(StepPlanning, "", err))
	}
	defer j.held.Release()
	r, err = j.install(ctx)
	j.tell(err)
	if err != nil || !restart || j.opts.Restart == nil || r.Installed == "" && !j.behind(j.held.State()) {
		return r, err
	}
	return j.handOver(ctx, r)
}

// lockForUpdate holds the installation, where an update can work at all.
func (j *job) lockForUpdate(ctx context.Context) (err error) {
	if err := j.foreign(); err != nil {
		return err
	}
	if err := j.disk.Prepare(0); err != nil {
		return err
	}
	if j.manual {
		j.held, err = j.hold(ctx, j.events, j.patience)
	} else {
		j.held, err = j.hold(ctx, j.events, 0) // the interval comes again
	}
	return err
}

// checkOnly runs when this process cannot install: it says whether there is something to install, and only then that
// it cannot. What another user has installed it leaves to that user to have run: it could not undo it.
func (j *job) checkOnly(ctx context.Context, why error) (Result, error) {
	if !errors.Is(why, ErrPermission) {
		return Result{}, why
	}
	err := j.check(ctx)
	j.tell(err)
	if err != nil {
		return Result{}, err
	}
	r := j.result()
	st, err := j.disk.Look()
	switch {
	case j.offer != nil:
		j.events.raise(EventCannotWrite, "there is an update that this process may not install", why)
		return r, why
	case j.opts.Restart != nil && (err == nil || errors.Is(err, state.ErrNone)) && j.behind(st):
		why = fail(StepRestarting, r.Replaced, fmt.Errorf("another user installed it, and this process, which could not undo it, goes on with %s: send it SIGHUP or restart it: %w",
			j.opts.running, ErrPermission))
		j.events.raise(EventCannotWrite, "a version is installed that this process does not run yet", why)
		return r, why
	}
	return r, nil
}

// install is check, plan, fetch, probe, swap.
func (j *job) install(ctx context.Context) (Result, error) {
	if err := j.moved(); err != nil {
		return Result{}, fail(StepPlanning, "", err)
	}
	if err := j.settle(); err != nil {
		return Result{}, err
	}
	if err := j.check(ctx); err != nil {
		return Result{}, err
	}
	r := j.result()
	if j.offer == nil {
		return r, nil
	}
	version := r.Offered
	j.events.emit(Event{Kind: EventOffered, Version: version, Text: "a release is on offer"})

	staged, err := j.download(ctx)
	if err != nil {
		return r, fail(StepDownloading, version, err)
	}
	defer j.held.Discard(staged)
	j.events.emit(Event{Kind: EventDownloaded, Version: version, Text: "downloaded and verified"})

	j.turn.at(StepProbing)
	if err := j.probe(ctx, staged, version); err != nil {
		return r, fail(StepProbing, version, err)
	}
	j.turn.at(StepSwapping)
	settled, err := j.held.Swap(staged, r.Replaced, state.File{Version: version, ID: onDisk(j.offer.Artifact.File)}, j.opts.Keep)
	j.events.settled(settled)
	if err != nil {
		return r, fail(StepSwapping, version, err)
	}
	r.Installed = version
	j.events.clear(EventCannotWrite)
	j.events.emit(Event{Kind: EventInstalled, Version: version, Text: "installed; it has to prove itself"})
	return r, nil
}

// settle finishes or undoes an interrupted update.
func (j *job) settle() error {
	s, err := j.held.Settle()
	j.events.settled(s)
	return fail(StepSettling, "", err)
}

// probe runs the probe and remembers a release that failed it.
func (j *job) probe(ctx context.Context, sealed *os.File, version string) error {
	var err error
	if j.opts.Probe != nil {
		err = j.opts.Probe(ctx, sealed.Name(), version)
	} else {
		err = probe(ctx, sealed, version)
	}
	switch {
	case err == nil:
		j.events.clear(EventProbeUndecided)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrInconclusive):
		j.events.raise(EventProbeUndecided, "the probe could not decide; it is tried again later", err)
		return &classified{fmt.Errorf("the release is not installed, and tried again later: %w", err), ErrUndone}
	}
	if saveErr := j.held.Refuse(version, "refused by its probe: "+err.Error()); saveErr != nil {
		err = errors.Join(err, saveErr)
	}
	j.show(j.held.State())
	j.events.emit(Event{Kind: EventUndone, Version: version, Text: "refused by its probe, not installed", Err: err})
	return &classified{fmt.Errorf("the release is not installed, and will not be tried again unless it is named: %w", err), ErrUndone}
}

// handOver has the installed file run, and undoes it if that fails.
func (j *job) handOver(ctx context.Context, r Result) (Result, error) {
	version := r.Installed
	if version == "" {
		version = r.Replaced // installed earlier, by another process
	}
	j.turn.at(StepRestarting)
	var judged content.ID
	if in := j.held.State().Installed; in != nil {
		judged = in.ID
	}
	err := j.opts.Restart(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return r, nil // installed; Run answers ErrRestart
	}
	if err != nil {
		if stuck := j.undo(j.held, err); stuck != nil {
			return r, &Error{StepRestarting, version, errors.Join(err, stuck)} // it is still installed
		}
		return r, fail(StepRestarting, version, &classified{err, ErrUndone})
	}
	j.prove(j.held, judged)
	r.Restarted = true
	return r, nil
}
