package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Status is a group at one moment, for people and for programs.
type Status struct {
	App    string `json:"app,omitempty"`
	Group  string `json:"group"`
	Policy Policy `json:"policy"`

	Version string    `json:"version,omitempty"` // the group goes to it
	Begun   time.Time `json:"begun,omitzero"`
	Proved  int       `json:"proved"`                 // machines that run it healthily
	Wave    int       `json:"wave"`                   // that is being filled, from 1
	Waves   int       `json:"waves"`                  // how many there are
	Target  int       `json:"target,omitempty"`       // machines that fill it; 0: all
	Soaking time.Time `json:"soaking_until,omitzero"` // nobody enters before

	Slots   int         `json:"slots"`
	Holders []Holder    `json:"holders"`
	Failed  []Failure   `json:"failed"`
	Halted  *HaltStatus `json:"halted,omitempty"`
	// Hosts is how many machines were seen in the last month, and Versions how many of them run what.
	Hosts    int            `json:"hosts"`
	Versions map[string]int `json:"versions"`
	// Next is what somebody has to do for the group to go on: nothing, to resume it, or to clear machines.
	Next []Action `json:"next"`
}

// Holder is a machine on its way, or one that never came back.
type Holder struct {
	ID      string    `json:"id"`
	Version string    `json:"version,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Lost    bool      `json:"lost,omitempty"`
}

// Failure is a machine that has failed with the version that the group goes to.
type Failure struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// HaltStatus says since when a group is halted, and why.
type HaltStatus struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Action is something that only a person can decide.
type Action struct {
	Verb Verb   `json:"verb"`
	ID   string `json:"id,omitempty"` // of the machine to clear
	Why  string `json:"why"`
}

// Status reads a group and changes nothing. Errors are those of Enter but for *Refusal.
func (c *Coordinator) Status(ctx context.Context, app, name string) (Status, error) {
	k, err := c.find(app, name)
	if err != nil {
		return Status{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	b, _, err := c.opts.Store.Get(ctx, k.storeKey("groups"))
	if err != nil {
		return Status{}, &UnavailableError{err}
	}
	g, err := decode(b)
	if err != nil {
		return Status{}, &UnavailableError{err}
	}
	d := c.desk(k)
	d.load.Do(d.loadHosts)
	s := g.at((*c.groups.Load())[k], d.hosts.count(), c.opts.Now().UTC())
	st := s.status()
	st.App, st.Group, st.Hosts, st.Versions = k.app, k.name, d.hosts.count(), d.hosts.versions()
	return st, nil
}

func (s *step) status() Status {
	wave := s.filling()
	st := Status{
		Policy: s.policy, Version: s.Version, Begun: s.Begun, Proved: s.Proved, Wave: wave + 1, Waves: max(len(s.policy.Waves), 1),
		Slots: s.policy.slots(s.known), Holders: []Holder{}, Failed: []Failure{}, Next: []Action{},
	}
	if wave < len(s.policy.Waves) && s.policy.Waves[wave].To != All {
		st.Target = s.policy.target(wave, s.known)
	}
	if wave == s.Wave && wave < len(s.policy.Waves) && !s.Soaking.IsZero() {
		st.Soaking = s.soaked()
	}
	for id, h := range s.Holders {
		st.Holders = append(st.Holders, Holder{id, h.Version, h.Since, h.Until, h.Lost})
	}
	slices.SortFunc(st.Holders, func(a, b Holder) int { return cmp.Compare(a.ID, b.ID) })
	for id, f := range s.Failed {
		st.Failed = append(st.Failed, Failure{id, f.At, f.Reason})
	}
	slices.SortFunc(st.Failed, func(a, b Failure) int { return cmp.Compare(a.ID, b.ID) })
	if s.Halted != nil {
		st.Halted = &HaltStatus{s.Halted.At, s.Halted.Reason}
		st.Next = append(st.Next, Action{VerbResume, "", "the group is halted: " + s.Halted.Reason})
	}
	for _, h := range st.Holders {
		if h.Lost {
			st.Next = append(st.Next, Action{VerbClear, h.ID, "not back by " + stamp(h.Until) + "; it keeps its slot"})
		}
	}
	for _, f := range st.Failed {
		if _, holds := s.Holders[f.ID]; !holds {
			st.Next = append(st.Next, Action{VerbClear, f.ID, "it has failed: " + f.Reason + "; it is not let in again with " + named(s.Version)})
		}
	}
	return st
}

// Hosts returns up to n machines of a group whose ids come after the given one, in order, as they were last seen.
func (c *Coordinator) Hosts(app, name, after string, n int) ([]Host, error) {
	k, err := c.find(app, name)
	if err != nil {
		return nil, err
	}
	d := c.desk(k)
	d.load.Do(d.loadHosts)
	return d.hosts.list(after, n), nil
}
