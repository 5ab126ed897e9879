package updater

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-go/theseus/internal/installation"
)

// A source may be slow for hours, and nobody who needs the installation shall wait for it. So an update gives way while
// it asks the network: to another process it lends the installation and comes back, to another request of this process
// it ends. What is downloaded stays, and is gone on with.

// errGaveWay ends an update that gives way to another request of this process.
var errGaveWay = fmt.Errorf("gave way to what a person has asked this process for; what is downloaded is kept: %w", ErrBusy)

// online returns a context for what asks the network, which ends with the cause installation.ErrAwaited or errGaveWay if
// somebody needs the installation. offline ends that.
func (j *job) online(ctx context.Context) (online context.Context, offline func()) {
	online, cancel := context.WithCancelCause(ctx)
	watched, end := j.courtesy.Watch(online)
	j.turn.givesWay(func(need installation.Need) bool {
		if !j.courtesy.Grants(need) {
			return false
		}
		cancel(errGaveWay)
		return true
	})
	return watched, func() {
		j.turn.givesWay(nil)
		end()
		cancel(nil)
	}
}

// gaveWay is why an error has ended what was done online: err itself, unless it was to give way.
func gaveWay(online context.Context, err error) error {
	cause := context.Cause(online)
	if err != nil && (errors.Is(cause, installation.ErrAwaited) || errors.Is(cause, errGaveWay)) {
		return cause
	}
	return err
}

// lend lets the processes that wait have the installation, and takes it back.
func (j *job) lend(ctx context.Context) error {
	j.held.Release()
	j.courtesy.Serve(ctx)
	held, err := j.hold(ctx, j.events, j.patience, installation.Quietly)
	if err != nil {
		return fmt.Errorf("gave way to another process, which has not done yet; what is downloaded is kept: %w", err)
	}
	held.Trigger = j.held.Trigger
	j.held = held
	return nil
}

// givesWay says how the work of a turn gives way to a request, nil if it does not now.
func (t *turn) givesWay(how func(installation.Need) bool) {
	if t == nil {
		return
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.giveWay = how
}

// beginFor is begin for a person's request. It waits for work that settles what an earlier process left, which takes
// moments, and for a download that gives way.
func (s *shared) beginFor(need installation.Need, step Step) *turn {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		if t := s.begin(step); t != nil {
			return t
		}
		s.mu.Lock()
		at, ended, giveWay := s.status.State, s.ended, s.giveWay
		s.mu.Unlock()
		if ended == nil {
			continue
		}
		waits := at == StepSettling || giveWay != nil && giveWay(need)
		if !waits {
			return nil
		}
		select {
		case <-ended:
		case <-late.C:
			return nil
		}
	}
}
