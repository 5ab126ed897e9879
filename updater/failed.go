package updater

import (
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/state"
)

// Retry says what becomes of releases that failed here.
type Retry int

const (
	// RetryFades: a release that failed is tried again after 1, 4, 24 and 72 hours, then weekly; one that failed after
	// it had accepted connections once more after a day; one that is another version than it should be never. What was
	// not known to be the release's fault is tried again soon, until that has happened three times within a day. A
	// critical release waits five minutes instead of the first hour.
	RetryFades Retry = iota
	// RetryNever: a release that failed is tried again only if a person names it.
	RetryNever
)

// failures is what is remembered of versions that failed, in words for a person: what happened, and what ends it.
// What is installed now is on trial, and not listed.
func failures(st *state.State, now time.Time, retry Retry) map[string]string {
	m := make(map[string]string, len(st.Failed))
	for version, f := range st.Failed {
		if st.Installed == nil || st.Installed.Version != version {
			m[version] = describeFailure(f, now, retry)
		}
	}
	return m
}

func describeFailure(f state.Failure, now time.Time, retry Retry) string {
	why := f.Reason.String()
	if f.Unproved() {
		why = "it did not prove itself here: " + why
	}
	wait, named := f.Wait()
	until := f.At.Add(wait)
	switch {
	case named, wait > 0 && retry == RetryNever:
		return why + "; not tried again unless it is named"
	case now.Before(until):
		return fmt.Sprintf("%s; not tried again before %s unless it is named", why, until.UTC().Format(time.DateTime+" UTC"))
	}
	return why + "; tried again at the next check"
}

// waiting are the versions that the interval leaves alone now, and of those the ones that it would not if they were
// critical.
func waiting(st *state.State, now time.Time, retry Retry) (failed map[string]string, urgent map[string]bool) {
	failed, urgent = map[string]string{}, map[string]bool{}
	for version, f := range st.Failed {
		wait, _ := f.Wait()
		never := wait > 0 && retry == RetryNever
		if !never && !f.Waits(now, false) {
			continue
		}
		failed[version] = describeFailure(f, now, retry)
		urgent[version] = !never && !f.Waits(now, true)
	}
	return failed, urgent
}
