package restart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/theseus-go/theseus/restart/internal/conn"
)

// A finisher is a function that was given to OnDrain.
type finisher struct {
	name   string
	finish func(context.Context) error
}

// drain ends the service of this process: everything side by side, under one hard limit. It returns when all is done, or
// when the limit has passed and the rest is cut. Connections leave through out, if it is not nil, for the servers of the
// other process whose keys are given.
func (r *Restarter) drain(ctx context.Context, limit time.Duration, out *link, keys map[string]bool, stopping bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.announce.Do(func() { close(r.draining) })

	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		cut []string
	)
	r.mu.Lock()
	servers, finishers := r.servers, r.finishers
	r.mu.Unlock()
	for _, s := range servers {
		wg.Go(func() {
			var to conn.Sink
			if out != nil && keys[s.Key()] {
				to = func(c syscall.Conn) error { return out.pass(s.Key(), c) }
			}
			var arriving chan struct{}
			if r.relay != nil && !stopping {
				arriving = r.relay.gone // until then the predecessor may send us connections, which go on from here
			}
			c := s.Drain(ctx, min(limit, r.opts.grace(s.IdleTimeout(), stopping)), to, arriving)
			mu.Lock()
			cut = append(cut, c...)
			mu.Unlock()
		})
	}
	if r.relay != nil && !stopping { // those after us count on it that we are the last one before them
		wg.Go(func() {
			select {
			case <-r.relay.gone:
			case <-ctx.Done():
			}
		})
	}
	late := map[string]bool{}
	async := func(name string, f func() error) {
		late[name] = true
		wg.Go(func() {
			done := make(chan error, 1)
			go func() { done <- f() }()
			select {
			case err := <-done:
				mu.Lock()
				delete(late, name)
				mu.Unlock()
				if err != nil && !errors.Is(err, context.Canceled) {
					r.log.log(time.Now(), slog.LevelWarn, "a drain function has failed", "name", name, "err", err)
				}
			case <-ctx.Done():
			}
		})
	}
	mu.Lock()
	async("workers", func() error { r.workers.wait(); return nil })
	async("the functions of OnFailure", func() error { r.undoing.Wait(); return nil })
	for i, f := range finishers {
		async(fmt.Sprintf("%s (drain function %d)", f.name, i+1), func() error { return f.finish(ctx) })
	}
	mu.Unlock()
	wg.Wait()

	mu.Lock()
	defer mu.Unlock()
	for name := range late {
		cut = append(cut, name)
	}
	if len(cut) > 0 {
		sort.Strings(cut)
		r.event(Event{Kind: EventCut, Text: "cut at the end of the drain: " + strings.Join(cut, ", ")})
	}
}
