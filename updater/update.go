package updater

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// Update installs what the channel offers this machine, or version if it is
// not "", and has it restarted. It returns when the new version has proved
// itself (Result.Restarted: this process should end), when it is installed and
// there is no Options.Restart, or when there is nothing to do. An error means
// that this process serves on with the file that it had, unless it wraps
// context.Canceled.
//
// A person asked: the ramp of a staged rollout does not hold Update back, and
// neither does an earlier failure of a version that is named.
func (u *Updater) Update(ctx context.Context, version string) (Result, error) {
	req := request{manual: true}
	if version != "" {
		want, err := release.ParseVersion(version)
		if err != nil {
			return Result{}, fail(Planning, version, err)
		}
		req.want = want
	}
	leave, ok := u.enter(ctx)
	if !ok {
		return Result{}, fail(Checking, "", ErrBusy)
	}
	defer leave()
	return u.update(ctx, req, true)
}

// update installs and, unless it is the command line that asks, restarts. The
// caller holds the claim.
func (u *Updater) update(ctx context.Context, req request, restart bool) (r Result, err error) {
	defer func() { u.ended(r, err) }()
	var wait time.Duration // the interval comes again
	if req.manual {
		wait = u.patience
	}
	lock, release, err := u.begins(ctx, wait)
	if err != nil {
		return u.lookOnly(ctx, req, err)
	}
	defer release()
	r, err = u.installLocked(ctx, lock, req)
	if err != nil || !restart || u.opts.Restart == nil || r.Installed == "" && !u.behind() {
		return r, err
	}
	return u.restart(ctx, lock, r)
}

// patience is how long a person's request waits for another process at work:
// a service that just looks for a release holds the lock as long as its source
// takes to answer.
const patience = 5 * time.Second

// begins takes the lock for an update, where an update can work at all.
func (u *Updater) begins(ctx context.Context, wait time.Duration) (lock *state.Lock, release func(), err error) {
	if err := u.foreign(); err != nil {
		return nil, nil, err
	}
	if err := u.target.Prepare(0); err != nil {
		return nil, nil, err
	}
	return u.await(ctx, wait)
}

// lookOnly is what is left to a process that may not install: it says whether
// there is something to install, and only then that it cannot. What another
// user has installed it leaves to that user to have run: it could not undo it.
func (u *Updater) lookOnly(ctx context.Context, req request, why error) (Result, error) {
	why = fail(Planning, "", why)
	if !errors.Is(why, ErrPermission) {
		return Result{}, why
	}
	v, err := u.check(ctx, req)
	if err != nil {
		return Result{}, err
	}
	r := v.result()
	switch {
	case v.offer != nil:
		u.begin(CannotWrite, "there is an update that this process may not install", why)
		return r, why
	case u.opts.Restart != nil && u.behind():
		why = fail(Restarting, r.Replaced, fmt.Errorf("another user installed it, and this process, which could not undo it, goes on with %s: send it SIGHUP or restart it: %w",
			u.running, ErrPermission))
		u.begin(CannotWrite, "a version is installed that this process does not run yet", why)
		return r, why
	}
	return r, nil
}

// ended puts the outcome into the status and ends what was shown as going on.
func (u *Updater) ended(r Result, err error) {
	version := r.Installed
	if version == "" {
		version = r.Offered
	}
	o := u.outcome(version, err)
	u.set(func(s *Status) {
		s.State, s.Downloaded, s.Size, s.Outcome = Idle, 0, 0, o
		if r.Installed != "" && err == nil {
			s.Installed, s.Offered = r.Installed, ""
		}
	})
	switch {
	case err == nil, errors.Is(err, ErrBusy), errors.Is(err, ErrNothing), errors.Is(err, ErrRefused),
		errors.Is(err, ErrUnreachable), errors.Is(err, ErrUndone), errors.Is(err, context.Canceled), errors.Is(err, ErrPermission):
		u.end(UpdateFailed) // these have kinds of their own
	default:
		u.begin(UpdateFailed, "the update ended early; nothing was changed", err)
	}
}

// installLocked is check, plan, fetch, probe, swap.
func (u *Updater) installLocked(ctx context.Context, lock *state.Lock, req request) (Result, error) {
	if err := u.moved(); err != nil {
		return Result{}, fail(Planning, "", err)
	}
	u.acting.Lock()
	err := u.settle(lock)
	u.acting.Unlock()
	if err != nil {
		return Result{}, err
	}
	v, err := u.check(ctx, req)
	if err != nil {
		return Result{}, err
	}
	r := v.result()
	if v.offer == nil {
		return r, nil
	}
	version := r.Offered
	u.emit(Event{Kind: Offered, Version: version, Text: "a release is on offer"})

	staged, err := u.download(ctx, v)
	if err != nil {
		return r, fail(Downloading, version, err)
	}
	defer u.discard(staged)
	u.emit(Event{Kind: Downloaded, Version: version, Text: "downloaded and verified"})

	u.set(func(s *Status) { s.State = Probing })
	if err := u.probed(ctx, lock, staged, version); err != nil {
		return r, fail(Probing, version, err)
	}
	u.set(func(s *Status) { s.State = Swapping })
	if err := u.swap(lock, v, staged); err != nil {
		return r, fail(Swapping, version, err)
	}
	r.Installed = version
	u.end(CannotWrite)
	u.emit(Event{Kind: Installed, Version: version, Text: "installed; it has to prove itself"})
	return r, nil
}

// discard removes a staged file that is not needed any longer. What Replace
// renamed is not under its staged name any more.
func (u *Updater) discard(f *os.File) {
	_ = f.Close()
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.log.Warn("removing a staged file", "err", err)
	}
}

// probed runs the probe and remembers a file that failed it.
func (u *Updater) probed(ctx context.Context, lock *state.Lock, sealed *os.File, version string) error {
	var err error
	if u.opts.Probe != nil {
		err = u.opts.Probe(ctx, sealed.Name(), version)
	} else {
		err = probe(ctx, sealed, version)
	}
	switch {
	case err == nil:
		u.end(ProbeUndecided)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrInconclusive):
		u.begin(ProbeUndecided, "the probe could not decide; it is tried again later", err)
		return &classified{fmt.Errorf("the release is not installed, and tried again later: %w", err), ErrUndone}
	}
	st, saveErr := u.change(lock, func(st *state.State) {
		st.Failed[version] = state.Failure{Reason: "refused by its probe: " + err.Error(), At: u.now().UTC()}
	})
	if saveErr != nil {
		err = errors.Join(err, saveErr)
	} else {
		u.sweep(st)
	}
	u.emit(Event{Kind: Undone, Version: version, Text: "refused by its probe, not installed", Err: err})
	return &classified{fmt.Errorf("the release is not installed, and will not be tried again unless it is named: %w", err), ErrUndone}
}

// swap journals, replaces the file and records what is installed now.
func (u *Updater) swap(lock *state.Lock, v *view, sealed *os.File) error {
	u.acting.Lock()
	defer u.acting.Unlock()
	seen, err := u.recall()
	if err != nil {
		return err
	}
	old, err := u.fileAt(seen.state, v.installed.String())
	if err != nil {
		return err
	}
	j := state.Journal{
		Step: state.Swap, From: old, Started: u.now().UTC(),
		To: state.File{Version: v.offer.Entry.Version.String(), ID: onDisk(v.offer.Artifact.File)},
	}
	if _, err := u.change(lock, func(st *state.State) { st.Journal = &j }); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := u.target.Replace(sealed, j.To.ID); err != nil {
		return errors.Join(err, u.settle(lock))
	}
	st, err := u.change(lock, func(st *state.State) {
		st.Swapped(j)
		st.Trim(u.opts.Keep)
		delete(st.Failed, j.To.Version) // it was named, so it gets another chance
	})
	if err != nil {
		// The journal says what happened; the next start writes it down.
		u.log.Warn("recording the installed version; the journal will be settled later", "err", err)
		return nil
	}
	u.sweep(st)
	return nil
}

// restart hands over to the installed file and settles what became of it.
func (u *Updater) restart(ctx context.Context, lock *state.Lock, r Result) (Result, error) {
	version := r.Installed
	if version == "" {
		version = r.Replaced // installed earlier, by another process
	}
	u.set(func(s *Status) { s.State = Restarting })
	var judged content.ID
	if st, err := u.load(); err == nil && st.Installed != nil {
		judged = st.Installed.ID
	}
	err := u.opts.Restart(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return r, nil // installed; Run answers ErrRestart
	}
	if err != nil {
		u.acting.Lock()
		stuck := u.undo(lock, err)
		u.acting.Unlock()
		if stuck != nil {
			return r, &Error{Restarting, version, errors.Join(err, stuck)} // it is still installed
		}
		return r, fail(Restarting, version, &classified{err, ErrUndone})
	}
	u.proved(lock, judged)
	r.Restarted = true
	return r, nil
}

// behind reports that the file at the path is one that an updater installed
// and that this process does not run.
func (u *Updater) behind() bool {
	st, err := u.load()
	if err != nil || st.Installed == nil || u.manager() != nil {
		return false
	}
	info, err := os.Stat(u.target.Path)
	if err != nil || os.SameFile(info, u.own) {
		return false
	}
	id, err := u.target.Identify()
	return err == nil && id == st.Installed.ID && st.Installed.Version != u.running.String()
}
