package updater

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
)

// Run keeps the program current until ctx ends: it settles what an interrupted
// update left, counts this start, marks the installed file proved once the
// process has run for ten seconds, and checks on the interval. It returns nil
// when ctx ends or when a successor has taken over, and ErrRestart when a
// release was installed and Options.Restart is nil. Only one Run per process.
//
// Run is the process in service: with package restart, give it to
// (*Restarter).Go, so that it does not run in two processes at once. While it
// runs, it also does what POST /update asks for.
//
// Where a package manager or a container image keeps the file current, Run only
// checks, and says of each newer version once that it is there.
func (u *Updater) Run(ctx context.Context) error {
	restart, err := u.begun(ctx)
	if err != nil || restart {
		return err
	}
	u.log.Info("looking for updates", "version", u.opts.Version, "channel", u.opts.Channel, "every", u.opts.Interval)
	proof := time.NewTimer(u.proveAfter)
	defer proof.Stop()
	// The first check comes soon: a service that was just started may be far
	// behind. It is spread too, for fleets that are started at once.
	next := time.NewTimer(u.schedule(min(u.opts.Interval, time.Minute)/2, true))
	defer next.Stop()
	jobs, done := u.takeJobs()
	defer done()
	failures := 0
	for {
		var r Result
		var err error
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-proof.C:
			if !u.prove() {
				proof.Reset(min(u.proveAfter, time.Second))
			}
			continue
		case do := <-jobs:
			r, err = do(ctx)
			asked = true
		case <-next.C:
			r, err = u.poll(ctx)
		}
		switch {
		case err == nil && r.Restarted:
			return nil
		case err == nil && (r.Installed != "" || u.behind()):
			return &Error{Step: Restarting, Version: u.Status().Installed, Err: ErrRestart}
		case ctx.Err() != nil:
			return nil
		case asked: // the schedule goes on
		case err == nil, errors.Is(err, ErrNothing), errors.Is(err, ErrBusy), errors.Is(err, ErrPermission):
			failures = 0
			next.Reset(u.schedule(u.opts.Interval, false))
		default:
			failures++
			next.Reset(u.retry(failures, err))
		}
	}
}

// schedule is a time from now of about d, and tells the status.
func (u *Updater) schedule(d time.Duration, first bool) time.Duration {
	if first {
		d = time.Duration(rand.Int64N(int64(d) + 1))
	} else {
		d = fetch.Jitter(d, rand.Float64)
	}
	u.set(func(s *Status) { s.NextCheck = u.now().Add(d).UTC() })
	return d
}

// retry spreads the clients of a source that was down: full jitter, doubling,
// at most the interval, never sooner than the source asks for.
func (u *Updater) retry(failures int, err error) time.Duration {
	d := fetch.Backoff(min(10*time.Second, u.opts.Interval), u.opts.Interval, failures, rand.Float64)
	if status := (*fetch.StatusError)(nil); errors.As(err, &status) {
		d = max(d, status.RetryAfter)
	}
	u.set(func(s *Status) { s.NextCheck = u.now().Add(d).UTC() })
	return d
}

// poll is one turn of the interval.
func (u *Updater) poll(ctx context.Context) (Result, error) {
	leave, ok := u.enter(ctx)
	if !ok {
		return Result{}, ErrBusy
	}
	defer leave()
	if u.manager() != nil {
		return u.watch(ctx)
	}
	return u.update(ctx, request{}, true)
}

// begun does what the beginning of service asks for. restart: the file at the
// path was put back and must be run instead of this process.
func (u *Updater) begun(ctx context.Context) (restarted bool, err error) {
	leave, ok := u.enter(ctx)
	if !ok {
		return false, nil // an update runs: it settles
	}
	defer leave()
	if err := u.foreign(); err != nil {
		u.begin(Managed, "checking for updates, installing none", err)
		return false, nil
	}
	u.set(func(s *Status) { s.State = Settling }) // POST /update is answered 409 meanwhile, and says why
	defer u.set(func(s *Status) { s.State = Idle })
	back, err := u.countStart()
	if errors.Is(err, state.ErrBusy) {
		return false, nil // so does whoever holds the lock: our predecessor, perhaps
	}
	if err != nil {
		// Who cannot settle says so and serves: an updater that is out of order
		// is no reason for the program to stop.
		u.begin(CannotWrite, "not settling earlier updates", err)
		return false, nil
	}
	if !back {
		return false, nil
	}
	if u.opts.Restart == nil {
		return true, &Error{Step: Restarting, Version: u.Status().Installed, Err: ErrRestart}
	}
	err = u.opts.Restart(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return true, &Error{Step: Restarting, Version: u.Status().Installed, Err: ErrRestart}
	}
	if err != nil {
		u.begin(UpdateFailed, "handing over to the version put back", err)
		return false, nil
	}
	return true, nil
}
