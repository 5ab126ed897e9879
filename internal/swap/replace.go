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
	if err := t.resemble(sealed, old); err != nil {
		return err
	}
	if err := syncSealed(sealed); err != nil {
		return t.explain(sealed.Name(), "writing it to disk", err)
	}
	oldID, err := t.identify(old)
	if err != nil {
		return err
	}
	if oldID == want { // already there: nothing to keep, nothing to rename
		return t.synced(in, in.Home.Remove(filepath.Base(sealed.Name())))
	}
	kept, aside, err := t.keep(in, old, oldID)
	if err != nil {
		return err
	}
	if err = t.verified(in, sealed, old, want); err == nil {
		if aside {
			closeForRename(sealed, old)
			err = t.moveAside(in, in.Home, filepath.Base(sealed.Name()), kept.name)
		} else {
			err = t.renameOver(in, sealed, kept.name)
		}
	}
	if err != nil {
		if same(old, in.Dir, t.name()) == nil { // else it is the only way back
			kept.discard(in)
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
	if t.movesAside && !missing {
		closeForRename(f)
		err = t.moveAside(in, from, name, durable.Unique(keptPrefix+"left"))
	} else {
		err = from.Rename(name, in.Dir, t.name())
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
	case writable(f):
		return bad("it can still be written")
	}
	return nil
}

// verified is the last look before the rename.
func (t *Target) verified(in *beside.Place, sealed, old *os.File, want content.ID) error {
	got, err := hash(sealed)
	if err != nil {
		return err
	}
	if got != want {
		return &Error{Kind: ErrChanged, Path: sealed.Name(), Reason: fmt.Sprintf("its SHA-256 is %x (%d bytes), not the verified %x (%d bytes)", got.SHA256[:], got.Size, want.SHA256[:], want.Size),
			Fix: "find out who else writes there, then update again"}
	}
	if err := same(sealed, in.Home, filepath.Base(sealed.Name())); err != nil {
		return err
	}
	return same(old, in.Dir, t.name())
}

// kept is the file that Replace kept, and whether it was Replace that did.
type kept struct {
	name string
	made bool
}

func (k kept) discard(in *beside.Place) {
	if k.made {
		in.Home.Remove(k.name)
	}
}

// keep gives the old file its second name. Where there are no hard links nothing is made, and aside is true.
func (t *Target) keep(in *beside.Place, old *os.File, id content.ID) (k kept, aside bool, err error) {
	k.name = keptName(id.SHA256)
	if t.movesAside {
		return k, true, nil
	}
	if same(old, in.Home, k.name) == nil {
		return k, false, in.Home.Sync()
	}
	err = in.Dir.Link(t.name(), in.Home, k.name)
	if noLinks(err) {
		return k, true, nil
	}
	if err != nil {
		return k, false, t.explain(t.Path, "keeping it as "+in.Home.Join(k.name), err)
	}
	k.made = true
	if err := same(old, in.Home, k.name); err != nil {
		k.discard(in)
		return k, false, err
	}
	return k, false, nil
}

// renameOver is the swap itself. If it cannot be made durable it is taken back, because a caller who is told of an error
// must find the file that was there before.
func (t *Target) renameOver(in *beside.Place, sealed *os.File, kept string) error {
	err := in.Home.Rename(filepath.Base(sealed.Name()), in.Dir, t.name())
	if err == nil || same(sealed, in.Dir, t.name()) != nil {
		return err
	}
	if back := in.Home.Rename(kept, in.Dir, t.name()); back != nil && same(sealed, in.Dir, t.name()) == nil {
		return fmt.Errorf("%w; putting the old file back from %s: %w", err, in.Home.Join(kept), back)
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
