package updater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// behindTooFar is how far behind signed dates a clock may stand before it counts as wrong.
const behindTooFar = 24 * time.Hour

// clockSkew is how far the clocks of machines that have a right one are apart.
const clockSkew = 10 * time.Minute

// observe is this moment by both clocks of the machine.
func (j *job) observe(clock release.Clock) state.Observation {
	boot, up := j.sinceBoot()
	o := state.Observation{Boot: boot, Up: up.Seconds()}
	if clock.Behind() < clockSkew {
		o.Wall = clock.Wall.UTC().Round(0)
	}
	return o
}

// sight is a release of the channel as it is remembered.
func sight(e release.Entry) state.Sight {
	return state.Sight{Version: e.Version.String(), ID: onDisk(e.Manifest)}
}

// see remembers which releases are newer than what is installed, if a gate may ask how long they have been known.
func (j *job) see(st *state.State, clock release.Clock) *state.State {
	now := j.observe(clock)
	var listed []state.Sight
	if len(j.gates) > 0 {
		for _, e := range j.view.Channel.Entries {
			if j.installed.LessThan(e.Version) {
				listed = append(listed, sight(e))
			}
		}
	}
	if j.held == nil {
		st.See(listed, now)
	} else if err := j.held.Change(func(st *state.State) { st.See(listed, now) }); err != nil {
		j.log.Warn("remembering which releases were seen", "err", err)
	} else {
		st = j.held.State()
	}
	j.installation = st.Installation
	j.ages = map[string]time.Duration{}
	for _, s := range st.Sights {
		j.ages[s.Version] = s.AgeAt(now)
	}
	return st
}

// local are the machine's own rules about a release in the channel.
func (j *job) local(e release.Entry, critical bool) (rules []release.Verdict) {
	j.judged = true
	version := e.Version.String()
	rules = j.policy.judge(e.Version, j.manual)
	if j.opts.NotifyOnly && !j.manual {
		rules = append(rules, release.Verdict{Release: version, Rule: "updates", Input: "notify only", Detail: "updates are installed only when a person asks"})
	}
	for _, g := range j.gates {
		a, ok := g.(minAge)
		if !ok {
			continue
		}
		m := Move{To: version, Critical: critical, Manual: j.manual, age: j.ages[version]}
		v, after := a.look(context.Background(), j.policy.bind(g, m))
		if !v.Passed && (j.ripe == 0 || after < j.ripe) {
			j.ripe = after
		}
		rules = append(rules, v)
	}
	return rules
}

// heldHere turns a refusal by the machine's own rules into what it is: an update that waits.
func (j *job) heldHere(err error) error {
	n := (*release.Nothing)(nil)
	if !errors.As(err, &n) || !n.Local() {
		return err
	}
	return fail(StepWaiting, n.Version.String(), &Held{Kind: n.Rule, Reason: n.Reason, After: j.ripe})
}

// proposed is the move to what is on offer, now.
func (j *job) proposed() Move {
	to := j.offer.Entry.Version.String()
	return Move{
		Installation: j.installation, App: j.opts.App, From: j.installed.String(), To: to,
		Critical: j.offer.Critical, Manual: j.manual,
		now: j.now(), behind: j.view.Clock.Behind() > behindTooFar, age: j.ages[to],
	}
}

// explainGates says what each gate, and each line of the policy, would say to what is on offer now, as far as asking
// changes nothing.
func (j *job) explainGates(ctx context.Context) (rules []release.Verdict) {
	if j.offer == nil {
		return j.policy.rest(ctx, nil, j.judged)
	}
	m := j.proposed()
	rules = j.policy.rest(ctx, &m, j.judged)
	for _, g := range j.opts.Gates {
		switch g := g.(type) {
		case minAge: // judged with the release
		case looker:
			v, _ := g.look(ctx, j.policy.bind(g, m))
			rules = append(rules, v)
		default:
			rules = append(rules, release.Verdict{Release: m.To, Rule: "gate", Passed: true, Detail: "a gate of the program is asked when the release is here and verified"})
		}
	}
	return rules
}

// makeRoom holds an update back that would leave less space than the operator wants to be left.
func (j *job) makeRoom(ctx context.Context) error {
	if j.policy == nil || j.policy.space == 0 {
		return nil
	}
	held := func(format string, args ...any) error {
		return &Held{Kind: "space", Reason: fmt.Sprintf(format, args...)}
	}
	free, known := j.held.Free()
	if !known {
		return held("the policy wants %d bytes to stay free, and this system does not tell how many are", j.policy.space)
	}
	routes, err := j.routes(ctx)
	if err != nil {
		return err
	}
	if need := routes[0].space(); free < need || free-need < j.policy.space {
		return held("%d bytes are free, the update needs %d of them, and the policy wants %d to stay free", free, need, j.policy.space)
	}
	return nil
}
