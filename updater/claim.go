package updater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
)

const (
	enterTimeout = 20 * time.Second // for all gates together
	leaveTimeout = 10 * time.Second // for each
	// enterLasts is how long an answer of the gates is good: a machine that slept since may have lost its slot.
	enterLasts = 30 * time.Second
	// gateTick is how often a process in service tries to tell a gate what it could not.
	gateTick = 30 * time.Second
)

// enter asks the gates whether the release may be installed now. Right after it returns nil the swap begins.
func (j *job) enter(ctx context.Context, to state.File) error {
	if len(j.gates) == 0 {
		return nil
	}
	j.asked = true
	if err := j.leave(ctx, j.held, nil); err != nil {
		return untold(err)
	}
	if j.held.State().Claim != nil { // on trial still, and about to be replaced
		why := fmt.Errorf("%s takes its place before it has proved itself: %w", to.Version, context.Canceled)
		if err := j.tellGates(ctx, j.held, why); err != nil {
			return untold(err)
		}
	}
	m := j.proposed()
	c := &state.Claim{From: m.From, To: m.To, ID: to.ID, Critical: m.Critical, Manual: m.Manual, Since: j.now().UTC()}
	for range 3 {
		asked, wall := time.Now(), j.now().Round(0)
		if err := j.ask(ctx, c); err != nil {
			return err
		}
		// A clock may be set, and a monotonic one stands still while the machine sleeps.
		if time.Since(asked) <= enterLasts && j.now().Round(0).Sub(wall) <= enterLasts {
			return nil
		}
	}
	return &Held{Kind: "gate", Reason: fmt.Sprintf("this machine stood still for more than %v each time that the gates had agreed", enterLasts)}
}

func untold(err error) error {
	return asHeld(fmt.Errorf("a gate was not told yet how the last move ended: %w", err))
}

// ask asks every gate once.
func (j *job) ask(ctx context.Context, c *state.Claim) error {
	within, cancel := context.WithTimeoutCause(ctx, enterTimeout, fmt.Errorf("no answer within %v", enterTimeout))
	defer cancel()
	m := j.proposed()
	for _, g := range j.gates {
		if _, here := g.(looker); !here {
			if err := j.held.Change(func(st *state.State) { st.Claim = c }); err != nil {
				return err
			}
		}
		err := g.Enter(within, j.policy.bind(g, m))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && within.Err() != nil:
			err = context.Cause(within)
		}
		if err != nil {
			return asHeld(err)
		}
	}
	return nil
}

func (u *Updater) move(st *state.State, c *state.Claim) Move {
	return Move{Installation: st.Installation, App: u.opts.App, From: c.From, To: c.To, Critical: c.Critical, Manual: c.Manual}
}

// leave tells the gates how the move ended that they were asked about, if that is known by now. why is what kept the
// release from being installed, nil if only the state knows. What is not told now is told later: the claim stays.
func (u *Updater) leave(ctx context.Context, h *installation.Held, why error) error {
	st := h.State()
	c := st.Claim
	if c == nil {
		return nil
	}
	at, err := u.disk.Identify()
	switch in := st.Installed; {
	case err != nil, st.Journal != nil:
		return nil // whoever settles knows
	case at == c.ID && in != nil && in.ID == at && !in.Proved:
		return nil // on trial
	case at == c.ID:
		why = nil
	case why == nil:
		why = notInstalled(st, c)
	}
	return u.tellGates(ctx, h, why)
}

// leaveAfter is leave at the end of an update.
func (j *job) leaveAfter(ctx context.Context, restart bool, r Result, err error) {
	for _, g := range j.gates {
		if l, ok := g.(looker); ok {
			l.letGo()
		}
	}
	if !j.asked {
		err = nil // an earlier claim, if there is one, ended for another reason
	}
	if err == nil && r.Installed != "" && !restart && len(j.instances()) == 0 && j.held.State().Claim != nil {
		_ = j.tellGates(ctx, j.held, nil) // nobody runs it who could prove it
		return
	}
	_ = j.leave(ctx, j.held, err)
}

// tellGates ends the claim.
func (u *Updater) tellGates(ctx context.Context, h *installation.Held, why error) error {
	st := h.State()
	m, o := u.move(st, st.Claim), *describe(u.now().UTC(), st.Claim.To, why)
	ctx = context.WithoutCancel(ctx) // most of those who know are about to end
	var failed error
	for _, g := range u.opts.Gates {
		within, cancel := context.WithTimeout(ctx, leaveTimeout)
		failed = errors.Join(failed, g.Leave(within, m, o))
		cancel()
	}
	u.owing.Store(failed != nil)
	if failed != nil {
		u.log.Warn("telling a gate how a move ended; it is tried again", "version", m.To, "outcome", o.Name, "err", failed)
		return failed
	}
	return h.Change(func(st *state.State) { st.Claim = nil })
}

// notInstalled is why the release of a claim is not at the path, as far as anybody remembers.
func notInstalled(st *state.State, c *state.Claim) error {
	if f, failed := st.Failed[c.To]; failed && !f.At.Before(c.Since) {
		return fail(StepUndoing, c.To, &classified{errors.New(f.Reason.String()), ErrUndone})
	}
	return fail(StepSwapping, c.To, fmt.Errorf("the process that was to install it ended: %w", context.Canceled))
}

// payGates tells the gates what they could not be told before.
func (u *Updater) payGates(ctx context.Context) {
	if !u.owing.Load() {
		return
	}
	if h, err := u.disk.TryHold(); err == nil {
		_ = u.leave(ctx, h, nil)
		h.Release()
	}
}
