package restart

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

type grpcLike struct {
	took time.Duration
	cut  chan struct{}
}

func (g *grpcLike) GracefulStop() {
	select {
	case <-time.After(g.took):
	case <-g.cut:
	}
}
func (g *grpcLike) Stop() { close(g.cut) }

type cronLike struct{ took time.Duration }

func (c cronLike) Stop() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(c.took, cancel)
	return ctx
}

type fiberLike struct{ took time.Duration }

func (f fiberLike) Shutdown() error { panic("the one without a limit") }
func (f fiberLike) ShutdownWithContext(ctx context.Context) error {
	select {
	case <-time.After(f.took):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type asynqLike struct{ took time.Duration }

func (a asynqLike) Shutdown() { time.Sleep(a.took) }

type poolLike struct{ took time.Duration }

func (p poolLike) StopAndWait() { time.Sleep(p.took) }
func (p poolLike) Stop() context.Context {
	return cronLike(p).Stop()
}

// TestGraceful: every kind is waited for, and no longer than the limit.
func TestGraceful(t *testing.T) {
	const limit = 10 * time.Second
	for name, make := range map[string]func(time.Duration) any{
		"grpc":  func(d time.Duration) any { return &grpcLike{d, make(chan struct{})} },
		"cron":  func(d time.Duration) any { return cronLike{d} },
		"fiber": func(d time.Duration) any { return fiberLike{d} },
		"asynq": func(d time.Duration) any { return asynqLike{d} },
		"pool":  func(d time.Duration) any { return poolLike{d} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, took := range []time.Duration{time.Second, time.Minute} {
					ctx, cancel := context.WithTimeout(context.Background(), limit)
					begun := time.Now()
					err := Graceful(make(took))(ctx)
					cancel()
					if d := time.Since(begun); d != min(took, limit) {
						t.Errorf("one that takes %v was waited for %v", took, d)
					}
					if late := took > limit; late != errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("one that takes %v: %v", took, err)
					}
				}
				time.Sleep(time.Hour) // what was left behind ends, so that synctest can
			})
		})
	}
	Graceful(&http.Server{})
	defer func() {
		if recover() == nil {
			t.Error("a value without any such method was taken")
		}
	}()
	Graceful(struct{}{})
}
