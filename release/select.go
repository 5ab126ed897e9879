package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Offer is what a client should install now.
type Offer struct {
	Entry     Entry
	Manifest  *Manifest
	Artifact  *Artifact // with only the downloads that this version of Theseus can use
	Critical  bool      // the installed version should be left without delay
	Downgrade bool      // signed: the target of a yank, or a release that the publisher lets people go back to
}

// Verdict is one line of an explanation: what a rule looked at, and what came of it.
//
// Rules about the client: installed (is what is installed withdrawn?), dev (a developer's build is replaced
// only by a version that is named), listed (is the wanted version in the channel?). About a release, by its entry in the channel: newer,
// requires, yanked, failed, paused, floor, rollout, then the machine's own; by its manifest: requires, minimum, platform, download.
type Verdict struct {
	Release string `json:"release,omitzero"` // the version that was judged; "" for rules about the client
	Rule    string `json:"rule"`             // one of the names above
	Input   string `json:"input"`            // what was compared
	Passed  bool   `json:"passed"`
	Detail  string `json:"detail,omitzero"` // a sentence for a person
}

// Nothing is the error when something newer exists, or was asked for by name, and this machine may not install it now.
// It names the first rule that the newest such release failed or, if that release only waits for a step on the way to
// it, that the step failed. Where that is the rule platform, errors.Is finds ErrNoArtifact.
type Nothing struct {
	Rule    string
	Version *semver.Version
	Reason  string

	rule *rule // nil for a rule about the client
}

func (n *Nothing) Error() string {
	return fmt.Sprintf("%s cannot be installed here now: %s", n.Version, n.Reason)
}

// Unwrap returns the error that belongs to the rule, or nil.
func (n *Nothing) Unwrap() error {
	if n.rule == nil {
		return nil
	}
	return n.rule.because
}

// Waits reports whether the publisher holds the release back for a while, on purpose (a pause, a rollout that has not
// come this far), so that nobody has to do anything.
func (n *Nothing) Waits() bool { return n.rule != nil && n.rule.waits }

// Local reports whether the machine holds the release back by itself ([Client.Local]), and not the publisher.
func (n *Nothing) Local() bool { return n.rule != nil && n.rule.local }

// Select chooses what a client should install now. It judges the releases that are newer than the installed one, newest
// first, each by every rule, and takes the first that passes all of them: if one is withheld, the next lower one is on
// offer, and if one cannot be reached directly, the step towards it is. If there is no newer one, the yank of the
// installed version may name one to go back to. manifest fetches and opens the manifest of an entry; it is called only
// for entries that passed the rules about entries, once each from the newest down until one is taken, and its error
// ends the selection.
//
// If offer and err are nil, the client is up to date. If err is a *[Nothing], there is something that it may not
// install now. rules explains the outcome, whatever it is. The caller checks before that the channel is current
// ([Channel.Fresh]) and not older than what was seen ([Channel.Follows]).
func Select(c *Channel, client Client, manifest func(Entry) (*Manifest, error)) (offer *Offer, rules []Verdict, err error) {
	if client.Installed == nil {
		return nil, nil, errors.New("selecting a release: the installed version is not known")
	}
	s := &selection{channel: c, Client: client, open: manifest}
	offer, err = s.run()
	return offer, s.verdicts, err
}

type selection struct {
	channel *Channel
	Client
	open func(Entry) (*Manifest, error)

	verdicts []Verdict
	nothing  *Nothing // why there is no offer so far
	step     bool     // and that is because another release must be installed first
	urgent   bool     // on the way away from a hole: what is judged from here on is critical
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
		var done bool
		var err error
		if candidates, back, done, err = s.judgeWanted(back); done {
			return nil, err
		}
	case len(candidates) == 0 && back == nil:
		s.note(nil, "listed", verdict{s.listed(), true, "nothing newer is on offer"})
		return nil, nil
	case Development(s.Installed):
		const reason = "a developer's build is replaced only by a version that a person names"
		s.note(nil, "dev", verdict{s.Installed.String(), false, reason})
		if len(candidates) == 0 {
			candidates = []Entry{*back}
		}
		return nil, &Nothing{Rule: "dev", Version: candidates[0].Version, Reason: reason}
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

// judgeInstalled looks at the entry of what is installed and returns the one to go back to, if it is withdrawn that
// way.
func (s *selection) judgeInstalled() (back *Entry) {
	e := s.channel.Entry(s.Installed)
	switch {
	case e == nil:
		s.note(nil, "installed", verdict{s.Installed.String(), true, "the channel does not list it"})
	case e.Yanked == nil:
		s.note(nil, "installed", verdict{s.Installed.String(), true, ""})
	default:
		do := "it may stay"
		switch e.Yanked.Action {
		case "up":
			s.urgent, do = true, "the next newer release that is on offer takes its place, without waiting for a rollout"
		case "back":
			back = s.channel.Entry(e.Yanked.To)
			do = "a newer release that is on offer takes its place, otherwise " + e.Yanked.To.String()
		}
		s.note(nil, "installed", verdict{s.Installed.String() + " is yanked: " + e.Yanked.Action, false, "withdrawn: " + e.Yanked.Reason + "; " + do})
	}
	return back
}

// judgeWanted turns a version that a person named into a candidate on the way up, or into the one to go back to; done
// if there is nothing left to judge.
func (s *selection) judgeWanted(back *Entry) (candidates []Entry, to *Entry, done bool, err error) {
	e := s.channel.Entry(s.Want)
	if s.Want.Equal(s.Installed) {
		s.note(nil, "listed", verdict{s.Want.String(), true, "it is installed already"})
		return nil, nil, true, nil
	}
	if e == nil {
		reason := fmt.Sprintf("channel %s does not list it; it lists %s", s.channel.Name, s.listed())
		s.note(nil, "listed", verdict{s.Want.String(), false, reason})
		return nil, nil, true, &Nothing{Rule: "listed", Version: s.Want, Reason: reason}
	}
	s.note(nil, "listed", verdict{s.Want.String(), true, ""})
	if s.newer(*e) {
		return []Entry{*e}, nil, false, nil
	}
	if back != nil && back.Version.Equal(s.Want) {
		return nil, back, false, nil
	}
	if reason := s.mayReturn(*e); reason != "" {
		reason = fmt.Sprintf("it is older than the installed %s; %s", s.Installed, reason)
		s.note(e.Version, "newer", verdict{"installed " + s.Installed.String(), false, reason})
		return nil, nil, true, &Nothing{Rule: "newer", Version: s.Want, Reason: reason}
	}
	return nil, e, false, nil
}

// mayReturn says what keeps a person from going back to an older release, or "".
func (s *selection) mayReturn(e Entry) string {
	lowest := s.channel.LowestAllowed(s.Installed)
	switch {
	case !e.Return:
		return "the publisher lets nobody go back to it, and can send an installation back by yanking what it has"
	case lowest != nil && e.Version.LessThan(lowest):
		return "the publisher lets people go back, but not below " + lowest.String()
	case !s.Downgrade:
		return "the publisher lets people go back to it: ask for a downgrade"
	}
	return ""
}

// judge applies every rule to one release.
func (s *selection) judge(e Entry, back bool) (*Offer, error) {
	c := &candidate{selection: s, Entry: e, back: back}
	c.critical = s.urgent || e.Critical != nil && s.Installed.LessThan(e.Critical)
	passed := c.judge(entryRules)
	if !c.judgeLocal() || !passed {
		s.miss(c)
		return nil, nil
	}
	var err error
	if c.manifest, err = s.open(e); err != nil {
		return nil, err
	}
	if !c.judge(manifestRules) {
		s.miss(c)
		return nil, nil
	}
	return &Offer{Entry: e, Manifest: c.manifest, Artifact: c.artifact, Critical: c.critical || s.leavesHole(e), Downgrade: back}, nil
}

// miss remembers why a release was not taken. A release that only waits for a step is the right one, and the way to it
// is longer: what is urgent about it is urgent about the step, and what keeps the client from the step is the reason
// that a person needs. A yanked release counts only if it was requested by name.
func (s *selection) miss(c *candidate) {
	fenced := slices.ContainsFunc(c.failed, func(r *rule) bool { return r.fence })
	if s.nothing == nil && (c.Yanked == nil || s.Want != nil) || s.step && !fenced && c.Yanked == nil {
		s.nothing = &Nothing{Rule: c.failed[0].name, Version: c.Version, Reason: c.why, rule: c.failed[0]}
		s.step = c.waitsForStep()
	}
	s.urgent = s.urgent || c.critical && c.waitsForStep()
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

// note adds a line to the explanation; without a version it is about the client.
func (s *selection) note(release *semver.Version, rule string, v verdict) {
	line := Verdict{Rule: rule, Input: v.input, Passed: v.passed, Detail: v.detail}
	if release != nil {
		line.Release = release.String()
	}
	s.verdicts = append(s.verdicts, line)
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
