package restart

import (
	"context"
	"errors"
)

// Graceful adapts what servers and workers call their orderly end to [Restarter.OnDrain], by the methods that they
// have, in this order:
//
//   - GracefulStop(), and Stop() at the hard limit: grpc-go
//   - Shutdown(context.Context) error, or ShutdownWithContext: net/http, echo, fiber
//   - Stop() context.Context, which ends when all is done: robfig/cron
//   - Shutdown() or Shutdown() error: asynq
//   - Stop(context.Context) error: many worker pools
//   - StopAndWait(), Stop() or Close() error: the rest
//
// It panics for a value that has none of them: that is a mistake in the program, and it shows at the first start.
func Graceful(server any) func(ctx context.Context) error {
	switch s := server.(type) {
	case interface {
		GracefulStop()
		Stop()
	}:
		return func(ctx context.Context) error {
			return within(ctx, func() error { s.GracefulStop(); return nil }, s.Stop)
		}
	case interface{ ShutdownWithContext(context.Context) error }:
		return s.ShutdownWithContext
	case interface{ Shutdown(context.Context) error }:
		return s.Shutdown
	case interface{ Stop() context.Context }:
		return func(ctx context.Context) error {
			done := s.Stop()
			select {
			case <-done.Done():
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	case interface{ Shutdown() error }:
		return func(ctx context.Context) error { return within(ctx, s.Shutdown, nil) }
	case interface{ Shutdown() }:
		return func(ctx context.Context) error {
			return within(ctx, func() error { s.Shutdown(); return nil }, nil)
		}
	case interface{ Stop(context.Context) error }:
		return s.Stop
	case interface{ StopAndWait() }:
		return func(ctx context.Context) error {
			return within(ctx, func() error { s.StopAndWait(); return nil }, nil)
		}
	case interface{ Stop() }:
		return func(ctx context.Context) error {
			return within(ctx, func() error { s.Stop(); return nil }, nil)
		}
	case interface{ Close() error }:
		return func(ctx context.Context) error { return within(ctx, s.Close, nil) }
	}
	panic(errors.New("restart: Graceful knows no way to end a value of this type in order; give OnDrain a function"))
}

// within waits for end no longer than ctx lasts; then it calls cut, which makes end return.
func within(ctx context.Context, end func() error, cut func()) error {
	done := make(chan error, 1)
	go func() { done <- end() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if cut != nil {
		cut()
		return errors.Join(ctx.Err(), <-done)
	}
	return ctx.Err()
}
