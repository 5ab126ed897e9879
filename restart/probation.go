package restart

import (
	"context"
	"fmt"
	"time"
)

// prove runs the probation of this process: for as long as the predecessor asked, reporting health every second. It ends
// with evIll, or with ctx, when something else has ended the probation: mostly the commit that evTimePassed leads to.
func (r *Restarter) prove(ctx context.Context) {
	var limit time.Duration
	select {
	case limit = <-r.predecessor.probation:
	case <-ctx.Done():
		return
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for last, passed := limit == 0, false; ; {
		if err := r.healthy(ctx); err != nil {
			if ctx.Err() == nil {
				r.post(event{kind: evIll, err: err})
			}
			return
		}
		if last && !passed {
			passed = true
			r.post(event{kind: evTimePassed, ask: r.predecessor.can(grants)})
		}
		r.predecessor.say(msgWell, "")
		select {
		case <-tick.C:
		case <-end.C:
			last = true
		case <-ctx.Done():
			return
		}
	}
}

// healthy calls Health, and waits for healthAnswer at most. While this process did not run (it was stopped, or starved, or
// the machine slept), nobody could have answered: that time does not count.
func (r *Restarter) healthy(ctx context.Context) error {
	if r.opts.Health == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- r.opts.Health(ctx) }()
	for {
		due := time.Now().Add(healthAnswer)
		late := time.NewTimer(healthAnswer)
		select {
		case err := <-answer:
			late.Stop()
			return err
		case <-ctx.Done():
			late.Stop()
			return ctx.Err()
		case <-late.C:
		}
		if time.Since(due) < healthAnswer/4 {
			return fmt.Errorf("the health check did not answer within %v", healthAnswer)
		}
	}
}
