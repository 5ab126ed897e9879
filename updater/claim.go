package updater

import "context"

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
