package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/minio/selfupdate"

	"github.com/theseus-go/theseus/internal/durable"
)

// asidePath is where selfupdate looks for the new file.
func (t *Target) asidePath() string { return filepath.Join(t.Dir, "."+filepath.Base(t.Path)+".new") }

// sweepAside removes the new file of a moveAside that was killed. Where files are not moved aside it is somebody else's.
func (t *Target) sweepAside() error {
	info, err := os.Lstat(t.asidePath())
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if !mustMoveAside {
		second := filepath.Join(t.Home, durable.Unique("rehearsal"))
		err := os.Link(t.asidePath(), second)
		os.Remove(second)
		if !noLinks(err) {
			return nil
		}
	}
	return os.Remove(t.asidePath())
}

// moveAside puts the file at next at the path after it has moved the file that is there, which may be running, to aside.
// Between the two renames nothing is at the path. If this process is killed there, Settle finds the path empty and the old
// file at aside, and puts it back.
//
// Of selfupdate only the renames are used: its staging follows links that were planted, holds the whole file in memory and
// verifies nothing unless told to. Its second half finds the new file at DIR/.NAME.new, so that is where ours goes first.
func (t *Target) moveAside(next, aside string) error {
	staged := t.asidePath()
	if info, err := os.Lstat(staged); err == nil && !info.Mode().IsRegular() {
		return &Error{Kind: ErrNotRegular, Path: staged, Reason: "something that is no file stands where the new executable passes through", Fix: "look at what it is, then remove it"}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(next, staged); err != nil {
		return err
	}
	err := selfupdate.CommitBinary(selfupdate.Options{TargetPath: t.Path, OldSavePath: aside})
	if err != nil {
		if back := selfupdate.RollbackError(err); back != nil {
			return fmt.Errorf("%w; putting the old file back from %s: %w", err, aside, back)
		}
		os.Rename(staged, next)
		return err
	}
	return errors.Join(durable.Sync(t.Dir), durable.Sync(t.Home))
}
