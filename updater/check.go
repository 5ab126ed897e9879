package updater

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// Check asks the source whether there is something to install. It changes nothing but what is remembered about
// documents, and needs no permission to write: what it cannot store it keeps in memory.
func (u *Updater) Check(ctx context.Context) (Result, error) {
	if u.off != nil {
		return Result{}, fail(StepChecking, "", u.off)
	}
	return u.job(nil, request{manual: true}).look(ctx)
}

// look is a check by itself.
func (j *job) look(ctx context.Context) (Result, error) {
	err := j.check(ctx)
	j.tell(err)
	r := j.result()
	if m := j.manager(); m != nil {
		r.Managed = m.String()
	}
	return r, err
}

// check sees what is installed and what is on offer. With no error and no offer there is nothing newer.
func (j *job) check(ctx context.Context) (err error) {
	j.turn.at(StepChecking)
	j.set(func(s *Status) { s.LastAttempt, s.Sources = j.now().UTC(), nil })
	defer func() {
		err = fail(StepChecking, "", err)
		j.count(func(c *state.Counts) {
			c.Add(state.Counts{Checks: map[string]state.Count{outcomeOf(err).name: {N: 1, Last: j.now().UTC()}}})
		})
		j.seen(err)
	}()
	var st *state.State
	if j.held != nil {
		st = j.held.State()
	} else if st, err = j.recall(j.events); err != nil {
		return err
	}
	if j.installed, err = j.Updater.installed(ctx, st); err != nil {
		return err
	}
	memory := j.known(st)
	clock := release.Clock{Wall: j.now(), Floor: memory.Floor, Built: j.opts.Built}
	if clock.Behind() > behindTooFar {
		j.events.raise(EventClockBehind, "the clock stands before dates that were signed already; expiry is judged by those", nil)
	} else {
		j.events.clear(EventClockBehind)
	}
	j.view, err = j.client.Look(ctx, j.source, memory, clock.Wall)
	j.keep(j.view.Memory, j.held)
	j.noteView()
	if err != nil {
		return err
	}
	j.show(st)
	defer func() { j.learn(j.view.Memory) }() // the manifests
	var verdicts []release.Verdict
	j.notePolicy()
	st = j.see(st, clock)
	failed, urgent := waiting(st, j.now(), j.opts.RetryFailed)
	j.offer, verdicts, err = j.view.Select(ctx, release.Client{
		Platform:  release.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH, Variant: j.opts.Variant},
		Installed: j.installed, Installation: st.Installation,
		Failed: failed, Urgent: urgent, Want: j.want, Manual: j.manual, Local: j.local, Downgrade: j.downgrade,
	})
	err = j.heldHere(err)
	verdicts = append(verdicts, j.explainGates(ctx)...)
	j.set(func(s *Status) { s.Explain = verdicts })
	j.noteWithdrawn(err)
	return err
}

// noteWithdrawn tells that what is installed is withdrawn, and what becomes of it.
func (j *job) noteWithdrawn(err error) {
	e := j.view.Channel.Entry(j.installed)
	if e == nil || e.Yanked == nil {
		j.set(func(s *Status) { s.Withdrawn = "" })
		j.events.clear(EventWithdrawn)
		return
	}
	next := "nothing is on offer in its place"
	switch {
	case j.offer != nil && j.offer.Downgrade:
		next = "this installation goes back to " + j.offer.Entry.Version.String()
	case j.offer != nil:
		next = j.offer.Entry.Version.String() + " is on offer in its place"
	case err != nil:
		next = err.Error()
	case e.Yanked.Action == "stay":
		next = "the publisher lets it run on"
	}
	text := fmt.Sprintf("the publisher has withdrawn %s, which is installed (%s): %s", j.installed, e.Yanked.Reason, next)
	j.set(func(s *Status) { s.Withdrawn = text })
	j.events.raise(EventWithdrawn, text, nil)
}

// notePolicy tells that the operator's policy cannot be used.
func (j *job) notePolicy() {
	if j.policy == nil || j.policy.wrong == nil {
		j.events.clear(EventPolicy)
		return
	}
	j.events.raise(EventPolicy, "the operator's policy cannot be used", j.policy.wrong)
}

// noteView tells what the documents have brought besides an offer.
func (j *job) noteView() {
	if j.view.TrustLost != nil {
		j.events.raise(EventTrustCorrupt, "the remembered trust document cannot be read; going on from what the program was built with", j.view.TrustLost)
	}
	if c := j.view.Channel; c != nil {
		j.noteRetired(c)
	}
	for _, t := range j.view.Followed {
		j.events.emit(Event{Kind: EventTrustChanged, Text: fmt.Sprintf("trust document %d is in force", t.Version)})
	}
}

// noteRetired tells that the publisher has given the channel up. What it lists stays on offer.
func (j *job) noteRetired(c *release.Channel) {
	if c.Retired == nil {
		j.set(func(s *Status) { s.Retired = "" })
		j.events.clear(EventRetired)
		return
	}
	text := fmt.Sprintf("the publisher has given the channel %s up: %s", c.Name, c.Retired.Reason)
	if c.Retired.To != "" {
		text += "; follow the channel " + c.Retired.To + " instead"
	}
	j.set(func(s *Status) { s.Retired = text })
	j.events.raise(EventRetired, text, nil)
}

// seen puts what a check saw into the status.
func (j *job) seen(err error) {
	j.set(func(s *Status) {
		if j.installed != nil {
			s.Installed, s.Offered, s.Critical = j.installed.String(), "", false
		}
		if j.offer != nil {
			s.Offered, s.Critical = j.offer.Entry.Version.String(), j.offer.Critical
		}
		if v := j.view; v != nil {
			s.Sources = append(s.Sources, sources(v.Failed)...)
			if v.Channel != nil {
				s.Sequence, s.Expires, s.Trust = v.Channel.Sequence, v.Channel.Expires, v.Trust.Version
			}
		}
		if err == nil || errors.Is(err, ErrNothing) || errors.Is(err, ErrHeld) {
			s.LastCheck = j.now().UTC()
		}
	})
}
