package restart

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Exclusive is what one process at a time may have and every request needs, like a database with a lock on its file. Both
// functions are called from one goroutine at a time.
type Exclusive struct {
	// Acquire is called before this process serves: at its start, when the process before it has let go, and when a
	// successor has failed. An error at the start ends Run; in a successor it calls the handover off. A process that has
	// nobody to go back to calls it again every 100 ms until it succeeds. ctx ends when the process stops.
	Acquire func(ctx context.Context) error

	// Release is called when no request runs any more, before the next process calls Acquire. An error is reported, and
	// the next process tries.
	Release func(ctx context.Context) error
}

// reacquireEvery is the pause between two calls of Acquire in a process that has nobody to go back to.
const reacquireEvery = 100 * time.Millisecond

// possession is who has what is exclusive, as this process knows it.
type possession struct {
	mu        sync.Mutex // held during Acquire and Release
	have      bool
	stopYield context.CancelFunc // owned by loop
	since     time.Time          // owned by loop: when this process began to let go
}

// acquire calls Acquire, then sends evAcquired. With persist it goes on until that succeeds or the process stops.
func (r *Restarter) acquire(persist bool) {
	p := &r.possession
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	for told := false; !p.have; {
		if err = r.opts.Exclusive.Acquire(r.cutCtx); err == nil {
			p.have = true
			break
		}
		if !persist {
			break
		}
		if !told {
			told = true
			r.event(Event{Kind: EventDowngrade, Err: err, Text: "what is exclusive cannot be had yet, and nobody serves"})
		}
		select {
		case <-time.After(reacquireEvery):
		case <-r.cutCtx.Done():
			return
		case <-r.done:
			return
		}
	}
	r.post(event{kind: evAcquired, err: err})
}

// yield holds idle connections back, finishes the requests, lets go, and sends evReleased.
func (r *Restarter) yield() {
	ctx, cancel := context.WithTimeout(r.cutCtx, r.opts.Drain)
	p := &r.possession
	p.stopYield, p.since = cancel, time.Now()
	attempt, to := r.attempt, r.successor
	keys := to.servers.all()
	r.mu.Lock()
	servers := r.servers
	r.mu.Unlock()
	go func() {
		defer cancel()
		var wg sync.WaitGroup
		for _, s := range servers {
			wg.Go(func() { s.Quiesce(ctx, r.opts.grace(s.IdleTimeout(), true), keys[s.Key()]) })
		}
		wg.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		switch ctx.Err() {
		case nil:
		case context.DeadlineExceeded:
			r.postFor(attempt, event{kind: evReleased, err: calledOff(fmt.Errorf("the requests have not ended within %v", r.opts.Drain))})
			return
		default: // service has come back
			return
		}
		if p.have {
			p.have = false
			if err := r.opts.Exclusive.Release(ctx); err != nil {
				r.event(Event{Kind: EventDowngrade, Err: err, Text: "letting go of what is exclusive has failed"})
			}
		}
		r.postFor(attempt, event{kind: evReleased})
	}()
}

// passHeld gives the successor, which serves now, the connections that were held back.
func (r *Restarter) passHeld() {
	to := r.successor
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		go s.PassHeld(func(c syscall.Conn) error { return to.pass(s.Key(), c) })
	}
}

// resumeServers serves what was held back.
func (r *Restarter) resumeServers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		s.Resume()
	}
}
