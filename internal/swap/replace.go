package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/durable"
)

// Replace puts sealed, whose bytes must be want, at the path. What was there is kept in Home under the name of its content
// (see Kept and Restore); whether it stays kept is for the caller's state and Sweep to say. The new file gets the old one's
// owner, group, mode and attributes before it is shown. When Replace returns nil all of it is durable. When it returns an
// error, the file at the path is the one that was there before, unless the error says that even putting it back failed.
//
// The bytes are hashed once more, by the descriptor, right before the rename; and because a rename goes by name, both names
// must still lead to the files that were hashed. On Windows, which renames no open file, Replace closes sealed.
func (t *Target) Replace(sealed *os.File, want content.ID) error {
	in, err := t.change()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := t.isStaged(in, sealed); err != nil {
		return err
	}
	old, err := openRegular(in.Dir, t.name())
	if err != nil {
		return t.explain(t.Path, "opening it", err)
	}
	defer old.Close()
	oldID, err := t.identify(old)
	if err != nil {
		return t.explain(t.Path, "reading it", err)
	}
	defer t.forget()
	return t.exchange(in, place{t.name(), keptName(oldID.SHA256)}, sealed, old, want, oldID)
}

// place is where an exchange puts the new file, and the old one.
type place struct {
	name string // in Dir
	kept string // in Home
}

// exchange gives sealed the old file's owner, group, mode and attributes, keeps old, and puts sealed in its place. It is all
// that Replace does to the disk, and Prepare does the same to a second name of the program, so that what keeps a swap from
// working is found before anything is downloaded.
func (t *Target) exchange(in *beside.Place, at place, sealed, old *os.File, want, oldID content.ID) error {
	if writable(sealed) {
		return &Error{Kind: ErrNotSealed, Path: sealed.Name(), Reason: "it can still be written", Fix: "start the update again"}
	}
	if err := t.resemble(sealed, old); err != nil {
		return err
	}
	if err := syncSealed(sealed); err != nil {
		return t.explain(t.Home, "writing a file in it to disk", err)
	}
	if oldID == want { // already there: nothing to keep, nothing to rename
		return t.synced(in, in.Home.Remove(filepath.Base(sealed.Name())))
	}
	made, aside, err := t.keep(in, at, old)
	if err != nil {
		return err
	}
	staged := filepath.Base(sealed.Name())
	if err = t.verified(in, at, sealed, old, want); err == nil {
		if !aside {
			err = t.renameOver(in, at, sealed)
		}
		if !aside && noReplace(err) { // the second name would keep the old file from being moved to it
			if made {
				in.Home.Remove(at.kept)
			}
			aside = true
		}
		if aside {
			closeForRename(sealed, old)
			err = t.moveAside(in, at.name, in.Home, staged, at.kept)
		}
	}
	if err != nil {
		if made && same(old, in.Dir, at.name) == nil { // else it is the only way back
			in.Home.Remove(at.kept)
		}
		return t.explain(t.Path, "replacing it", err)
	}
	return nil
}

// Restore puts the kept file want back at the path. It needs no disk block: the kept file itself is renamed, with its owner,
// mode and attributes. If want is at the path already, it does nothing. If the kept file is missing or damaged it refuses,
// and what is at the path stays.
func (t *Target) Restore(want content.ID) error {
	in, err := t.change()
	if err != nil {
		return err
	}
	defer in.Close()
	at, err := t.Identify()
	if err == nil && at == want {
		return t.synced(in, nil)
	}
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return t.explain(t.Path, "opening it", err)
	}
	f, from, id, err := t.openKept(in, want.SHA256)
	if err != nil {
		return err
	}
	defer f.Close()
	name := filepath.Base(f.Name())
	if id != want {
		return noPrevious(t, f.Name(), "damaged", fmt.Errorf("it has %d bytes instead of %d", id.Size, want.Size))
	}
	if err := same(f, from, name); err != nil {
		return err
	}
	defer t.forget()
	aside := t.movesAside && !missing
	if !aside {
		err = from.Rename(name, in.Dir, t.name())
		aside = !missing && noReplace(err)
	}
	if aside {
		closeForRename(f)
		err = t.moveAside(in, t.name(), from, name, durable.Unique(keptPrefix+"left"))
	}
	if err != nil {
		return t.explain(t.Path, "putting the previous file back", err)
	}
	return nil
}

// change opens the folders to change something in them; a state folder that is missing is an error.
func (t *Target) change() (*beside.Place, error) {
	in, err := beside.Change(t.Home)
	if err == nil && in.Home == nil {
		in.Close()
		err = &fs.PathError{Op: "open", Path: t.Home, Err: fs.ErrNotExist}
	}
	return in, t.explain(t.Home, "opening it", err)
}

// isStaged refuses what Seal did not return.
func (t *Target) isStaged(in *beside.Place, f *os.File) error {
	bad := func(reason string) error {
		return &Error{Kind: ErrNotSealed, Path: f.Name(), Reason: reason, Fix: "start the update again"}
	}
	info, err := f.Stat()
	if err != nil {
		return bad(err.Error())
	}
	name, _ := durable.IsUnique(filepath.Base(f.Name()))
	switch {
	case filepath.Dir(f.Name()) != t.Home || len(name) < len(stagedPrefix) || name[:len(stagedPrefix)] != stagedPrefix:
		return bad("not a staged file of " + t.Path)
	case !info.Mode().IsRegular():
		return bad("it has become something else")
	case in.Ours(f) != nil:
		return bad("it has become somebody else's: " + in.Ours(f).Error())
	}
	return nil
}

// verified is the last look before the rename.
func (t *Target) verified(in *beside.Place, at place, sealed, old *os.File, want content.ID) error {
	got, err := hash(sealed)
	if err != nil {
		return t.explain(t.Home, "reading a file in it", err)
	}
	if got != want {
		return &Error{Kind: ErrChanged, Path: sealed.Name(), Reason: fmt.Sprintf("its SHA-256 is %x (%d bytes), not the verified %x (%d bytes)", got.SHA256[:], got.Size, want.SHA256[:], want.Size),
			Fix: "find out who else writes there, then update again"}
	}
	if err := same(sealed, in.Home, filepath.Base(sealed.Name())); err != nil {
		return err
	}
	return same(old, in.Dir, at.name)
}

// keep gives the old file its second name, and reports whether it made that. Where there are no hard links nothing is made,
// and aside is true.
func (t *Target) keep(in *beside.Place, at place, old *os.File) (made, aside bool, err error) {
	if t.movesAside {
		return false, true, nil
	}
	if same(old, in.Home, at.kept) == nil {
		return false, false, in.Home.Sync()
	}
	err = in.Dir.Link(at.name, in.Home, at.kept)
	if noLinks(err) {
		return false, true, nil
	}
	if err != nil {
		return false, false, t.explain(t.Path, "giving it a second name in "+t.Home, err)
	}
	if err := same(old, in.Home, at.kept); err != nil {
		in.Home.Remove(at.kept)
		return false, false, err
	}
	return true, false, nil
}

// renameOver is the swap itself. If it cannot be made durable it is taken back, because a caller who is told of an error
// must find the file that was there before.
func (t *Target) renameOver(in *beside.Place, at place, sealed *os.File) error {
	err := in.Home.Rename(filepath.Base(sealed.Name()), in.Dir, at.name)
	if err == nil || same(sealed, in.Dir, at.name) != nil {
		return err
	}
	if back := in.Home.Rename(at.kept, in.Dir, at.name); back != nil && same(sealed, in.Dir, at.name) == nil {
		return fmt.Errorf("%w; putting the old file back from %s: %w", err, in.Home.Join(at.kept), back)
	}
	return err
}

// synced makes what is at the path durable, for a caller who did not have to change anything: whoever put it there may have
// been killed before.
func (t *Target) synced(in *beside.Place, err error) error {
	if err = errors.Join(err, in.Dir.Sync(), in.Home.Sync()); err != nil {
		return t.explain(t.Dir, "writing it to disk", err)
	}
	return nil
}
