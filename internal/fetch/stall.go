package fetch

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// stall ends a request by its context when too little arrives. A total timeout would punish large files and slow lines; no
// timeout at all lets a server hold a client for ever by a byte now and then (slow retrieval, TUF specification §1.5.2).
// Only the time spent waiting for the network counts: a slow disk, or a machine that was suspended, is not the source's
// fault. Times are monotonic.
type stall struct {
	window time.Duration
	rate   int64 // bytes per second that have to arrive, averaged over the window
	cancel context.CancelCauseFunc
	timer  *time.Timer
	since  time.Time
	left   time.Duration // of this window
	got    int64         // in this window
	answer atomic.Bool   // headers are there
}

// watch returns a context that is cancelled when a wait outlasts the window.
func watch(ctx context.Context, window time.Duration, rate int64) (context.Context, *stall) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stall{window: window, rate: rate, cancel: cancel, left: window}
	s.timer = time.AfterFunc(window, func() { cancel(s.error()) })
	s.timer.Stop()
	return ctx, s
}

func (s *stall) error() error {
	if !s.answer.Load() {
		return sentence(ErrStalled, "no answer within %v; check the network and the proxy settings", s.window)
	}
	return sentence(ErrStalled, "less than %d bytes arrived within %v; check the network, or allow a slower source", s.min(), s.window)
}

func (s *stall) min() int64 { return max(1, int64(s.window.Seconds()*float64(s.rate))) }

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
