package updater

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Event is something that an operator may want to count or be told of. Steps
// of an update are events; so is the beginning and the end of a condition that
// lasts, such as a source that serves a stale document. A condition is not
// repeated at each poll.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    Kind      `json:"kind"`
	Version string    `json:"version,omitzero"`
	Text    string    `json:"text"`
	// Ended: the condition that an earlier event of this kind began is over.
	Ended bool `json:"ended,omitzero"`
	// Err is the cause, if there is one.
	Err error `json:"-"`
}

// Kind names an event.
type Kind string

const (
	// Steps of an update.
	Offered      Kind = "offered"       // a release was chosen
	Downloaded   Kind = "downloaded"    // its file is here and is the signed one
	DeltaApplied Kind = "delta applied" // it was made of the installed file and a delta
	Installed    Kind = "installed"     // it is at the program's path, not yet proved
	Proved       Kind = "proved"        // it runs healthily
	Undone       Kind = "undone"        // it was put back to the version before it
	RolledBack   Kind = "rolled back"   // a person went back to the version before it
	Settled      Kind = "settled"       // an interrupted update was finished or undone

	// Conditions.
	Refused        Kind = "refused"         // verification refused what was served
	Unreachable    Kind = "unreachable"     // no source answers
	StaleSource    Kind = "stale source"    // a source lags behind what was seen already
	RollbackSeen   Kind = "rollback"        // and has for so long that it looks like an attack
	Expired        Kind = "expired"         // the channel document is past its date
	ClockBehind    Kind = "clock behind"    // the wall clock stands before signed dates
	StateCorrupt   Kind = "state corrupt"   // what was remembered is unreadable
	StateMissing   Kind = "state missing"   // nothing is remembered, as at a first installation
	TrustCorrupt   Kind = "trust corrupt"   // the remembered trust document is unreadable
	CannotWrite    Kind = "cannot write"    // this process may not update its own file
	MirrorFailed   Kind = "mirror failed"   // a source failed, another served
	ProbeUndecided Kind = "probe undecided" // the probe of a release could not decide
	DeltaFailed    Kind = "delta failed"    // a delta could not be used, the whole file is downloaded
	Managed        Kind = "managed"         // somebody else keeps the file current
	UpdateFailed   Kind = "update failed"   // anything else that ended an update
	TrustChanged   Kind = "trust changed"   // a new trust document was accepted
)

// level is how loudly a kind is logged; what is not listed is an information.
var level = map[Kind]slog.Level{
	Undone: slog.LevelWarn, Refused: slog.LevelWarn, RollbackSeen: slog.LevelWarn, Expired: slog.LevelWarn,
	ClockBehind: slog.LevelWarn, StateCorrupt: slog.LevelWarn, TrustCorrupt: slog.LevelWarn, CannotWrite: slog.LevelWarn,
	Unreachable: slog.LevelWarn, UpdateFailed: slog.LevelError, ProbeUndecided: slog.LevelWarn, DeltaFailed: slog.LevelWarn,
}

// reporter sends events and logs them.
type reporter struct {
	app   string
	log   *slog.Logger
	on    func(Event)
	now   func() time.Time
	terse bool // log only what the result of a command does not tell

	mu         sync.Mutex
	conditions map[Kind]string // those that hold, and why
	sending    sync.Mutex
}

func (r *reporter) emit(e Event) {
	e.Time = r.now()
	log := r.log.With("app", r.app, "event", string(e.Kind))
	if e.Version != "" {
		log = log.With("version", e.Version)
	}
	if e.Err != nil {
		log = log.With("err", e.Err)
	}
	switch {
	case r.terse && e.Kind != StateCorrupt && e.Kind != TrustCorrupt && e.Kind != ClockBehind:
	case e.Ended:
		log.Info(e.Text)
	default:
		log.Log(context.Background(), level[e.Kind], e.Text)
	}
	if r.on != nil {
		r.sending.Lock()
		defer r.sending.Unlock()
		r.on(e)
	}
}

// begin sends an event unless the same condition, for the same reason, holds
// already.
func (r *reporter) begin(kind Kind, text string, err error) {
	reason := text
	if err != nil {
		reason += ": " + err.Error()
	}
	r.mu.Lock()
	same := r.conditions[kind] == reason
	r.conditions[kind] = reason
	r.mu.Unlock()
	if !same {
		r.emit(Event{Kind: kind, Text: text, Err: err})
	}
}

// end sends an event if the condition held.
func (r *reporter) end(kinds ...Kind) {
	for _, kind := range kinds {
		r.mu.Lock()
		_, held := r.conditions[kind]
		delete(r.conditions, kind)
		r.mu.Unlock()
		if held {
			r.emit(Event{Kind: kind, Text: "over: " + string(kind), Ended: true})
		}
	}
}
