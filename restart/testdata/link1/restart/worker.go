package restart

import (
	"context"
	"errors"
	"sync"
)

// A worker runs in the process in service: one process at a time.
type worker struct {
	run func(context.Context) error

	// Guarded by workers.mu.
	cancel context.CancelFunc // nil: does not run
	rest   bool               // was told to end
	again  bool               // service came back before it had ended
	done   bool               // ended by itself: not called again
	inside int                // calls of Handover that it is in: then it is neither ended nor waited for
	ended  chan struct{}
}

type workerKey struct{}

type workers struct {
	mu     sync.Mutex
	list   []*worker
	broken func(error) // a worker ended by itself with an error
}

// work runs all that do not run.
func (ws *workers) work() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.list {
		switch {
		case w.done:
		case w.cancel == nil:
			ws.launch(w)
		case w.rest:
			w.again = true
		}
	}
}

func (ws *workers) launch(w *worker) {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), workerKey{}, w))
	w.cancel, w.rest, w.again, w.ended = cancel, false, false, make(chan struct{})
	go func() {
		err := w.run(ctx)
		cancel()
		ws.mu.Lock()
		defer ws.mu.Unlock()
		close(w.ended)
		w.cancel = nil
		switch {
		case w.again:
			ws.launch(w)
		case w.rest:
		default:
			w.done = true
			if err != nil && !errors.Is(err, context.Canceled) {
				go ws.broken(err)
			}
		}
	}()
}

// rest tells the workers to end and calls idle when they have. One that is inside Handover is left alone, unless this
// is the end.
func (ws *workers) rest(end bool, idle func()) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var wait []chan struct{}
	for _, w := range ws.list {
		if w.cancel == nil || w.inside > 0 && !end {
			continue
		}
		w.rest, w.again = true, false
		w.cancel()
		wait = append(wait, w.ended)
	}
	go func() {
		for _, c := range wait {
			<-c
		}
		idle()
	}()
}

// enter notes that the worker to whom ctx belongs, if any, is inside Handover until the function returned is called.
func (ws *workers) enter(ctx context.Context) (leave func()) {
	w, ok := ctx.Value(workerKey{}).(*worker)
	if !ok {
		return func() {}
	}
	ws.mu.Lock()
	w.inside++
	ws.mu.Unlock()
	return func() {
		ws.mu.Lock()
		w.inside--
		ws.mu.Unlock()
	}
}

// wait returns when no worker runs.
func (ws *workers) wait() {
	for {
		var ended chan struct{}
		ws.mu.Lock()
		for _, w := range ws.list {
			if w.cancel != nil {
				ended = w.ended
			}
		}
		ws.mu.Unlock()
		if ended == nil {
			return
		}
		<-ended
	}
}
