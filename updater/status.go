package updater

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/release"
)

// Status is what the updater knows: the answer of GET /update.
type Status struct {
	App     string `json:"app"`
	Channel string `json:"channel"`
	PID     int    `json:"pid"`
	// Running is the version of this process, Installed that of the file at its path, Offered what the channel has
	// for this machine, "" if nothing newer.
	Running   string `json:"running"`
	Installed string `json:"installed,omitzero"`
	Offered   string `json:"offered,omitzero"`
	// Off is why this program does not update itself, nor look for updates; "" if it does. It has no file that it could
	// find, or no version.
	Off string `json:"off,omitzero"`
	// Critical: what is installed should not be run any longer, and what is on offer should be installed without delay.
	Critical bool `json:"critical,omitzero"`
	// Managed is who else keeps the file current and by which command, once that was looked at; "" if nobody does.
	Managed string `json:"managed,omitzero"`
	// Proved: the installed file has run healthily.
	Proved bool `json:"proved"`
	// State is the step being done, or idle.
	State Step `json:"state"`
	// Downloaded and Size are bytes of the download that runs, 0 if none does.
	Downloaded int64 `json:"downloaded,omitzero"`
	Size       int64 `json:"size,omitzero"`

	// Saved is how many bytes the deltas of the last download saved compared with the whole file.
	Saved int64 `json:"saved,omitzero"`

	// Sequence and Expires are those of the last accepted channel document, Trust is the version of the trust
	// document by which it was judged. No update is installed after Expires until a newer document is served.
	Sequence int64     `json:"sequence,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Trust    int       `json:"trust"`

	LastCheck   time.Time `json:"last_check,omitzero"`   // last that succeeded
	LastAttempt time.Time `json:"last_attempt,omitzero"` // last at all
	NextCheck   time.Time `json:"next_check,omitzero"`   // only while Run runs
	// Outcome is how the last update ended, nil before the first.
	Outcome *Outcome `json:"outcome,omitzero"`
	// Sources are those that failed at the last check, and why.
	Sources []FailedSource `json:"sources,omitzero"`
	// Retired says that the publisher has given the channel up, why, and which to follow instead; "" if not.
	Retired string `json:"retired,omitzero"`
	// Withdrawn says that the publisher has withdrawn what is installed, why, and what becomes of it; "" if not.
	Withdrawn string `json:"withdrawn,omitzero"`
	// Held says why a release that is ready is not installed, nil if none is held back.
	Held *Hold `json:"held,omitzero"`
	// Failed are the versions that failed here: why, until when they are left alone, and what ends it.
	Failed map[string]string `json:"failed,omitzero"`
	// History is how the last updates ended, at most 50, oldest first.
	History []HistoryEntry `json:"history,omitzero"`
	// Explain is every rule of the last check, in order; only where asked for.
	Explain []release.Verdict `json:"explain,omitzero"`
}

// FailedSource is a source that did not serve.
type FailedSource struct {
	Source string `json:"source"` // its base URL
	Error  string `json:"error"`  // a sentence
	Err    error  `json:"-"`
}

// Hold is an update that one of Options.Gates holds back.
type Hold struct {
	Version string    `json:"version"`
	Kind    string    `json:"kind"`          // which gate: "window"
	Reason  string    `json:"reason"`        // a sentence
	Since   time.Time `json:"since"`         // when updates began to be held back
	Next    time.Time `json:"next,omitzero"` // when to ask again, if the gate knows
}

// HistoryEntry is how one update, or attempt, ended.
type HistoryEntry struct {
	At      time.Time `json:"at"` // when it ended; of one that is on trial, when it was installed
	From    string    `json:"from,omitzero"`
	To      string    `json:"to,omitzero"`
	Trigger string    `json:"trigger,omitzero"` // "interval" or "person"
	// Result is the name of an outcome, such as "ok" (it proved itself), "undone" or "held"; or "on trial" or "rolled back".
	Result string `json:"result"`
	Why    string `json:"why,omitzero"`
}

// historyOf is what is remembered of updates.
func historyOf(st *state.State) (all []HistoryEntry) {
	for _, m := range st.History {
		all = append(all, HistoryEntry{At: m.At, From: m.From, To: m.To, Trigger: m.Trigger, Result: m.Result, Why: m.Why.String()})
	}
	return all
}

// Outcome is how an update ended.
type Outcome struct {
	At      time.Time `json:"at"`
	Name    string    `json:"name"`             // ok, nothing, busy, refused, undone, …: doc/recovery.md lists them
	Version string    `json:"version,omitzero"` // which release it was about
	Step    Step      `json:"step,omitzero"`    // where it stopped, if it failed
	Code    int       `json:"code"`             // the exit code that the command line would give
	Blame   Blame     `json:"blame,omitzero"`   // where the cause lies
	Error   string    `json:"error,omitzero"`
}

// describe says how an update to version ended.
func describe(at time.Time, version string, err error) *Outcome {
	row := outcomeOf(err)
	o := &Outcome{At: at, Name: row.name, Version: version, Code: row.code, Blame: blameOf(row, err)}
	if err == nil {
		return o
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		o.Step = e.Step
		if e.Version != "" {
			o.Version = e.Version
		}
	}
	o.Error = err.Error()
	return o
}

// holdOf is what the status says of a hold that is remembered; was is what it said before.
func holdOf(st *state.State, was *Hold) *Hold {
	h := st.Hold
	switch {
	case h == nil:
		return nil
	case was != nil && was.Version == h.Version && was.Kind == h.Kind:
		return was
	}
	return &Hold{Version: h.Version, Kind: h.Kind, Reason: h.Reason.String(), Since: h.Since}
}

// sources are the attempts that failed, in public words.
func sources(failed []fetch.Attempt) (s []FailedSource) {
	for _, a := range failed {
		s = append(s, FailedSource{Source: a.Source, Error: a.Error.String(), Err: a.Err})
	}
	return s
}

// clone shares nothing that changes.
func (s Status) clone() Status {
	s.Failed = maps.Clone(s.Failed)
	s.Sources = slices.Clone(s.Sources)
	s.History = slices.Clone(s.History)
	return s
}

// redacted is the status for the admin endpoint, which must not reveal local paths: private is a list of what to
// replace, by what, in every text.
func (s Status) redacted(private []string, explain bool) Status {
	redact := strings.NewReplacer(private...).Replace
	if s.Outcome != nil {
		o := *s.Outcome
		o.Error = redact(o.Error)
		s.Outcome = &o
	}
	if s.Held != nil {
		h := *s.Held
		h.Reason = redact(h.Reason)
		s.Held = &h
	}
	s.Off, s.Managed, s.Withdrawn, s.Retired = redact(s.Off), redact(s.Managed), redact(s.Withdrawn), redact(s.Retired)
	for i, a := range s.Sources {
		s.Sources[i].Source, s.Sources[i].Error = redact(a.Source), redact(a.Error)
	}
	for i, e := range s.History {
		s.History[i].Why = redact(e.Why)
	}
	for version, why := range s.Failed {
		s.Failed[version] = redact(why)
	}
	if !explain {
		s.Explain = nil
	}
	s.Explain = slices.Clone(s.Explain)
	for i, r := range s.Explain {
		s.Explain[i].Input, s.Explain[i].Detail = redact(r.Input), redact(r.Detail)
	}
	return s
}
