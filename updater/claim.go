package updater

import (
	"context"
	"time"
)

// One update at a time in this process. The token is claimed before work
// starts, so that POST /update can answer 409 without a race; a call that runs
// under a claim made for it says so in its context.

type claimedKey struct{}

func claimed(ctx context.Context) context.Context {
	return context.WithValue(ctx, claimedKey{}, true)
}

func (u *Updater) claim() bool {
	select {
	case <-u.busy:
		return true
	default:
		return false
	}
}

// claimSoon is claim for a person's request: what is between two updates, or
// settles what an earlier process left, takes moments and is waited for, so
// that nobody is told of an update that runs by a status that says idle.
func (u *Updater) claimSoon() bool {
	if u.claim() {
		return true
	}
	if s := u.Status().State; s != Idle && s != Settling {
		return false
	}
	select {
	case <-u.busy:
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

func (u *Updater) unclaim() { u.busy <- struct{}{} }

// enter claims for a call, unless its caller did; leave undoes just that.
func (u *Updater) enter(ctx context.Context) (leave func(), ok bool) {
	if ctx.Value(claimedKey{}) != nil {
		return func() {}, true
	}
	if !u.claim() {
		return nil, false
	}
	return u.unclaim, true
}

// job is what POST asks for: an update to a version, or a rollback.
type job func(ctx context.Context, version string) (Result, error)

// hand gives claimed work to Run, if Run runs, and to a goroutine of its own
// if not. Run is the better place: a restart that lets workers finish what
// they do inside it then waits for the last record of the update, too.
func (u *Updater) hand(work func(context.Context) (Result, error)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.jobs != nil {
		u.jobs <- work // there is room: the claim is for one
		return
	}
	go func() { _, _ = work(context.Background()) }()
}

// takeJobs makes Run the one who does what is handed. done gives that back.
func (u *Updater) takeJobs() (jobs <-chan func(context.Context) (Result, error), done func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	mine := make(chan func(context.Context) (Result, error), 1)
	u.jobs = mine
	return mine, func() {
		u.mu.Lock()
		u.jobs = nil
		u.mu.Unlock()
		select {
		case work := <-mine: // came as Run ended
			go func() { _, _ = work(context.Background()) }()
		default:
		}
	}
}
