package swap

import (
	"errors"
	"fmt"
	"os"

	"github.com/theseus-go/theseus/internal/durable"
)

// Prepare makes Home (0755, owner and group of Dir) if it is missing and reports, before anything is downloaded, what would
// keep a swap from working; need is how many bytes the update will write. Several problems are joined, each an *Error with
// the command that repairs it.
//
// It rehearses with an empty file what Replace will do with the real one, up to the rename: so what it finds is what the
// system really answers, not what permission bits suggest.
func (t *Target) Prepare(need int64) error {
	old, err := t.open()
	if err != nil {
		return t.explain(t.Path, "opening it", err)
	}
	defer old.Close()
	if err := t.place(need); err != nil {
		return err
	}
	if err := durable.Mkdir(t.Home, 0o755); err != nil {
		return t.explain(t.Home, "making the folder for updates", err)
	}
	return errors.Join(t.room(need), t.rehearse(old))
}

// rehearse does what Replace does, with an empty file, up to the rename.
func (t *Target) rehearse(old *os.File) error {
	f, err := durable.Create(t.Home, "rehearsal")
	if err != nil {
		return t.explain(t.Home, "making a file in it", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	err = t.resemble(f, old)
	if mustMoveAside {
		return err
	}
	second := f.Name()[:len(f.Name())-len(".tmp")] + "-link.tmp"
	lerr := os.Link(t.Path, second)
	os.Remove(second)
	if isOtherMount(lerr) {
		lerr = &Error{Kind: ErrUnfit, Path: t.Path, Reason: "it is a mount point of its own, or " + t.Home + " is: it cannot be renamed over", Err: lerr,
			Fix: fmt.Sprintf("mount the folder instead of the file, or update what is mounted there: findmnt -T %s; findmnt -T %s", quote(t.Path), quote(t.Home))}
	} else if noLinks(lerr) {
		lerr = nil
	} else {
		lerr = t.explain(t.Path, "giving it a second name in "+t.Home, lerr)
	}
	return errors.Join(err, lerr)
}
