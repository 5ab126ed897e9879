package updater

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Event is something that an operator may want to count or be told of. Steps of an update are events; so is the
// beginning and the end of a condition that lasts, such as a source that serves a stale document. A condition is not
// repeated at each poll.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    Kind      `json:"kind"`
	Version string    `json:"version,omitzero"`
	Text    string    `json:"text"` // a sentence
	// Ended: the condition that an earlier event of this kind began is over.
	Ended bool `json:"ended,omitzero"`
	// Err is the cause, if there is one.
	Err error `json:"-"`
}

// Kind names an event.
type Kind string

// Steps of an update.
const (
	EventOffered      Kind = "offered"       // a release was chosen
	EventDownloaded   Kind = "downloaded"    // its file is here and is the signed one
	EventMadeRoom     Kind = "made room"     // a kept version was given up, for there was no room beside it
	EventDeltaApplied Kind = "delta applied" // it was made of the installed file and a delta
	EventInstalled    Kind = "installed"     // it is at the program's path, not yet proved
	EventProved       Kind = "proved"        // it runs healthily
	EventUndone       Kind = "undone"        // it was put back to the version before it
	EventRolledBack   Kind = "rolled back"   // a person went back to the version before it
	EventSettled      Kind = "settled"       // an interrupted update was finished or undone
	EventTrustChanged Kind = "trust changed" // a new trust document was accepted
)

// Conditions.
const (
	EventRefused        Kind = "refused"         // verification refused what was served
	EventUnreachable    Kind = "unreachable"     // no source answers
	EventStaleSource    Kind = "stale source"    // a source lags behind what was seen already
	EventRollback       Kind = "rollback"        // and has for so long that it looks like an attack
	EventExpired        Kind = "expired"         // the channel document is past its date
	EventClockBehind    Kind = "clock behind"    // the wall clock stands before signed dates
	EventStateCorrupt   Kind = "state corrupt"   // what was remembered is unreadable
	EventStateMissing   Kind = "state missing"   // nothing is remembered, as at a first installation
	EventTrustCorrupt   Kind = "trust corrupt"   // the remembered trust document is unreadable
	EventCannotWrite    Kind = "cannot write"    // this process may not update its own file
	EventProbeUndecided Kind = "probe undecided" // the probe of a release could not decide
	EventDeltaFailed    Kind = "delta failed"    // a delta could not be used, the whole file is downloaded
	EventWithdrawn      Kind = "withdrawn"       // the publisher has withdrawn what is installed
	EventRetired        Kind = "retired"         // the publisher has given the channel up
	EventManaged        Kind = "managed"         // somebody else keeps the file current
	EventPolicy         Kind = "policy"          // the operator's policy cannot be used, and nothing is installed
	EventOff            Kind = "off"             // this program does not update itself: Status.Off
	EventHeld           Kind = "held"            // a gate holds a release back that is ready
	EventHeldLong       Kind = "held long"       // and updates have been held back for more than 7 days
	EventUpdateFailed   Kind = "update failed"   // anything else that ended an update
)

// level is the log level of a kind; what is not listed is logged as information.
var level = map[Kind]slog.Level{
	EventUndone: slog.LevelWarn, EventRefused: slog.LevelWarn, EventRollback: slog.LevelWarn, EventExpired: slog.LevelWarn,
	EventClockBehind: slog.LevelWarn, EventStateCorrupt: slog.LevelWarn, EventTrustCorrupt: slog.LevelWarn,
	EventCannotWrite: slog.LevelWarn, EventUnreachable: slog.LevelWarn, EventUpdateFailed: slog.LevelError,
	EventWithdrawn: slog.LevelError, EventRetired: slog.LevelWarn, EventProbeUndecided: slog.LevelWarn,
	EventDeltaFailed: slog.LevelWarn, EventHeldLong: slog.LevelWarn, EventPolicy: slog.LevelWarn,
	EventOff: slog.LevelWarn, EventMadeRoom: slog.LevelWarn,
}

// unsaid are the kinds that the result of a command does not tell a person.
var unsaid = map[Kind]bool{EventStateCorrupt: true, EventTrustCorrupt: true, EventClockBehind: true, EventMadeRoom: true}

// reporter sends events and logs them.
type reporter struct {
	*conditions
	terse bool // log only what the result of a command does not tell
}

// conditions are what all reporters of one Updater have in common.
type conditions struct {
	app string
	log *slog.Logger
	on  func(Event)
	now func() time.Time

	mu   sync.Mutex      // held while an event is sent, so that events come one at a time
	held map[Kind]string // the conditions that hold, and why
}

// emit sends an event.
func (r reporter) emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(e)
}

func (r reporter) send(e Event) {
	e.Time = r.now()
	log := r.log.With("app", r.app, "event", string(e.Kind))
	if e.Version != "" {
		log = log.With("version", e.Version)
	}
	if e.Err != nil {
		log = log.With("err", e.Err)
	}
	switch {
	case r.terse && !unsaid[e.Kind]:
	case e.Ended:
		log.Info(e.Text)
	default:
		log.Log(context.Background(), level[e.Kind], e.Text)
	}
	if r.on != nil {
		r.on(e)
	}
}

// raise sends an event unless the same condition, for the same reason, holds already.
func (r reporter) raise(kind Kind, text string, err error) {
	reason := text
	if err != nil {
		reason += ": " + err.Error()
	}
	r.raiseAs(kind, reason, Event{Text: text, Err: err})
}

// raiseAs is raise with an event of its own. Same reasons are the same condition, whatever the event says.
func (r reporter) raiseAs(kind Kind, reason string, e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, held := r.held[kind]; held && was == reason {
		return
	}
	r.held[kind], e.Kind = reason, kind
	r.send(e)
}

// holding lists the conditions that hold.
func (r reporter) holding() map[Kind]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[Kind]bool{}
	for kind := range r.held {
		all[kind] = true
	}
	return all
}

// clear sends an event for each condition that held.
func (r reporter) clear(kinds ...Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kind := range kinds {
		if _, held := r.held[kind]; held {
			delete(r.held, kind)
			r.send(Event{Kind: kind, Text: "over: " + string(kind), Ended: true})
		}
	}
}
