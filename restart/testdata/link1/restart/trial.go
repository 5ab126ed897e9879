package restart

import (
	"context"
	"fmt"
	"time"
)

// prove is the probation, seen from the process that is on it: as long as the predecessor wants, with a word to it
// every second that all is well. It ends by evTimePassed, by evIll, or by ctx when something else has ended it.
func (r *Restarter) prove(ctx context.Context) {
	var limit time.Duration
	select {
	case limit = <-r.terms:
	case <-ctx.Done():
		return
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for last := limit == 0; ; {
		if err := r.healthy(ctx); err != nil {
			if ctx.Err() == nil {
				r.post(event{kind: evIll, err: err})
			}
			return
		}
		if last {
			r.post(event{kind: evTimePassed})
			return
		}
		r.up.say(msgWell, "")
		select {
		case <-tick.C:
		case <-end.C:
			last = true
		case <-ctx.Done():
			return
		}
	}
}

// healthy asks Health, and does not wait for ever.
func (r *Restarter) healthy(ctx context.Context) error {
	if r.opts.Health == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, healthAnswer)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- r.opts.Health(ctx) }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the health check did not answer within %v", healthAnswer)
	}
}
