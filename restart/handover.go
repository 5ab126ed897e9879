package restart

import (
	"context"
	"errors"
	"fmt"
)

// Handover starts what is on disk now and hands over to it. It returns nil when the new process has proved itself:
// that one is in service, and this one drains. Any error means that nothing has changed: this process is in service
// (or stops, if it was told to), and whoever swapped the executable should undo that. A *HandoverError says what
// happened to the new process.
//
// As long as three processes before this one still drain, Handover waits for the end of the oldest. When ctx ends, the new process is
// called off. Two handovers at once are one too many: ErrBusy. Before Run: ErrNotRunning. Where handing over is not
// possible at all: errors.ErrUnsupported.
func (r *Restarter) Handover(ctx context.Context) error {
	r.mu.Lock()
	running := r.running
	r.mu.Unlock()
	if !running {
		return ErrNotRunning
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.unsupported != nil {
		return fmt.Errorf("restart: handing over: %w", r.unsupported)
	}
	defer r.workers.enter(ctx)()
	c := &call{done: make(chan error, 1)}
	r.post(event{kind: evCall, call: c})
	select {
	case err := <-c.done:
		return err
	case <-r.done:
	case <-ctx.Done():
		r.post(event{kind: evCancel, call: c, err: ctx.Err()})
		select {
		case err := <-c.done:
			return err
		case <-r.done:
		}
	}
	select {
	case err := <-c.done:
		return err
	default:
		return ErrNotRunning
	}
}

// A call of Handover that waits for its outcome.
type call struct{ done chan error }

// OnFailure registers what undoes an update whose handover failed. It is called when a signal had asked for the
// handover, and this process is back in service; a caller of Handover learns from its error, and undoes by itself.
// cause is a *HandoverError; if it wraps ErrCalledOff the new version is not to blame.
func (r *Restarter) OnFailure(undo func(ctx context.Context, cause error) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.undos = append(r.undos, undo)
}

// undo runs the functions of OnFailure, one after the other, in the order of their registration.
func (r *Restarter) undo(cause error) {
	r.mu.Lock()
	undos := r.undos
	r.mu.Unlock()
	r.undoing.Add(1)
	go func() {
		var errs []error
		for _, f := range undos {
			errs = append(errs, f(context.Background(), cause))
		}
		if len(undos) > 0 {
			e := Event{Kind: EventUndone, Err: errors.Join(errs...), Text: "the update is undone"}
			if e.Err != nil {
				e.Text = "the update could not be undone: what failed may still be installed"
			}
			r.event(e)
		}
		r.undoing.Done()
		r.post(event{kind: evUndone})
	}()
}
