package updater

import (
	"context"
	"os"

	"github.com/theseus-go/theseus/internal/installation"
)

// unlock lets go of what lock holds.
func (j *job) unlock() {
	if j.held != nil {
		j.held.Release()
		j.held = nil
	}
}

// tryOut does what an update does before it downloads, and to a small file what it does when it swaps. It returns the way
// that the update would go, the zero one if there is nothing to go to.
func (j *job) tryOut(ctx context.Context) (w way, err error) {
	if err := j.lock(ctx, installation.ToUpdate); err != nil {
		return w, err
	}
	defer j.unlock()
	if j.offer == nil {
		return w, j.held.Rehearse(j.likely())
	}
	ways, err := j.ways(ctx)
	if err != nil {
		return w, err
	}
	fit, err := j.fit(ways)
	if err != nil {
		return ways[0], err
	}
	return fit[0], nil
}

// likely is how many bytes an update needs that is as large as what is installed, unpacked as it comes.
func (j *job) likely() int64 {
	if info, err := os.Stat(j.disk.Path); err == nil {
		return info.Size()
	}
	return 0
}
