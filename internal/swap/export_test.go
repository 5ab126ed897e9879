package swap

import (
	"time"

	"github.com/theseus-go/theseus/internal/aside"
)

// MoveAside makes the target behave as on a system that refuses to rename over an executable that runs.
func (t *Target) MoveAside() { t.movesAside, t.Aside = true, aside.Commit }

// Remembers reports whether the next Identify may answer without reading the file.
func (t *Target) Remembers() bool { return t.known.info != nil }

// Settled sets after which time without a change Identify remembers a file, and returns what sets it back.
func Settled(d time.Duration) (reset func()) {
	old, oldFine := settled, settledFine
	settled, settledFine = d, d
	return func() { settled, settledFine = old, oldFine }
}

// IsSettled is whether a change at that time is long enough ago.
var IsSettled = isSettled
