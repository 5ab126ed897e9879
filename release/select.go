package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Client is everything that selection compares a channel with.
type Client struct {
	Platform
	Installed    *semver.Version   // what is at the path; required
	Now          time.Time         // for rollouts; Clock.Now
	Installation string            // random id of this installation; without one it is the last that a rollout reaches
	Failed       map[string]string // version -> why; not offered again unless named by Want
	Want         *semver.Version   // exactly this version; nil: the newest
	Manual       bool              // a person asked: a rollout does not hold back
}

// Offer is what a client should install now.
type Offer struct {
	Entry     Entry
	Manifest  *Manifest
	Artifact  *Artifact // with only the downloads that this version of Theseus can use
	Critical  bool      // the installed version should be left without delay
	Downgrade bool      // signed: the target of a yank
}

// Rule is one step of an explanation: what was looked at, and what came of it.
//
// About the client: installed (is what is installed withdrawn?), dev (developers' builds are not replaced unasked), listed (what is in
// the channel, and is the wanted version among it?). About a release, from its entry in the channel: newer, requires, yanked, failed, paused, floor,
// rollout; from its manifest: requires, minimum, platform, download.
type Rule struct {
	Release string `json:"release,omitzero"` // version judged; "" for rules about the client
	Rule    string `json:"rule"`             // one of the short names above
	Input   string `json:"input"`            // what was compared
	Passed  bool   `json:"passed"`
	Detail  string `json:"detail,omitzero"` // a sentence for a person
}

// Nothing is the error when something newer exists, or was asked for by name, and this machine may not install it now. It
// names the first rule that the newest such release failed or, if that release only waits for a step on the way to it, that
// the step failed. For the rule platform, errors.Is finds ErrNoArtifact.
type Nothing struct {
	Rule    string
	Version *semver.Version
	Reason  string
}

func (n *Nothing) Error() string {
	return fmt.Sprintf("%s cannot be installed here now: %s", n.Version, n.Reason)
}

func (n *Nothing) Unwrap() error {
	if n.Rule == "platform" {
		return ErrNoArtifact
	}
	return nil
}

// Select chooses what a client should install now. It judges the releases that are newer than the installed one, newest first,
// each by every rule, and takes the first that passes all of them, so that a release that is withheld leaves the next lower
// one on offer, and one that cannot be reached directly leaves the step towards it. Without a newer one it takes what the yank
// of the installed version goes back to. manifest fetches and opens the manifest of an entry; it is called only for entries
// that passed the rules of the channel, once each from the newest down until one is taken, and its error ends the selection.
//
// offer and err nil: up to date. *Nothing: see there. rules is the explanation, whatever the outcome. Freshness and
// sequence of the channel are the caller's to check before.
func Select(c *Channel, client Client, manifest func(Entry) (*Manifest, error)) (offer *Offer, rules []Rule, err error) {
	if client.Installed == nil {
		return nil, nil, errors.New("selecting a release: the installed version is not known")
	}
	s := &selection{channel: c, Client: client, manifest: manifest}
	offer, err = s.run()
	return offer, s.rules, err
}

type selection struct {
	channel *Channel
	Client
	manifest func(Entry) (*Manifest, error)

	rules   []Rule
	nothing *Nothing // why there is no offer so far
	step    bool     // and that is because a step must come first
	urgent  bool     // on the way away from a hole: what is judged from here on is critical
}

func (s *selection) run() (*Offer, error) {
	back := s.judgeInstalled()
	var candidates []Entry
	for _, e := range s.channel.Entries {
		if s.newer(e) {
			candidates = append(candidates, e)
		}
	}
	switch {
	case s.Want != nil:
		wanted, done, err := s.judgeWanted(back)
		if done {
			return nil, err
		}
		candidates = wanted
		if back != nil && !back.Version.Equal(s.Want) {
			back = nil
		}
	case len(candidates) == 0 && back == nil:
		s.client("listed", s.listed(), true, "nothing newer is on offer")
		return nil, nil
	case Development(s.Installed):
		const reason = "a developer's build is replaced only when a person asks for it"
		s.client("dev", s.Installed.String(), s.Manual, reason)
		if !s.Manual {
			if len(candidates) == 0 {
				candidates = []Entry{*back}
			}
			return nil, &Nothing{"dev", candidates[0].Version, reason}
		}
	}

	for _, e := range candidates {
		offer, err := s.judge(e, false)
		if offer != nil || err != nil {
			return offer, err
		}
	}
	if back != nil {
		offer, err := s.judge(*back, true)
		if offer != nil || err != nil {
			return offer, err
		}
	}
	if s.nothing != nil {
		return nil, s.nothing
	}
	return nil, nil
}

func (s *selection) newer(e Entry) bool { return s.Installed.LessThan(e.Version) }

// judgeInstalled looks at the entry of what is installed and returns the one to go back to, if it is withdrawn that way.
func (s *selection) judgeInstalled() (back *Entry) {
	e := s.channel.Entry(s.Installed)
	switch {
	case e == nil:
		s.client("installed", s.Installed.String(), true, "the channel does not list it")
	case e.Yanked == nil:
		s.client("installed", s.Installed.String(), true, "")
	default:
		do := "it may stay"
		switch e.Yanked.Action {
		case "up":
			s.urgent, do = true, "the next newer release that is on offer takes its place, without waiting for a rollout"
		case "back":
			back = s.channel.Entry(e.Yanked.To)
			do = "a newer release that is on offer takes its place, otherwise " + e.Yanked.To.String()
		}
		s.client("installed", s.Installed.String()+" is yanked: "+e.Yanked.Action, false, "withdrawn: "+e.Yanked.Reason+"; "+do)
	}
	return back
}

// judgeWanted turns a version that a person named into the candidates; done if there is nothing left to judge.
func (s *selection) judgeWanted(back *Entry) (candidates []Entry, done bool, err error) {
	e := s.channel.Entry(s.Want)
	if s.Want.Equal(s.Installed) {
		s.client("listed", s.Want.String(), true, "it is installed already")
		return nil, true, nil
	}
	if e == nil {
		reason := fmt.Sprintf("channel %s does not list it; it lists %s", s.channel.Name, s.listed())
		s.client("listed", s.Want.String(), false, reason)
		return nil, true, &Nothing{"listed", s.Want, reason}
	}
	s.client("listed", s.Want.String(), true, "")
	if s.newer(*e) {
		return []Entry{*e}, false, nil
	}
	if back != nil && back.Version.Equal(s.Want) {
		return nil, false, nil
	}
	reason := fmt.Sprintf("it is older than the installed %s; only the publisher can send an installation back, by yanking what it has", s.Installed)
	s.rule(*e, "newer", "installed "+s.Installed.String(), false, reason)
	return nil, true, &Nothing{"newer", s.Want, reason}
}

// judge applies every rule to one release. The rules about the way up do not bind the target of a yank.
func (s *selection) judge(e Entry, back bool) (*Offer, error) {
	critical := s.urgent || e.Critical != nil && s.Installed.LessThan(e.Critical)
	var failed []Rule
	try := func(rule, input string, passed bool, detail string) {
		r := s.rule(e, rule, input, passed, detail)
		if !passed {
			failed = append(failed, r)
		}
	}

	if back {
		try("newer", "installed "+s.Installed.String(), true, "older, and signed: the installed version is withdrawn and goes back to this one")
	} else {
		try("newer", "installed "+s.Installed.String(), true, "")
	}
	s.tryRequires(try, "channel", e.Requires, entryNames)
	s.tryYanked(try, e)
	s.tryFailed(try, e)
	s.tryPaused(try, e)
	if !back {
		s.tryFloor(try, e)
		s.tryRollout(try, e, critical)
	}
	if len(failed) > 0 {
		s.miss(e, failed, critical)
		return nil, nil
	}

	m, err := s.manifest(e)
	if err != nil {
		return nil, err
	}
	s.tryRequires(try, "manifest", m.Requires, manifestNames)
	if !back {
		s.tryMinimum(try, m)
	}
	a := s.tryArtifact(try, m)
	if len(failed) > 0 {
		s.miss(e, failed, critical)
		return nil, nil
	}
	return &Offer{Entry: e, Manifest: m, Artifact: a, Critical: critical || s.leavesHole(e), Downgrade: back}, nil
}

// miss remembers why a release was not taken. A release that fails only because a step must come first is right, and only the
// way to it is longer: what is urgent about it is urgent about the step, and what keeps a client from the step is the reason
// that a person needs. A yanked release is missed by nobody who has not asked for it.
func (s *selection) miss(e Entry, failed []Rule, critical bool) {
	only := func(names ...string) bool {
		return !slices.ContainsFunc(failed, func(r Rule) bool { return !slices.Contains(names, r.Rule) })
	}
	behindFloor := slices.ContainsFunc(failed, func(r Rule) bool { return r.Rule == "floor" })
	if s.nothing == nil && (e.Yanked == nil || s.Want != nil) || s.step && !behindFloor && e.Yanked == nil {
		s.nothing = &Nothing{failed[0].Rule, e.Version, failed[0].Detail}
		s.step = only("floor", "minimum")
	}
	s.urgent = s.urgent || critical && only("floor", "minimum")
}

// leavesHole reports whether e takes the client across a version that some release is critical below.
func (s *selection) leavesHole(e Entry) bool {
	for _, o := range s.channel.Entries {
		if o.Critical != nil && s.Installed.LessThan(o.Critical) && !e.Version.LessThan(o.Critical) {
			return true
		}
	}
	return false
}

type try func(rule, input string, passed bool, detail string)

func (s *selection) tryRequires(try try, where string, requires, known []string) {
	input := where + ": " + strings.Join(requires, ", ")
	if len(requires) == 0 {
		input = where + ": nothing"
	}
	if u := unknown(requires, known); u != nil {
		try("requires", input, false, "it needs an updater that knows "+strings.Join(u, ", ")+": update to a lower version first, or install it by hand")
		return
	}
	try("requires", input, true, "")
}

func (s *selection) tryYanked(try try, e Entry) {
	if e.Yanked == nil {
		try("yanked", "no", true, "")
		return
	}
	try("yanked", "yes", false, "withdrawn by the publisher: "+e.Yanked.Reason)
}

func (s *selection) tryFailed(try try, e Entry) {
	why, ok := s.Failed[e.Version.String()]
	switch {
	case !ok:
		try("failed", "no", true, "")
	case s.Want != nil:
		try("failed", why, true, "failed here before, and is tried again because it was named")
	default:
		try("failed", why, false, "failed here before ("+why+"); name the version to try it again")
	}
}

func (s *selection) tryPaused(try try, e Entry) {
	if e.Paused == "" {
		try("paused", "no", true, "")
		return
	}
	try("paused", "yes", false, "paused by the publisher: "+e.Paused)
}

// tryFloor: a floor is a step for everybody below it. One that is paused or not reached by its rollout holds up what is above
// it too; one that is yanked is none.
func (s *selection) tryFloor(try try, e Entry) {
	var lowest *semver.Version // entries run from the newest down
	for _, f := range s.channel.Entries {
		if f.Floor && f.Yanked == nil && s.newer(f) && f.Version.LessThan(e.Version) {
			lowest = f.Version
		}
	}
	if lowest == nil {
		try("floor", "none between", true, "")
		return
	}
	try("floor", lowest.String(), false, lowest.String()+" must be installed first, by itself")
}

func (s *selection) tryRollout(try try, e Entry, critical bool) {
	if e.Rollout == nil {
		try("rollout", "none", true, "")
		return
	}
	bucket, share := all-1, e.Rollout.Share(s.Now)
	place := "last (no installation id)"
	if s.Installation != "" {
		bucket = Bucket(s.channel.App, e.Version, s.Installation)
		place = percent(bucket)
	}
	input := "share " + percent(share) + ", place " + place
	switch {
	case bucket < share:
		try("rollout", input, true, "")
	case critical:
		try("rollout", input, true, "not reached yet, but critical for this installation")
	case s.Manual || s.Want != nil:
		try("rollout", input, true, "not reached yet, but a person asked")
	default:
		try("rollout", input, false, "it is being rolled out and has not reached this installation yet; a person may ask for it now")
	}
}

func (s *selection) tryMinimum(try try, m *Manifest) {
	if m.Minimum == nil {
		try("minimum", "none", true, "")
		return
	}
	if s.Installed.LessThan(m.Minimum) {
		try("minimum", m.Minimum.String(), false, fmt.Sprintf("it can be installed over %s or newer, and %s is installed: a version between them must be installed first",
			m.Minimum, s.Installed))
		return
	}
	try("minimum", m.Minimum.String(), true, "")
}

// tryArtifact also leaves out the downloads that this version cannot use, without touching the manifest.
func (s *selection) tryArtifact(try try, m *Manifest) *Artifact {
	a, err := m.Artifact(s.Platform)
	if err != nil {
		var has []string
		for _, a := range m.Artifacts {
			has = append(has, a.Platform.String())
		}
		try("platform", s.Platform.String(), false, "no artifact for "+s.Platform.String()+"; there is one for "+strings.Join(has, ", "))
		return nil
	}
	try("platform", s.Platform.String(), true, "artifact for "+a.Platform.String())
	usable := *a
	usable.Downloads = nil
	var not []string
	for _, d := range a.Downloads {
		if why := d.usable(); why != "" {
			not = append(not, why)
			continue
		}
		usable.Downloads = append(usable.Downloads, d)
	}
	input := fmt.Sprintf("%d of %d", len(usable.Downloads), len(a.Downloads))
	if len(usable.Downloads) == 0 {
		try("download", input, false, "none of its downloads can be used by this version: "+strings.Join(not, "; ")+": install a lower version first")
		return nil
	}
	try("download", input, true, strings.Join(not, "; "))
	return &usable
}

func (s *selection) client(rule, input string, passed bool, detail string) {
	s.rules = append(s.rules, Rule{Rule: rule, Input: input, Passed: passed, Detail: detail})
}

func (s *selection) rule(e Entry, rule, input string, passed bool, detail string) Rule {
	r := Rule{Release: e.Version.String(), Rule: rule, Input: input, Passed: passed, Detail: detail}
	s.rules = append(s.rules, r)
	return r
}

// listed names the newest releases of the channel for a person.
func (s *selection) listed() string {
	var names []string
	for _, e := range s.channel.Entries {
		if len(names) == 5 {
			names = append(names, "…")
			break
		}
		if e.Yanked == nil {
			names = append(names, e.Version.String())
		}
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
