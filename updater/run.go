package updater

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
)

// Run keeps the program current until ctx ends: it settles what an interrupted update left, counts this start, marks
// the installed file proved once the process has run for ten seconds, and checks on the interval. It returns nil when
// ctx ends or when a successor has taken over, and ErrRestart when a release was installed and Options.Restart is
// nil. Only one Run per process.
//
// Run is the process in service: with package restart, give it to (*Restarter).Go, so that it does not run in two
// processes at once. While it runs, it also does what POST /update asks for.
//
// Where a package manager or a container image keeps the file current, Run only checks, and says of each newer
// version once that it is there.
//
// An Updater that is off says so once and waits for ctx.
func (u *Updater) Run(ctx context.Context) error {
	if u.off != nil {
		u.events.raise(EventOff, "this program does not update itself", u.off)
		<-ctx.Done()
		return nil
	}
	restarted, err := u.startService(ctx)
	if err != nil || restarted {
		return err
	}
	u.log.Info("looking for updates", "app", u.opts.App, "version", u.opts.Version, "channel", u.opts.Channel, "every", u.opts.Interval)
	proof := time.NewTimer(u.proveAfter)
	defer proof.Stop()
	// The first check comes soon: a service that was just started may be far behind. It is spread too, for fleets
	// that are started at once.
	next := time.NewTimer(u.schedule(time.Duration(rand.Int64N(int64(min(u.opts.Interval, time.Minute)/2) + 1))))
	defer next.Stop()
	tasks, done := u.take()
	defer done()
	tick := time.NewTicker(gateTick)
	defer tick.Stop()
	failures := 0
	for {
		var r Result
		var err error
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-proof.C:
			if !u.proveRunning(ctx) {
				proof.Reset(min(u.proveAfter, time.Second))
			}
			continue
		case <-tick.C:
			u.payGates(ctx)
			if u.overdue() {
				next.Reset(0)
			}
			continue
		case do := <-tasks:
			r, err = do(ctx)
			asked = true
		case <-next.C:
			r, err = u.poll(ctx)
		}
		switch {
		case err == nil && r.Restarted:
			return nil
		case err == nil && (r.Installed != "" || u.waitsForRestart()):
			return &Error{Step: StepRestarting, Version: u.Status().Installed, Err: ErrRestart}
		case ctx.Err() != nil:
			return nil
		case asked: // the schedule goes on
		case outcomeOf(err).soon:
			failures++
			next.Reset(u.retry(failures, err))
		default:
			failures = 0
			next.Reset(u.schedule(untilNext(err, u.opts.Interval, rand.Float64)))
		}
	}
}

// schedule tells the status when the next check is, and returns d.
func (u *Updater) schedule(d time.Duration) time.Duration {
	u.set(func(s *Status) { s.NextCheck = u.now().Add(d).UTC() })
	return d
}

// retry spreads the clients of a source that was down: full jitter, doubling, at most the interval, never sooner than
// the source asks for.
func (u *Updater) retry(failures int, err error) time.Duration {
	d := fetch.Backoff(min(10*time.Second, u.opts.Interval), u.opts.Interval, failures, rand.Float64)
	if row := outcomeOf(err); row.sentinel == ErrUndone && blameOf(row, err) != BlameRelease {
		d = max(d, min(time.Minute, u.opts.Interval/4)) // a shortage takes its time, and chances are few
	}
	return u.schedule(max(d, retryAfter(err)))
}

// poll is one turn of the interval.
func (u *Updater) poll(ctx context.Context) (Result, error) {
	t := u.begin(StepChecking)
	if t == nil {
		return Result{}, ErrBusy
	}
	defer t.end()
	j := u.job(t, request{})
	if j.policy != nil && j.policy.off {
		return Result{}, nil // nobody is asked
	}
	if u.manager() == nil {
		return j.update(ctx, true)
	}
	r, err := j.look(ctx)
	if err == nil && r.Offered != "" {
		j.events.raise(EventManaged, fmt.Sprintf("%s is on offer; %v", r.Offered, u.manager()), nil)
	}
	return r, err
}

// waitsForRestart reports whether a file is installed that this process does not run.
func (u *Updater) waitsForRestart() bool {
	if u.manager() != nil {
		return false
	}
	st, err := u.recall(u.events)
	return err == nil && u.behind(st)
}

// startService does what the beginning of service asks for. restarted: the file at the path was put back, and a
// successor runs it instead of this process.
func (u *Updater) startService(ctx context.Context) (restarted bool, err error) {
	t := u.begin(StepSettling) // POST /update waits meanwhile
	if t == nil {
		return false, nil // an update runs: it settles
	}
	defer t.end()
	if err := u.foreign(); err != nil {
		u.events.raise(EventManaged, "checking for updates, installing none", err)
		return false, nil
	}
	back, err := u.countStart(ctx)
	if errors.Is(err, state.ErrBusy) {
		return false, nil // whoever holds the lock settles: our predecessor, perhaps
	}
	if err != nil {
		// If settling fails, log it and keep serving: an updater that is out of order is no reason for the program to
		// stop.
		u.events.raise(EventCannotWrite, "not settling earlier updates", err)
		return false, nil
	}
	if !back {
		return false, nil
	}
	if u.opts.Restart == nil {
		return true, &Error{Step: StepRestarting, Version: u.Status().Installed, Err: ErrRestart}
	}
	err = u.opts.Restart(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return true, &Error{Step: StepRestarting, Version: u.Status().Installed, Err: ErrRestart}
	}
	if err != nil {
		u.events.raise(EventUpdateFailed, "handing over to the version put back", err)
		return false, nil
	}
	return true, nil
}

// countStart settles the journal, counts a start of an unproved file, and undoes one that was started too often.
// back: the file at the path is now another one than this process runs.
func (u *Updater) countStart(ctx context.Context) (back bool, err error) {
	j := u.job(nil, request{})
	if j.held, err = u.hold(ctx, u.events, 0, installation.Quietly); err != nil {
		return false, err
	}
	defer j.held.Release()
	defer func() { _ = u.leave(ctx, j.held, nil) }()
	if err := j.settle(); err != nil {
		return false, err
	}
	st := j.held.State()
	u.show(st)
	if st.Installed == nil || !u.runs(st.Installed) {
		return false, nil
	}
	undone, err := j.held.Count(false)
	u.show(j.held.State())
	u.events.undone(undone)
	return !u.own.is(u.disk), err
}

// overdue reports whether the time of the next check has passed by the clock on the wall: timers stand still while the
// machine sleeps, and a window may open when it wakes up.
func (u *Updater) overdue() bool {
	next := u.Status().NextCheck.Round(0)
	return !next.IsZero() && u.now().Round(0).After(next)
}

// moments is how long Run waits for another process to give way, before it asks again.
const moments = 2 * time.Second

// proveRunning records that the installed file ran healthily in this process. It reports whether there is nothing
// left to prove; there is while another process holds the lock, which proves or undoes itself.
func (u *Updater) proveRunning(ctx context.Context) bool {
	if u.manager() != nil {
		return true
	}
	st, err := u.recall(u.events)
	if err != nil {
		return false
	}
	in := st.Installed
	proved := in == nil || in.Proved || !u.runs(in)
	if proved && st.Claim == nil {
		u.show(st)
		return true
	}
	h, err := u.disk.HoldFor(ctx, moments, installation.ToChange)
	if err != nil {
		return !errors.Is(err, state.ErrBusy)
	}
	defer h.Release()
	if !proved {
		u.prove(h, in.ID)
	}
	_ = u.leave(ctx, h, nil)
	return true
}
