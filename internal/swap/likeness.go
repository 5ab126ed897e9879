package swap

import (
	"fmt"
	"io/fs"
	"os"
)

// resemble gives f, which shall take the place of old, the owner, group, attributes and mode of old, in the order in which
// one does not undo the other: the kernel clears set-id bits and file capabilities when the owner changes, and an access
// list rewrites the group bits of the mode. Everything goes by descriptor. What cannot be given refuses the update.
func (t *Target) resemble(f, old *os.File) error {
	info, err := old.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
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
	if err := f.Chmod(mode); err != nil {
		return t.explain(f.Name(), "giving it the mode of the old file", err)
	}
	return nil
}
