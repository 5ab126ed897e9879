package store

import (
	"context"
	"io"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// lockPatience is how long WaitForFolder waits. A publisher holds the folder of a project while it writes one small file.
const lockPatience = 30 * time.Second

// WaitForFolder locks a folder once nobody else has it locked. Whoever can read a folder can lock it, so that it neither
// waits for ever nor longer than ctx. There is no event to wait for: a lock that is waited for in the kernel cannot be given
// up by a signal that the program handles.
func WaitForFolder(ctx context.Context, dir string) (io.Closer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, busy(dir))
	defer cancel()
	for {
		lock, err := LockFolder(dir)
		if err == nil || ui.ExitCode(err) != ui.ExitBusy {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func busy(dir string) error {
	return ui.Fail(ui.ExitBusy, "another theseus is writing to %s: wait until it is done, then run this again%s", dir, lockHolder(dir))
}
