package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theseus-go/theseus/internal/text"
)

// A group is the one document that decides which machines may update. It changes by compare-and-swap alone, so every rule below is
// judged on a whole document, and two coordinators on one store are as good as one. What the operator wants, the Policy,
// is not in it: it comes from configuration at each decision.
type group struct {
	Format  int                `json:"format"`
	Version string             `json:"version,omitempty"` // the group goes to it; its rollout is what the next seven are about
	Begun   time.Time          `json:"begun,omitzero"`
	Epoch   uint64             `json:"epoch,omitempty"` // counts rollouts and resumes
	Proved  int                `json:"proved,omitempty"`
	Wave    int                `json:"wave,omitempty"`   // the highest that was reached
	Soaking time.Time          `json:"soaking,omitzero"` // since when the one before it is full
	Soaked  int                `json:"soaked,omitempty"` // how many machines it was full with
	Failed  map[string]failure `json:"failed,omitempty"` // by machine
	Before  string             `json:"before,omitempty"` // the version that this one took the place of
	Halted  *halt              `json:"halted,omitempty"`
	Holders map[string]holder  `json:"holders,omitempty"` // by machine

	// Counted once after reading, and kept right by every change: most asks are refused, and should not cost a look at
	// every holder.
	counted bool
	going   int       // holders on their way to Version who are in time
	missing int       // and those who are not
	next    time.Time // no holder is late before
}

type holder struct {
	Version string    `json:"version,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Token   string    `json:"token,omitempty"`
	Lost    bool      `json:"lost,omitempty"` // its deadline was missed, and counted, once
}

type failure struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

type halt struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

const (
	format    = 1
	maxReason = 160 // bytes that are kept of a failure's or a halt's reason

	// superseded is how long a version that another one has taken the place of is not gone to. Machines that have not
	// looked at the channel since would otherwise begin its rollout anew, and the rollouts of two versions would take
	// turns for ever. Afterwards the older version is one that the publisher has gone back to.
	superseded = 2 * time.Hour
)

// Kind says why a machine has to wait.
type Kind string

// The kinds of refusals. They are the "kind" of a FleetLock answer too.
const (
	KindHalted Kind = "halted"    // until somebody resumes the group
	KindFull   Kind = "lock_held" // every slot is taken
	KindWave   Kind = "wave"      // others have to prove the version first
	KindSoak   Kind = "soak"      // those who have are being watched
	KindSameID Kind = "same_id"   // a machine of the same id is on its way
	KindFailed Kind = "failed"    // this machine has failed with this version
)

// Verb is what an operator does to end a wait that does not end by itself.
type Verb string

// The verbs. Each ends one kind of wait, and no other.
const (
	VerbResume Verb = "resume" // the group, after a halt
	VerbClear  Verb = "clear"  // one machine, which has failed or never come back
)

// A Refusal says that a machine may not go now. It is no fault of anything.
type Refusal struct {
	Kind   Kind
	Reason string        // one sentence for a person
	After  time.Duration // how soon it is worth asking again
	Verb   Verb          // what somebody has to do, or "" if waiting is enough
	IDs    []string      // which machines to clear, at most ten

	sure bool // it is a server's no: a proxy, or one whose store is away, may have said it after a yes
}

func (r *Refusal) Error() string { return string(r.Kind) + ": " + r.Reason }

// Outcome is how a machine's turn has ended.
type Outcome string

// The outcomes.
const (
	Proved  Outcome = "proved"  // it runs the version healthily; FleetLock's steady state
	Undone  Outcome = "undone"  // it was put back to the version before: the version's failure
	Stopped Outcome = "stopped" // it has not gone, for reasons of its own: nobody's failure
)

// A Slot is the right of a machine to go now.
type Slot struct {
	Until    time.Time     // by the coordinator's clock
	Left     time.Duration // until then. A machine begins before half of it has passed, by its monotonic clock
	Deadline time.Duration // what Left is when a slot is given for the first time
}

func decode(b []byte) (*group, error) {
	g := &group{Format: format}
	if b == nil {
		return g, nil
	}
	if err := json.Unmarshal(b, g); err != nil {
		return nil, fmt.Errorf("the group's document in the store is damaged: %w", err)
	}
	if g.Format != format {
		return nil, fmt.Errorf("the group's document has the format %d, this coordinator knows %d: a newer one has written it; update this one", g.Format, format)
	}
	return g, nil
}

// A step is one or more decisions about a group at one moment.
type step struct {
	*group
	policy Policy
	known  int // machines
	now    time.Time

	changed bool
	events  []Event
}

// at begins a step by judging what has happened since the last one: a machine that missed its deadline has failed.
func (g *group) at(p Policy, known int, now time.Time) *step {
	s := &step{group: g, policy: p, known: known, now: now}
	if !g.counted || !now.Before(g.next) {
		s.count()
	}
	s.advance()
	s.brake("")
	return s
}

// count judges every holder.
func (s *step) count() {
	s.counted, s.going, s.missing, s.next = true, 0, 0, s.now.Add(maxDuration)
	for _, id := range slices.Sorted(maps.Keys(s.Holders)) {
		h := s.Holders[id]
		if !h.Lost && s.now.After(h.Until) {
			h.Lost = true
			s.Holders[id] = h
			s.note(EventLost, id, h.Version, "it has not reported by "+stamp(h.Until))
			s.fail(id, h.Version, "not back by "+stamp(h.Until))
		}
		if !h.Lost {
			s.next = earlier(s.next, h.Until)
		}
		s.tally(h, 1)
	}
}

// tally counts a holder of the rollout's version, or no more.
func (g *group) tally(h holder, n int) {
	switch {
	case h.Version != g.Version:
	case h.Lost:
		g.missing += n
	default:
		g.going += n
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func (s *step) note(kind EventKind, id, version, reason string) {
	s.changed = true
	s.events = append(s.events, Event{Time: s.now, Kind: kind, ID: id, Version: version, Reason: reason})
}

// fail counts a failure, once for each machine. A failure of an earlier rollout says nothing about this one.
func (s *step) fail(id, version, reason string) {
	if version != s.Version && version != "" {
		return
	}
	if s.Failed == nil {
		s.Failed = map[string]failure{}
	}
	if len(s.Failed) >= maxFailures {
		reason = "" // the document has to stay small
	}
	s.Failed[id] = failure{s.now, text.Short(reason, maxReason).String()}
	s.changed = true
	s.brake(": the last was " + id + ": " + reason)
}

// brake halts the group once as many machines have failed as may.
func (s *step) brake(last string) {
	if n := len(s.Failed); n >= s.policy.failures() {
		s.halt(fmt.Sprintf("%d of %d machines failed with %s%s", n, n+s.Proved, named(s.Version), last))
	}
}

func named(version string) string {
	if version == "" {
		return "an update"
	}
	return version
}

// advance goes from wave to wave. Each is full at some time, soaks, and then the next one is filled, so that no soak is left
// out where several are full at once: a coordinator that has just begun knows few machines, and a tenth of them is none.
//
// Machines that were not known then may open a wave again. That it is full with a few more begins no soak anew, or a
// growing group would soak for ever. With twice as many it does.
func (s *step) advance() {
	if wave := s.policy.wave(s.Proved, s.known); wave < s.Wave && s.policy.target(wave, s.known)/2 >= s.Soaked {
		s.Wave, s.Soaking, s.changed = wave, time.Time{}, true
	}
	for s.Wave < len(s.policy.Waves) {
		if s.Soaking.IsZero() {
			full := s.policy.target(s.Wave, s.known)
			if s.Proved < full {
				return
			}
			s.Soaking, s.Soaked = s.now, full
			s.note(EventWave, "", s.Version, fmt.Sprintf("wave %d is full: %d machines have proved it", s.Wave+1, s.Proved))
		}
		if s.now.Before(s.soaked()) {
			return
		}
		s.Wave, s.Soaking, s.changed = s.Wave+1, time.Time{}, true
	}
}

// soaked is when the wave that is full has been watched for long enough.
func (s *step) soaked() time.Time { return s.Soaking.Add(s.policy.Waves[s.Wave].Soak) }

// filling is the wave that is filled once so many machines have proved the version.
func (s *step) filling() int { return min(s.Wave, s.policy.wave(s.Proved, s.known)) }

// enter decides whether a machine may go now. An ask never takes a slot from its own holder: it may be an old one that
// was long on its way, and the machine has begun meanwhile.
func (s *step) enter(id, version, token string) (Slot, *Refusal) {
	if h, holds := s.Holders[id]; holds && !h.Lost {
		switch {
		case h.Token != token && h.Token != "" && token != "":
			return Slot{}, &Refusal{Kind: KindSameID, After: s.left(h),
				Reason: "a machine of the id " + id + " is on its way already; give each machine an id of its own"}
		case h.Version != version:
			return Slot{}, &Refusal{Kind: KindSameID, After: s.left(h),
				Reason: "this machine is on its way to " + named(h.Version) + "; it has to report how that ended first"}
		case s.Halted == nil:
			return Slot{h.Until, s.left(h), s.policy.deadline()}, nil // its answer was lost; its time is not longer for that
		}
	}
	if r := s.refuse(id, version); r != nil {
		return Slot{}, r
	}
	if version != s.Version && version != "" {
		s.begin(version)
	}
	s.remove(id, s.Holders[id])
	if s.Holders == nil {
		s.Holders = map[string]holder{}
	}
	h := holder{Version: version, Since: s.now, Until: s.now.Add(s.policy.deadline()), Token: token}
	s.Holders[id] = h
	s.next = earlier(s.next, h.Until)
	s.tally(h, 1)
	s.note(EventEntered, id, version, "")
	return Slot{h.Until, s.left(h), s.policy.deadline()}, nil
}

func (s *step) left(h holder) time.Duration { return h.Until.Sub(s.now) }

// refuse is why a machine without a slot may not have one. The order is that of what lasts longest.
func (s *step) refuse(id, version string) *Refusal {
	if s.Halted != nil {
		return &Refusal{Kind: KindHalted, Reason: s.Halted.Reason, After: 15 * time.Minute, Verb: VerbResume}
	}
	began := version == s.Version || version == "" // its rollout, which an ask without a version is not part of
	h, lost := s.Holders[id]
	f, failed := s.Failed[id]
	if lost && h.Version == version || failed && began {
		reason := f.Reason
		if lost && !failed {
			reason = "not back by " + stamp(h.Until)
		}
		return &Refusal{Kind: KindFailed, After: time.Hour, Verb: VerbClear, IDs: []string{id},
			Reason: "this machine has failed with " + named(version) + ": " + reason}
	}
	if back := s.Begun.Add(superseded); version != "" && version == s.Before && s.now.Before(back) {
		return &Refusal{Kind: KindWave, After: back.Sub(s.now), Reason: version + " was followed by " + s.Version + ", which is what to go to"}
	}
	taken := len(s.Holders)
	if lost {
		taken-- // it is here, so its slot is its own again
	}
	if slots := s.policy.slots(s.known); taken >= slots {
		return s.full(taken, slots)
	}
	if version == "" {
		return nil // FleetLock names no version: nobody knows what it is that has to be proved
	}
	proved, going, missing, wave := s.Proved, s.going, s.missing, s.filling()
	if !began {
		proved, going, missing, wave = 0, 0, 0, 0
	}
	if wave > 0 || len(s.policy.Waves) == 0 || s.policy.Waves[0].To.Count == 0 {
		missing = 0
	} // a canary that has not come back keeps its place too: nobody takes it to die in turn
	target := s.policy.target(wave, s.known)
	switch {
	case proved+going+missing < target:
		return nil
	case began && proved >= target && wave == s.Wave && !s.Soaking.IsZero():
		end := s.soaked()
		return &Refusal{Kind: KindSoak, After: end.Sub(s.now), Reason: fmt.Sprintf("the %d machines that have proved %s are watched until %s", proved, version, stamp(end))}
	case going == 0 && missing > 0:
		gone := s.lost(version)
		return &Refusal{Kind: KindWave, After: 15 * time.Minute, Verb: VerbClear, IDs: gone[:min(len(gone), 10)],
			Reason: fmt.Sprintf("%d machines have to prove %s first; %d have, %d have not come back", target, version, proved, missing)}
	}
	return &Refusal{Kind: KindWave, After: time.Minute, Reason: fmt.Sprintf("%d machines have to prove %s first; %d have, %d are on their way", target, version, proved, going+missing)}
}

// full names those who have to be cleared, if there are any.
func (s *step) full(taken, slots int) *Refusal {
	r := &Refusal{Kind: KindFull, After: time.Minute, Reason: fmt.Sprintf("all %d slots are taken", slots)}
	gone := s.lost("")
	if len(gone) == 0 {
		return r
	}
	r.Reason = fmt.Sprintf("all %d slots are taken, %d of them by machines that have not come back", slots, len(gone))
	if taken-len(gone) <= 0 { // only they are left
		r.After, r.Verb, r.IDs = 15*time.Minute, VerbClear, gone[:min(len(gone), 10)]
	}
	return r
}

// lost are the machines that have not come back, of one version or of any.
func (s *step) lost(version string) (ids []string) {
	for id, h := range s.Holders {
		if h.Lost && (version == "" || h.Version == version) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// begin begins the rollout of a version. It replaces the previous one at once: a machine that is on its way to the old version
// keeps its slot, and how it fares says nothing about the new one. A halt stays.
func (s *step) begin(version string) {
	s.Before, s.Version, s.Begun = s.Version, version, s.now
	s.Epoch++
	s.Proved, s.Wave, s.Soaking, s.Soaked, s.Failed = 0, 0, time.Time{}, 0, nil
	s.going, s.missing = 0, 0
	for _, h := range s.Holders {
		s.tally(h, 1)
	}
	s.note(EventBegan, "", version, "")
}

func (s *step) remove(id string, h holder) {
	if _, ok := s.Holders[id]; !ok {
		return
	}
	delete(s.Holders, id)
	s.changed = true
	s.tally(h, -1)
}

// leave takes a machine's report. What it says takes the place of what was assumed of it meanwhile, but never ends a halt.
// It can be repeated. A machine that holds no slot can still say that it had to go back from the version: one that breaks
// half an hour later has failed with it as well.
func (s *step) leave(id, version, token string, o Outcome, reason string) {
	h, holds := s.Holders[id]
	if _, known := s.Failed[id]; !holds && o == Undone && version != "" && version == s.Version && !known {
		reason = text.Short(reason, maxReason).String()
		s.note(EventFailed, id, version, reason)
		s.fail(id, version, reason)
	}
	if !holds || h.Token != token && h.Token != "" && token != "" {
		return
	}
	s.remove(id, h)
	_, counted := s.Failed[id]
	counted = counted && (h.Version == s.Version || h.Version == "")
	if h.Lost && counted && o != Undone {
		delete(s.Failed, id)
		s.note(EventFound, id, h.Version, "it has come back late")
	}
	switch o {
	case Proved:
		s.note(EventProved, id, h.Version, "")
		if h.Version == s.Version && h.Version != "" {
			s.Proved++
			s.advance()
		}
	case Undone:
		reason = text.Short(reason, maxReason).String()
		s.note(EventFailed, id, h.Version, reason)
		// Of a lost one it was known, and somebody may have resumed since, knowing it.
		if !h.Lost || counted {
			s.fail(id, h.Version, reason)
		}
	case Stopped:
		s.note(EventStopped, id, h.Version, text.Short(reason, maxReason).String())
	}
}

// halt lets no machine in until resume. Machines that are already on their way go on.
func (s *step) halt(reason string) {
	if s.Halted != nil {
		return
	}
	s.Halted = &halt{s.now, text.Short(reason, maxReason).String()}
	s.note(EventHalted, "", s.Version, s.Halted.Reason)
}

// resume ends a halt and forgets the failures that led to it, because they would halt the group again at once.
// Machines that have not come back keep their slots.
func (s *step) resume(reason string) {
	if s.Halted == nil {
		return
	}
	s.Halted, s.Failed = nil, nil
	s.Epoch++
	s.note(EventResumed, "", s.Version, text.Short(reason, maxReason).String())
}

// clear forgets that a machine has failed, or has not come back: somebody has looked after it.
func (s *step) clear(id, reason string) *Refusal {
	h, holds := s.Holders[id]
	if holds && !h.Lost {
		return &Refusal{Kind: KindFull, Reason: fmt.Sprintf("%s is on its way, and has until %s to report", id, stamp(h.Until)), After: s.left(h)}
	}
	_, failed := s.Failed[id]
	if !holds && !failed {
		return nil
	}
	s.remove(id, h)
	delete(s.Failed, id)
	s.note(EventCleared, id, h.Version, text.Short(reason, maxReason).String())
	return nil
}
