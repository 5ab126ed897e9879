package swap

import (
	"encoding/hex"
	"errors"
	"io/fs"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/durable"
)

// asideName is where selfupdate looks for the new file.
func (t *Target) asideName() string { return asideName(t.name()) }

func asideName(name string) string { return "." + name + ".new" }

// sweepAside removes what a moveAside that was killed left, unless it is listed: a file that was on its way back. Where
// files are not moved aside, what bears this name is somebody else's.
func (t *Target) sweepAside(in *beside.Place, spare map[string]bool) error {
	f, err := openRegular(in.Dir, t.asideName())
	if err != nil {
		return nil
	}
	defer f.Close()
	if !t.movesAside && !noLinks(in.Dir.CanLink(t.asideName(), in.Home, "rehearsal")) {
		return nil
	}
	if id, err := hash(f); err != nil || spare[hex.EncodeToString(id.SHA256[:])] {
		return err
	}
	closeForRename(f)
	return t.remove(in.Dir, t.asideName())
}

// mayMoveAside reports an error where somebody else decides where paths lead, because selfupdate takes paths.
func (t *Target) mayMoveAside(in *beside.Place) error {
	if t.Aside == nil {
		return &Error{Kind: errors.ErrUnsupported, Path: t.Path, Reason: "a running file cannot be replaced on this file system, and this program was built without another way to replace a file", Fix: "update it with the program itself"}
	}
	if !in.Private() {
		return &Error{Kind: ErrPermission, Path: t.Dir, Reason: "a running file cannot be replaced on this file system, only moved aside, and that only the owner of the folder may do", Fix: ownerFix(t.Dir)}
	}
	return nil
}

// moveAside puts the file next of the folder from at DIR/NAME after it has moved the file that is there, which may be
// running, to aside in Home. Between the two renames nothing is at the path. If this process is killed there, whoever settles the
// journal finds the path empty, and what it needs either kept (an update that is abandoned) or at DIR/.NAME.new (an undo
// that is finished).
//
// Of selfupdate, which is behind Aside, only the renames are used: its staging follows links that were planted, holds the
// whole file in memory and verifies nothing unless told to. Its second half finds the new file at DIR/.NAME.new, so that is
// where ours goes first.
func (t *Target) moveAside(in *beside.Place, name string, from *durable.Folder, next, aside string) error {
	if err := t.mayMoveAside(in); err != nil {
		return err
	}
	staged := asideName(name)
	if info, err := in.Dir.Lstat(staged); err == nil && !info.Mode.IsRegular() {
		return &Error{Kind: ErrNotRegular, Path: in.Dir.Join(staged), Reason: "something that is no file stands where the new executable passes through", Fix: "look at what it is, then remove it"}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := from.Move(next, in.Dir, staged); err != nil {
		return err
	}
	if err := t.Aside(in.Dir.Join(name), in.Home.Join(aside)); err != nil {
		if _, gone := in.Dir.Lstat(name); !errors.Is(gone, fs.ErrNotExist) { // else whoever settles looks for it there
			in.Dir.Move(staged, from, next)
		}
		return err
	}
	return errors.Join(in.Dir.Sync(), in.Home.Sync())
}
