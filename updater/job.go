package updater

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/release"
)

// request says what somebody asks for, and how they want to hear of it.
type request struct {
	want   *semver.Version // nil: the newest
	manual bool            // a person asked: the rollout's ramp is for the others
	// downgrade: want may be an older release, if the publisher lets people go back to it.
	downgrade bool
	source    *fetch.Client // nil: Options.Source and Mirrors
	terse     bool          // a person reads the result; the log would say it twice
}

// grants says to whom an update gives way. Two people who ask for an update want the same thing, and one is on it already.
func (r request) grants() []installation.Need {
	if r.manual {
		return []installation.Need{installation.ToChange}
	}
	return []installation.Need{installation.ToChange, installation.ToUpdate}
}

// trigger is who asked.
func (r request) trigger() string {
	if r.manual {
		return "person"
	}
	return "interval"
}

// job is one request on its way.
type job struct {
	*Updater
	request
	turn   *turn // nil: it only looks
	events reporter
	held   *installation.Held // nil until it may change something
	asked  bool               // the gates, which then want to know how it ends

	courtesy *installation.Courtesy

	// What its check saw.
	view      *catalog.View
	installed *semver.Version // at the path
	offer     *release.Offer  // nil if nothing newer is on offer

	// What the machine's own rules go by.
	policy       *policy // nil: the operator says nothing
	gates        []Gate  // the policy's, then the program's
	judged       bool    // a release was, by these rules
	installation string
	ages         map[string]time.Duration // of releases, for as long as they have been known here
	ripe         time.Duration            // until the first of those that are too young is old enough
}

func (u *Updater) job(t *turn, r request) *job {
	j := &job{Updater: u, request: r, turn: t, events: u.events, policy: readPolicy(u.policyFile, u.policyRequired), gates: u.opts.Gates}
	j.events.terse = r.terse
	j.courtesy = u.disk.Courtesy(r.grants()...)
	if j.source == nil {
		j.source = u.opts.network
	}
	if p := j.policy; p != nil {
		j.gates = slices.Concat(p.gates, j.gates)
		if p.stall > 0 {
			j.source = patient(j.source, p.stall)
		}
	}
	return j
}

// lock holds the installation, where an update can work at all.
func (j *job) lock(ctx context.Context, need installation.Need) (err error) {
	if err := j.foreign(); err != nil {
		return err
	}
	if err := j.disk.Prepare(); err != nil {
		return err
	}
	if j.manual {
		j.held, err = j.hold(ctx, j.events, j.patience, need)
	} else {
		j.held, err = j.hold(ctx, j.events, 0, installation.Quietly) // the interval comes again
	}
	if err == nil {
		j.held.Trigger = j.trigger()
	}
	return err
}

// settle finishes or undoes an interrupted update.
func (j *job) settle() error {
	s, err := j.held.Settle()
	j.events.settled(s)
	return fail(StepSettling, "", err)
}

// result is what the check has found.
func (j *job) result() (r Result) {
	if j.installed != nil {
		r.Replaced = j.installed.String()
	}
	if j.offer != nil {
		r.Offered = j.offer.Entry.Version.String()
		r.Notes = j.offer.Manifest.Notes
		r.Critical = j.offer.Critical
	}
	return r
}

// tell begins and ends the conditions that follow from how a check has ended, or an update that went on from there.
func (j *job) tell(err error) {
	o := outcomeOf(err)
	if o.knows {
		for _, other := range outcomes {
			if other.event != "" {
				j.events.clear(other.event)
			}
		}
	}
	if o.event != "" && o.event != EventUpdateFailed {
		j.events.raise(o.event, o.text, err)
	}
}

// record puts the outcome of an update into the status.
func (j *job) record(r Result, err error) {
	version := r.Installed
	if version == "" {
		version = r.Offered
	}
	outcome := describe(j.now().UTC(), version, err)
	j.set(func(s *Status) {
		s.Downloaded, s.Size, s.Outcome = 0, 0, outcome
		if r.Installed != "" && err == nil {
			s.Installed, s.Offered, s.Critical = r.Installed, "", false
		}
	})
	if o := outcomeOf(err); o.event == EventUpdateFailed {
		j.events.raise(o.event, o.text, err)
	} else {
		j.events.clear(EventUpdateFailed)
	}
}

// address is where a path of the repository is asked for first, without secrets.
func (j *job) address(path string) string {
	base, err := url.Parse(j.source.Sources[0])
	if err != nil {
		return j.opts.App
	}
	return strings.TrimSuffix(base.Redacted(), "/") + "/" + path
}
