package fetch

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// minRate is the least progress, in bytes per second, averaged over the stall window, for which a source is kept. A
// total timeout would punish large files and slow lines; no timeout at all lets a server hold a client for ever by a
// byte now and then (slow retrieval, TUF specification §1.5.2).
const minRate = 1 << 10

// stall ends a request by its context when too little arrives. Only the time spent waiting for the network counts: a
// slow disk, or a machine that was suspended, is not the source's fault. Times are monotonic.
type stall struct {
	window time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer
	since  time.Time
	left   time.Duration // of this window
	got    int64         // in this window
	answer atomic.Bool   // headers are there
}

// watch returns a context that is cancelled when a wait outlasts the window.
func watch(ctx context.Context, window time.Duration) (context.Context, *stall) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stall{window: window, cancel: cancel, left: window}
	s.timer = time.AfterFunc(window, func() { cancel(s.error()) })
	s.timer.Stop()
	return ctx, s
}

func (s *stall) error() error {
	if !s.answer.Load() {
		return &explained{fmt.Sprintf("no answer within %v; check the network and the proxy settings", s.window), ErrStalled}
	}
	return &explained{fmt.Sprintf("less than %d bytes arrived within %v; check the network, or allow more time (Stall)", s.min(), s.window), ErrStalled}
}

func (s *stall) min() int64 { return max(1, int64(s.window.Seconds()*minRate)) }

// wait starts the clock, or ends the request if the window is over; arrived stops the clock.
func (s *stall) wait() {
	s.since = time.Now()
	s.timer.Reset(s.left)
}

func (s *stall) arrived(n int64) {
	s.timer.Stop()
	s.left -= time.Since(s.since)
	s.got += n
	if s.got >= s.min() {
		s.left, s.got = s.window, 0
	}
}

// answered gives the body a window of its own.
func (s *stall) answered() {
	s.arrived(s.min())
	s.answer.Store(true)
}

// watched is the body of an answer under watch.
type watched struct {
	ctx   context.Context
	stall *stall
	body  io.ReadCloser
}

func (w *watched) Read(p []byte) (int, error) {
	w.stall.wait()
	n, err := w.body.Read(p)
	w.stall.arrived(int64(n))
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case w.ctx.Err() != nil:
		return n, context.Cause(w.ctx)
	}
	return n, &brokenError{explain(w.ctx, err)}
}

func (w *watched) Close() error {
	w.stall.cancel(nil)
	return w.body.Close()
}
