package updater

import (
	"context"

	"github.com/theseus-go/theseus/internal/installation"
)

// unlock lets go of what lock holds.
func (j *job) unlock() {
	if j.held != nil {
		j.held.Release()
		j.held = nil
	}
}

// tryOut does what an update of so many bytes does before it downloads, and to a small file what it does when it swaps.
func (j *job) tryOut(ctx context.Context, need int64) error {
	if err := j.lock(ctx, installation.ToUpdate); err != nil {
		return err
	}
	defer j.unlock()
	return j.held.Rehearse(need)
}
