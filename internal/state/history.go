package state

import (
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/theseus-go/theseus/internal/text"
)

// How a move ends. These are names of outcomes; others come from whoever tried to update.
const (
	OnTrial    = "on trial" // installed, and neither proved nor undone yet
	Proved     = "ok"
	WasUndone  = "undone"
	RolledBack = "rolled back"
)

// Move is one line of the history: from which version to which, who asked, and how it ended.
type Move struct {
	At      time.Time `json:"at"` // when it ended; of one on trial, when it was installed
	From    string    `json:"from,omitzero"`
	To      string    `json:"to,omitzero"`
	Trigger string    `json:"trigger,omitzero"` // "interval" or "person"
	Result  string    `json:"result"`
	Why     text.Line `json:"why,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// maxHistory is how many moves are remembered.
const maxHistory = 50

// Count is how often something ended in one way, and when last.
type Count struct {
	N    int64     `json:"n"`
	Last time.Time `json:"last"`

	Unknown jsontext.Value `json:",embed"`
}

// Counts are sums over the life of the installation. They are kept here because an update ends the process that counts.
type Counts struct {
	Updates   map[string]Count `json:"updates,omitzero"` // by result
	Checks    map[string]Count `json:"checks,omitzero"`  // by outcome
	Bytes     map[string]int64 `json:"bytes,omitzero"`   // downloaded: "delta" or "whole"
	Fallbacks int64            `json:"fallbacks,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// Clone returns a copy that shares nothing.
func (c Counts) Clone() Counts {
	c.Updates, c.Checks, c.Bytes = maps.Clone(c.Updates), maps.Clone(c.Checks), maps.Clone(c.Bytes)
	return c
}

// Add adds other to c.
func (c *Counts) Add(other Counts) {
	add := func(to *map[string]Count, from map[string]Count) {
		for name, n := range from {
			if *to == nil {
				*to = map[string]Count{}
			}
			sum := (*to)[name]
			sum.N += n.N
			if n.Last.After(sum.Last) {
				sum.Last = n.Last
			}
			(*to)[name] = sum
		}
	}
	add(&c.Updates, other.Updates)
	add(&c.Checks, other.Checks)
	for kind, n := range other.Bytes {
		if c.Bytes == nil {
			c.Bytes = map[string]int64{}
		}
		c.Bytes[kind] += n
	}
	c.Fallbacks += other.Fallbacks
}

// settleTrial writes how the trial of a version ended, if there is one.
func (s *State) settleTrial(version, result string, why text.Line, at time.Time) bool {
	for i, m := range slices.Backward(s.History) {
		if m.To == version && m.Result == OnTrial {
			s.History = slices.Clone(s.History)
			s.History[i].At, s.History[i].Result, s.History[i].Why = at, result, why
			return true
		}
	}
	return false
}

// Ended writes a move into the history and counts it. The same end of the same attempt again, as at each poll of a source
// that refuses, is counted and not written once more.
func (s *State) Ended(m Move) {
	one := map[string]Count{m.Result: {N: 1, Last: m.At}}
	s.Counts.Add(Counts{Updates: one})
	if n := len(s.History); n > 0 {
		if last := s.History[n-1]; last.Result == m.Result && last.From == m.From && last.To == m.To && last.Why == m.Why && last.Trigger == m.Trigger {
			return
		}
	}
	s.append(m)
}

func (s *State) append(m Move) {
	s.History = append(slices.Clone(s.History), m)
	if n := len(s.History); n > maxHistory {
		s.History = s.History[n-maxHistory:]
	}
}

// begin writes that a version is on trial.
func (s *State) begin(j Journal, trigger string) {
	s.append(Move{At: j.Started, From: j.From.Version, To: j.To.Version, Trigger: trigger, Result: OnTrial})
}

// end writes how the trial of a version ended.
func (s *State) end(version, result string, why text.Line, at time.Time) {
	s.Counts.Add(Counts{Updates: map[string]Count{result: {N: 1, Last: at}}})
	if !s.settleTrial(version, result, why, at) {
		s.append(Move{At: at, To: version, Result: result, Why: why})
	}
}

// Prove writes that what is installed has proved itself.
func (s *State) Prove(now time.Time) { s.end(s.Installed.Version, Proved, text.Line{}, now) }
