package restart

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// finisher is something that was registered with OnDrain.
type finisher struct {
	name   string
	finish func(context.Context) error
}

// drain ends the service of this process: everything side by side, under one hard limit. It returns when all is done,
// or when the limit has passed and the rest is cut. out, if not nil, is where connections go.
func (r *Restarter) drain(ctx context.Context, limit time.Duration, out *link, homes map[string]bool, stopping bool) {
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
			var to sink
			if out != nil && homes[s.key] && canPass() {
				to = func(c syscall.Conn) error { return out.pass(s.key, c) }
			}
			c := s.drain(ctx, min(limit, r.opts.grace(s.idleTimeout(), stopping)), to)
			mu.Lock()
			cut = append(cut, c...)
			mu.Unlock()
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
					r.opts.Logger.Warn("draining: a function has failed", "name", name, "error", err)
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
		r.event(Event{Name: EventCut, Text: "cut at the end of the drain: " + strings.Join(cut, ", ")})
	}
}

func (s *server) idleTimeout() time.Duration {
	if s.srv.IdleTimeout != 0 {
		return s.srv.IdleTimeout
	}
	return s.srv.ReadTimeout // as net/http has it
}
