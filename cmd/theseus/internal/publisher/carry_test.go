package publisher_test

import (
	"context"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/remote"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
)

// The tests within the package play with remotes too, which only a test outside of it may import.
func init() {
	publisher.Carry.Push = func(ctx context.Context, o publisher.Options, to store.Store, restore bool) error {
		_, err := (&remote.Push{Options: o, To: to, Restore: restore, Quiet: true}).Run(ctx)
		return err
	}
	publisher.Carry.Pull = func(ctx context.Context, o publisher.Options, from store.Opened, documents bool) error {
		source, err := remote.SourceOf(ctx, from)
		if err != nil {
			return err
		}
		_, err = (&remote.Pull{Options: o, From: source, Documents: documents, Quiet: true}).Run(ctx)
		return err
	}
	publisher.Carry.Prune = func(ctx context.Context, o publisher.Options, after time.Duration) error {
		_, err := (&remote.Prune{Options: o, After: after, Delete: true}).Run(ctx)
		return err
	}
}
