package swap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/theseus-go/theseus/internal/beside"
)

// margin is what an update may write beyond the downloaded and the new file: state, journal, names.
const margin = 1 << 20

// Prepare makes Home (0755, owner and group of Dir) if it is missing and reports, before anything is downloaded, what would
// keep a swap from working; need is how many bytes the update will write, 0 if that is not known yet. Several problems are
// joined, each an *Error with what repairs it. Prepare needs no lock; going back (Restore) needs no Prepare.
//
// It rehearses with an empty file what Replace will do with the real one, up to the rename: what it finds is what the
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
	in, err := beside.Enter(t.Home)
	if err != nil {
		return t.explain(t.Home, "making the folder for updates", err)
	}
	defer in.Close()
	return t.rehearse(in, old)
}

// place judges the folder and the file without changing them.
func (t *Target) place(need int64) error {
	var problems []error
	add := func(kind error, path, reason, fix string) {
		problems = append(problems, &Error{Kind: kind, Path: path, Reason: reason, Fix: fix})
	}
	fs, err := statfs(t.Dir)
	if err != nil {
		return t.explain(t.Dir, "asking about its file system", err)
	}
	if fs.noExec {
		add(ErrUnfit, t.Dir, "it is on a file system from which nothing may be executed (noexec)",
			"install the program elsewhere, or run: sudo mount -o remount,exec "+quote(fs.mount))
	}
	if need > 0 && fs.known && fs.free < uint64(need)+margin {
		add(ErrNoSpace, t.Dir, fmt.Sprintf("the update needs %s, %s are free", megabytes(uint64(need)+margin), megabytes(fs.free)), t.noSpaceFix())
	}
	if fs.known && fs.noInodes {
		add(ErrNoSpace, t.Dir, "its file system has no inode left", "remove files, then update again: df -i "+quote(t.Dir))
	}
	if limit := fileSizeLimit(); need > 0 && uint64(need) > limit {
		add(ErrNoSpace, t.Dir, fmt.Sprintf("the update needs %s, this process may write files of %s", megabytes(uint64(need)), megabytes(limit)),
			"raise the limit: ulimit -f unlimited (systemd: LimitFSIZE=infinity)")
	}
	for _, path := range []string{t.Path, t.Dir} {
		if fix := thaw(path); fix != "" {
			add(ErrPermission, path, "it is protected against change, for root too", fix)
		}
	}
	if err := mayWrite(t.Dir); err != nil {
		problems = append(problems, t.explain(t.Dir, "this user may not replace files in it", err))
	}
	return errors.Join(problems...)
}

// filesystem is what can be known of one without writing to it.
type filesystem struct {
	known, noExec, noInodes bool

	free  uint64 // bytes that an ordinary user may still write
	mount string // some path on it
}

func megabytes(n uint64) string {
	if n > 1<<62 {
		return "any size"
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func (t *Target) readOnlyFix() string {
	return "update the image it comes from, or mount it writable: sudo mount -o remount,rw \"$(findmnt -no TARGET -T " + quote(t.Dir) + ")\""
}

func (t *Target) noSpaceFix() string { return "make room, then update again: df -h " + quote(t.Dir) }

// rehearse does what Replace does, with an empty file, up to the rename.
func (t *Target) rehearse(in *beside.Place, old *os.File) error {
	f, err := in.Home.Create("rehearsal")
	if err != nil {
		return t.explain(t.Home, "making a file in it", err)
	}
	defer in.Home.Remove(filepath.Base(f.Name()))
	defer f.Close()
	err = t.resemble(f, old)
	if t.movesAside {
		return err
	}
	lerr := in.Dir.CanLink(t.name(), in.Home, "rehearsal")
	switch {
	case isOtherMount(lerr):
		lerr = &Error{Kind: ErrUnfit, Path: t.Path, Reason: "it, or " + t.Home + ", is a mount of its own, so one cannot take the place of the other", Err: lerr,
			Fix: fmt.Sprintf("mount the whole folder instead, see: findmnt -T %s; findmnt -T %s", quote(t.Path), quote(t.Home))}
	case noLinks(lerr):
		lerr = t.mayMoveAside(in) // as Replace will
	default:
		lerr = t.explain(t.Path, "giving it a second name in "+t.Home, lerr)
	}
	return errors.Join(err, lerr)
}

// OtherNames is how many hard links lead to the executable besides its path and the kept file. An update replaces the file
// at the path alone: the others go on naming the old one.
func (t *Target) OtherNames() (int, error) {
	in, err := beside.Open(t.Home)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	info, err := in.Dir.Lstat(t.name())
	if err != nil {
		return 0, err
	}
	n := int(info.Links) - 1
	if in.Home == nil {
		return n, nil
	}
	names, err := in.Home.Names()
	for _, name := range names {
		if ours, err := in.Home.Lstat(name); err == nil && info.Same(ours) {
			n--
		}
	}
	return n, err
}
