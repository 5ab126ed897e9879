package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/theseus-go/theseus/internal/durable"
)

// resemble gives f, which shall take the place of old, the owner, group, attributes and mode of old, in the order in which
// one does not undo the other: the kernel clears set-id bits and file capabilities when the owner changes, and an access
// list rewrites the group bits of the mode. Everything goes by descriptor. What cannot be given refuses the update.
func (t *Target) resemble(f, old *os.File) error {
	info, err := old.Stat()
	if err != nil {
		return t.explain(t.Path, "looking at it", err)
	}
	mode := info.Mode() & modeBits
	if set := mode & (fs.ModeSetuid | fs.ModeSetgid); set != 0 {
		switch t.Setuid {
		case Refuse:
			return &Error{Kind: ErrUnlike, Path: t.Path, Reason: "it runs with the rights of its owner (set-user-id or set-group-id), which a new release does not get unasked",
				Fix: fmt.Sprintf("allow it in the program's update options, or run: chmod ug-s %s", quote(t.Path))}
		case Drop:
			mode &^= set
		}
	}
	if err := giveOwner(f, info, t.Path); err != nil {
		return err
	}
	if err := t.giveAttributes(f, old); err != nil {
		return err
	}
	err = f.Chmod(mode)
	if have, serr := f.Stat(); serr != nil {
		err = errors.Join(err, serr)
	} else if have.Mode()&modeBits == mode {
		return nil // also where no file can be given a mode, but all have the same
	} else if err == nil {
		err = fmt.Errorf("it has the mode %v instead of %v", have.Mode()&modeBits, mode)
	}
	return t.explain(t.Home, "giving the new file the mode of the old one", err)
}

// modeBits are the bits of a mode that a new file gets of the old one.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// makeExecutable ends writing to a staged file: its owner may run it, and it is on the disk.
func makeExecutable(home *durable.Folder, f *os.File) error {
	return errors.Join(home.SetMode(f, 0o700), durable.Flush(f))
}
