package updater

import (
	"errors"
	"slices"
	"time"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

// What an installation did is written down where it is done, by whichever process does it: see state.Move. Here is the
// rest: attempts that came to nothing, and what is counted on the way.

// countsEvery is how often counts are worth a write by themselves.
const countsEvery = time.Hour

// count counts, in memory at first: an idle poll writes nothing.
func (s *shared) count(add func(*state.Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.counts)
}

// remember writes down how an attempt ended, if that is not written yet, and what was counted. last: this process is
// about to end.
func (j *job) remember(r Result, err error, last bool) {
	m, ended := j.attempt(r, err)
	if !ended && !last && r.Installed == "" && !j.countsWait() {
		return
	}
	j.writeCounts(j.held, func(st *state.State) {
		if ended {
			st.Ended(m)
		}
	})
	j.show(j.held.State())
}

// attempt is an attempt to install a release that came to nothing; false if there was none, or if its end is written.
func (j *job) attempt(r Result, err error) (m state.Move, ended bool) {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Version == "" || j.installed == nil {
		return m, false
	}
	row := outcomeOf(err)
	if row.sentinel == ErrUndone && e.Step != StepProbing || row.sentinel == ErrNothing {
		return m, false
	}
	m = state.Move{At: j.now().UTC(), From: j.installed.String(), To: e.Version, Trigger: j.trigger(), Result: row.name, Why: text.Of(cause(err).Error())}
	if h := (*Held)(nil); errors.As(err, &h) {
		m.Why = text.Of(h.Kind + ": " + h.Reason)
		// It goes on for as long as it does, and is one end.
		if past := j.held.State().History; len(past) > 0 {
			old := past[len(past)-1]
			return m, old.Result != m.Result || old.To != m.To || old.Why != m.Why
		}
	}
	return m, true
}

// countsWait reports whether what was counted should be written down.
func (u *Updater) countsWait() bool {
	now := u.now()
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Sub(u.countsWritten) >= countsEvery
}

// writeCounts writes down what was counted, together with another change.
func (u *Updater) writeCounts(h *installation.Held, also func(*state.State)) {
	now := u.now()
	u.mu.Lock()
	counts := u.counts
	u.counts, u.countsWritten = state.Counts{}, now
	u.mu.Unlock()
	err := h.Change(func(st *state.State) {
		st.Counts.Add(counts)
		also(st)
	})
	if err != nil {
		u.count(func(c *state.Counts) { c.Add(counts) })
		u.log.Warn("remembering how the update ended", "err", err)
	}
}

// flushCounts writes down what was counted, if nobody else is at work and this process may.
func (u *Updater) flushCounts() {
	if u.off != nil || u.manager() != nil {
		return
	}
	if h, err := u.disk.TryHold(); err == nil {
		defer h.Release()
		u.writeCounts(h, func(*state.State) {})
	}
}

// sum is everything that was counted in this installation, written down or not.
func (u *Updater) sum(st *state.State) state.Counts {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := st.Counts.Clone()
	all.Add(u.counts)
	return all
}

// newestFirst is the history as a person reads it.
func newestFirst(h []HistoryEntry) []HistoryEntry {
	h = append([]HistoryEntry{}, h...) // [] in JSON
	slices.Reverse(h)
	return h
}
