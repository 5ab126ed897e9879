package swap

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/theseus-go/theseus/internal/durable"
)

// asidePath is where selfupdate looks for the new file.
func (t *Target) asidePath() string { return filepath.Join(t.Dir, "."+filepath.Base(t.Path)+".new") }

// sweepAside removes what a moveAside that was killed left, unless it is listed: a file that was on its way back. Where files
// are not moved aside, what bears this name is somebody else's.
func (t *Target) sweepAside(spare map[string]bool) error {
	f, err := openRegular(t.asidePath())
	if err != nil {
		return nil
	}
	defer f.Close()
	if !t.movesAside {
		second := filepath.Join(t.Home, durable.Unique("rehearsal"))
		err := os.Link(t.asidePath(), second)
		os.Remove(second)
		if !noLinks(err) {
			return nil
		}
	}
	if id, err := hash(f); err != nil || spare[hex.EncodeToString(id.SHA256[:])] {
		return err
	}
	closeForRename(f)
	return t.remove(t.asidePath())
}

// moveAside puts the file at next at the path after it has moved the file that is there, which may be running, to aside.
// Between the two renames nothing is at the path. If this process is killed there, whoever settles the journal finds the
// path empty, and what it needs either kept (an update that is abandoned) or at DIR/.NAME.new (an undo that is finished).
//
// Of selfupdate, which is behind Aside, only the renames are used: its staging follows links that were planted, holds the
// whole file in memory and verifies nothing unless told to. Its second half finds the new file at DIR/.NAME.new, so that is
// where ours goes first.
func (t *Target) moveAside(next, aside string) error {
	if t.Aside == nil {
		return &Error{Kind: errors.ErrUnsupported, Path: t.Path, Reason: "this file system has no hard links, and this program was built without another way to replace a file", Fix: "update it with the program itself"}
	}
	staged := t.asidePath()
	if info, err := os.Lstat(staged); err == nil && !info.Mode().IsRegular() {
		return &Error{Kind: ErrNotRegular, Path: staged, Reason: "something that is no file stands where the new executable passes through", Fix: "look at what it is, then remove it"}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(next, staged); err != nil {
		return err
	}
	if err := t.Aside(t.Path, aside); err != nil {
		if _, gone := os.Lstat(t.Path); !errors.Is(gone, fs.ErrNotExist) { // else whoever settles looks for it there
			os.Rename(staged, next)
		}
		return err
	}
	return errors.Join(durable.Sync(t.Dir), durable.Sync(t.Home))
}
