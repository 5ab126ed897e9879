package updater

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// Update installs what the channel offers this machine, or version if it is not "", and has it restarted. It returns
// when the new version has proved itself (Result.Restarted: this process should end), when it is installed and there
// is no Options.Restart, or when there is nothing to do. An error means that this process serves on with the file
// that it had, unless it wraps context.Canceled.
//
// A person asked: the ramp of a staged rollout does not hold Update back, and neither does an earlier failure of a
// version that is named. An older version that is named and kept is gone back to, as by Rollback.
func (u *Updater) Update(ctx context.Context, version string) (Result, error) {
	if u.off != nil {
		return Result{}, fail(StepPlanning, version, u.off)
	}
	req := request{manual: true}
	if version != "" {
		want, err := release.ParseVersion(version)
		if err != nil {
			return Result{}, fail(StepPlanning, version, err)
		}
		req.want = want
	}
	t := u.beginFor(installation.ToUpdate, StepChecking)
	if t == nil {
		return Result{}, fail(StepChecking, "", ErrBusy)
	}
	defer t.end()
	return u.job(t, req).update(ctx, true)
}

// update installs and, unless it is the command line that asks, restarts.
func (j *job) update(ctx context.Context, restart bool) (r Result, err error) {
	if j.keptHere(ctx) {
		return j.rollback(ctx, restart)
	}
	defer func() { j.record(r, err) }()
	if err := j.lock(ctx, installation.ToUpdate); err != nil {
		return j.checkOnly(ctx, fail(StepPlanning, "", err))
	}
	defer func() { j.held.Release() }()
	r, err = j.install(ctx)
	for errors.Is(err, installation.ErrAwaited) {
		if err := j.lend(ctx); err != nil {
			return r, fail(StepDownloading, r.Offered, err)
		}
		r, err = j.install(ctx) // from the beginning: whatever it was about to install may be wrong by now
	}
	defer func() {
		j.leaveAfter(ctx, restart, r, err)
		j.remember(r, err, !restart)
	}()
	j.tell(err)
	j.noteHold(err)
	if err != nil || !restart || j.opts.Restart == nil || r.Installed == "" && !j.behind(j.held.State()) {
		return r, err
	}
	return j.handOver(ctx, r)
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

// install is check, plan, fetch, probe, ask, swap.
func (j *job) install(ctx context.Context) (Result, error) {
	if err := j.moved(); err != nil {
		return Result{}, fail(StepPlanning, "", err)
	}
	if err := j.settle(); err != nil {
		return Result{}, err
	}
	online, offline := j.online(ctx)
	defer offline()
	err := fail(StepChecking, "", gaveWay(online, j.check(online)))
	if err == nil || errors.Is(err, ErrNothing) || errors.Is(err, ErrHeld) {
		if err := j.unstage(); err != nil {
			j.log.Warn("removing a staged file", "err", err)
		}
	}
	if err != nil {
		return Result{}, err
	}
	r := j.result()
	if j.offer == nil {
		return r, nil
	}
	version := r.Offered
	hold := j.held.State().Hold
	waited := hold != nil && hold.Version == version // and at each poll all of this has been told
	if !waited {
		j.events.emit(Event{Kind: EventOffered, Version: version, Text: "a release is on offer"})
	}

	to := state.File{Version: version, ID: onDisk(j.offer.Artifact.File)}
	staged, err := j.stage(online, to, waited)
	if err != nil {
		return r, fail(StepDownloading, version, gaveWay(online, err))
	}
	offline()
	step, err := j.put(ctx, staged, r.Replaced, to)
	if err != nil {
		j.putAside(staged, to, err)
		return r, fail(step, version, err)
	}
	_ = staged.Close() // its staged name is gone
	r.Installed = version
	if j.want != nil && j.offer.Downgrade {
		j.leaveBehind(r.Replaced, j.view.Channel)
	}
	j.show(j.held.State())
	j.events.clear(EventCannotWrite)
	j.events.emit(Event{Kind: EventInstalled, Version: version, Text: "installed; it has to prove itself"})
	return r, nil
}

// unstage removes a file that waited for another attempt, once the channel has withdrawn it, has something else, or
// space is short.
func (j *job) unstage() error {
	s := j.held.State().Staged
	if s == nil {
		return nil
	}
	offered := j.offer != nil && onDisk(j.offer.Artifact.File) == s.ID
	wanted := offered
	if v, err := release.ParseVersion(s.Version); err == nil && j.offer == nil {
		e := j.view.Channel.Entry(v)
		wanted = e != nil && e.Yanked == nil
	}
	if wanted && j.held.Roomy() {
		return nil
	}
	return j.held.Unstage()
}

// stage brings the offered file into the state folder: the one that an earlier attempt left there, or a download.
func (j *job) stage(ctx context.Context, to state.File, waited bool) (*os.File, error) {
	staged, err := j.held.Staged(to.ID)
	if err == nil && staged == nil {
		err = j.makeRoom(ctx)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case staged != nil && waited:
		return staged, nil
	case staged != nil:
		j.events.emit(Event{Kind: EventDownloaded, Version: to.Version, Text: "already here, and verified again"})
		return staged, nil
	}
	if staged, err = j.download(ctx); err == nil {
		j.events.emit(Event{Kind: EventDownloaded, Version: to.Version, Text: "downloaded and verified"})
	}
	return staged, err
}

// put probes a staged file, asks the gates and puts it at the path.
func (j *job) put(ctx context.Context, staged *os.File, from string, to state.File) (Step, error) {
	j.turn.at(StepProbing)
	if err := j.probe(ctx, staged, to); err != nil {
		return StepProbing, err
	}
	j.turn.at(StepWaiting)
	if err := j.enter(ctx, to); err != nil {
		return StepWaiting, err
	}
	j.turn.at(StepSwapping)
	j.vouch()
	settled, err := j.held.Swap(staged, from, to, j.opts.Keep)
	j.events.settled(settled)
	return StepSwapping, err
}

// vouch records that the installed file has proved itself where this run of it is the proof: it has come as far as to
// install its successor. So a rollback of a tool, too, leads to the version before this one.
func (j *job) vouch() {
	if in := j.held.State().Installed; j.manual && j.vouches(in) {
		j.prove(j.held, in.ID)
	}
}

// putAside keeps a staged file for another attempt, unless what failed says that it should go.
func (j *job) putAside(staged *os.File, file state.File, why error) {
	var err error
	if f := blame.Of(why); f == blame.Machine || f == blame.Unknown {
		_ = staged.Close()
		err = j.held.Await(file)
	} else {
		j.held.Discard(staged)
		err = j.held.Unstage()
	}
	if err != nil {
		j.log.Warn("putting a staged file aside", "err", err)
	}
}

// probe runs the probe and remembers a release that failed it.
func (j *job) probe(ctx context.Context, sealed *os.File, to state.File) error {
	err, unasked := j.judge(ctx, sealed, to.Version)
	if ctx.Err() == nil && unasked != nil {
		return blame.As(blame.Machine, fmt.Errorf("trying the release out: %w", unasked))
	}
	switch {
	case err == nil:
		j.events.clear(EventProbeUndecided)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	cause := fmt.Errorf("refused by its probe: %w", err)
	if blame.Of(err) == blame.Release {
		j.events.clear(EventProbeUndecided)
		j.events.emit(Event{Kind: EventUndone, Version: to.Version, Text: "refused by its probe, not installed", Err: err})
	} else {
		cause = fmt.Errorf("its probe could not decide: %w", err)
		j.events.raise(EventProbeUndecided, "the probe could not decide; it is tried again later", err)
	}
	if saveErr := j.held.Fail(to, cause); saveErr != nil {
		j.log.Warn("remembering that the release failed", "version", to.Version, "err", saveErr)
		err = errors.Join(err, saveErr)
	}
	j.show(j.held.State())
	next := "tried again later"
	if _, named := j.held.State().Failed[to.Version].Wait(); named {
		next = "not tried again unless it is named"
	}
	return &classified{fmt.Errorf("the release is not installed, and %s: %w", next, err), ErrUndone}
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
