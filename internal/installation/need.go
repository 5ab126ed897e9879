package installation

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/theseus-go/theseus/internal/state"
)

// A download holds the installation for as long as the source takes. Nobody else should have to wait for a slow source, so a
// process that waits says what it needs, and the download gives way: it keeps what it has, and comes back later.

// Need is what somebody waits for the installation for.
type Need string

const (
	Quietly  Need = ""       // nobody is disturbed
	ToUpdate Need = "update" // a person wants an update: the interval's downloads give way
	ToChange Need = "change" // to go back, recover, undo or prove, which takes moments: every download gives way
)

// ErrAwaited ends a download that gives way to another process.
var ErrAwaited = errors.New("another process waits for this installation")

const (
	// attention is how often a download looks for who waits.
	attention = 200 * time.Millisecond
	// courtesy is how long it waits for them to be served.
	courtesy = 2 * time.Second
)

// Courtesy is how one update gives way to others: to each of them once, so that a waiting process that was stopped
// and never takes its turn cannot block updates.
type Courtesy struct {
	i     *Installation
	to    []Need
	given map[string]bool
}

// Courtesy begins an update that gives way to these needs.
func (i *Installation) Courtesy(to ...Need) *Courtesy {
	return &Courtesy{i, to, map[string]bool{}}
}

// Grants reports whether the update gives way to a need.
func (c *Courtesy) Grants(need Need) bool { return slices.Contains(c.to, need) }

// Watch returns a context that is canceled with the cause ErrAwaited once another process waits. end frees it.
func (c *Courtesy) Watch(ctx context.Context) (watched context.Context, end func()) {
	watched, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		look := time.NewTicker(attention)
		defer look.Stop()
		for {
			select {
			case <-watched.Done():
				return
			case <-look.C:
			}
			if len(c.awaited()) > 0 {
				cancel(ErrAwaited)
				return
			}
		}
	}()
	return watched, func() { cancel(nil); <-ended }
}

// awaited are the callers to whom this update gives way and has not yet.
func (c *Courtesy) awaited() map[string]string {
	callers := state.Callers(c.i.Home)
	maps.DeleteFunc(callers, func(name, why string) bool { return c.given[name] || !c.Grants(Need(why)) })
	return callers
}

// Serve waits, for moments, until those who were waiting hold the installation or have given up. It must have been released.
func (c *Courtesy) Serve(ctx context.Context) {
	waiting := c.awaited()
	for name := range waiting {
		c.given[name] = true
	}
	late := time.NewTimer(courtesy)
	defer late.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for len(waiting) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			return
		case <-look.C:
		}
		now := state.Callers(c.i.Home)
		maps.DeleteFunc(waiting, func(name, _ string) bool { _, waits := now[name]; return !waits })
	}
}
