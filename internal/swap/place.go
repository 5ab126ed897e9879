package swap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/durable"
)

// Margin is how many bytes an update may write beyond what it stages: state, journal, names.
const Margin = 1 << 20

// Prepare makes Home (0755, owner and group of Dir) if it is missing and reports, before anything is downloaded, what would
// keep a swap from working. Several problems are joined, each an *Error with what repairs it. It needs no lock, so it tries
// no more than whether a file can be made here, and linked; going back (Restore) needs no Prepare.
//
// need is how many bytes the update will have staged at once, 0 if that is not known yet; kept files that are listed in gone
// it will remove before.
func (t *Target) Prepare(need int64, gone ...content.Digest) error {
	return t.prepare(need, gone, false)
}

// Rehearse is Prepare under the lock. It does all that Replace will do, with a small file in place of the new one and a
// second name of the program in place of the program: what it finds is what the system really answers, not what permission
// bits suggest.
func (t *Target) Rehearse(need int64, gone ...content.Digest) error {
	return t.prepare(need, gone, true)
}

func (t *Target) prepare(need int64, gone []content.Digest, whole bool) error {
	old, err := t.open()
	if err != nil {
		return t.explain(t.Path, "opening it", err)
	}
	defer old.Close()
	frees, err := t.place(need, gone)
	if err != nil {
		return err
	}
	in, err := beside.Enter(t.Home)
	if err != nil {
		return t.explain(t.Home, "making the folder for updates", err)
	}
	defer in.Close()
	if whole { // as the update does first, which looks for what it has begun already
		if _, err := in.Home.Names(); err != nil {
			return t.explain(t.Home, "looking for what is there", err)
		}
	}
	f, err := in.Home.Create(rehearsal)
	if err != nil {
		return t.explain(t.Home, "making a file in it", err)
	}
	defer f.Close()
	defer in.Home.Remove(filepath.Base(f.Name()))
	if err := errors.Join(t.resemble(f, old), t.link(in)); err != nil || !whole {
		return err
	}
	return t.rehearse(in, f, need+Margin-frees)
}

// place judges the folder and the file without changing them, and returns how many bytes the files will free that an update
// removes or goes on with.
func (t *Target) place(need int64, gone []content.Digest) (frees int64, err error) {
	var problems []error
	add := func(kind error, path, reason, fix string) {
		problems = append(problems, &Error{Kind: kind, Path: path, Reason: reason, Fix: fix})
	}
	fs := statfs(t.Dir)
	if fs.noExec {
		add(ErrUnfit, t.Dir, "it is on a file system from which nothing may be executed (noexec)",
			"install the program elsewhere, or run: sudo mount -o remount,exec "+quote(fs.mount))
	}
	if need > 0 {
		frees = t.frees(gone)
		if free := fs.free + uint64(frees); fs.known && free < uint64(need)+Margin {
			add(ErrNoSpace, t.Dir, fmt.Sprintf("the update needs %s at once, and %s are free for it", amount(uint64(need)+Margin), amount(free)), t.noSpaceFix())
		}
	}
	if fs.known && fs.noInodes {
		add(ErrNoSpace, t.Dir, "its file system has no inode left", "remove files, then update again: df -i "+quote(t.Dir))
	}
	if limit := fileSizeLimit(); need > 0 && uint64(need) > limit {
		add(ErrNoSpace, t.Dir, fmt.Sprintf("the update needs %s, this process may write files of %s", amount(uint64(need)), amount(limit)),
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
	return frees, errors.Join(problems...)
}

// frees is how many bytes staged files take, which an update removes or goes on with, and those of the kept files.
func (t *Target) frees(gone []content.Digest) (n int64) {
	in, err := beside.Open(t.Home)
	if err != nil {
		return 0
	}
	defer in.Close()
	if in.Home == nil {
		return 0
	}
	names, _ := in.Home.Names()
	for _, name := range names {
		prefix, staged := durable.IsUnique(name)
		staged = staged && strings.HasPrefix(prefix, stagedPrefix)
		if !staged && !slices.ContainsFunc(gone, func(d content.Digest) bool { return name == keptName(d) }) {
			continue
		}
		if info, err := in.Home.Lstat(name); err == nil && info.Mode.IsRegular() && info.Links == 1 {
			n += info.Size
		}
	}
	return n
}

// filesystem is what can be known of one without writing to it.
type filesystem struct {
	known, noExec, noInodes bool

	free  uint64 // bytes that an ordinary user may still write
	mount string // some path on it
}

// amount is a number of bytes for people, and for scripts.
func amount(n uint64) string {
	if n > 1<<62 {
		return "any size"
	}
	return fmt.Sprintf("%.1f MB (%d bytes)", float64(n)/1e6, n)
}

func (t *Target) readOnlyFix() string {
	return "update the image it comes from, or mount it writable: sudo mount -o remount,rw \"$(findmnt -no TARGET -T " + quote(t.Dir) + ")\""
}

func (t *Target) noSpaceFix() string { return "make room, then update again: df -h " + quote(t.Dir) }

// rehearse does what Replace does, with f as the new file, after it has found out whether n bytes can be written.
func (t *Target) rehearse(in *beside.Place, f *os.File, n int64) error {
	if err := reserve(f, n); err != nil {
		return t.explain(t.Dir, fmt.Sprintf("the update needs %s at once, and the system does not give it", amount(uint64(n))), err)
	}
	if err := scribble(f); err != nil {
		return t.explain(t.Home, "writing a file in it", err)
	}
	if err := t.overwrite(in); err != nil {
		return t.explain(t.Home, "writing a file anew in it", err)
	}
	return t.perform(in, f)
}

// scribble writes to f in each way in which a download does.
func scribble(f *os.File) error {
	const text = "#!/bin/false\n"
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// overwrite replaces a file as what is remembered is replaced.
func (t *Target) overwrite(in *beside.Place) error {
	name := durable.Unique(rehearsal)
	var err error
	for range 2 {
		if err == nil {
			err = in.Home.WriteFile(name, []byte("{}"), 0o644)
		}
	}
	return errors.Join(err, in.Home.Remove(name))
}

// rehearsal begins the names of files in Home that are made for a rehearsal.
const rehearsal = "rehearsal"

// scratch begins the names in Dir under which the program, or a file in its stead, is replaced for a rehearsal.
func (t *Target) scratch() string { return "." + t.name() + ".theseus" }

// link finds out whether the program can be given its second name in Home, or how to do without.
func (t *Target) link(in *beside.Place) error {
	if t.movesAside {
		return nil
	}
	err := in.Dir.CanLink(t.name(), in.Home, rehearsal)
	switch {
	case isOtherMount(err):
		return &Error{Kind: ErrUnfit, Path: t.Path, Reason: "it, or " + t.Home + ", is a mount of its own, so one cannot take the place of the other", Err: err,
			Fix: fmt.Sprintf("mount the whole folder instead, see: findmnt -T %s; findmnt -T %s", quote(t.Path), quote(t.Home))}
	case noLinks(err):
		return t.mayMoveAside(in) // as Replace will
	}
	return t.explain(t.Path, "giving it a second name in "+t.Home, err)
}

// perform seals f, and puts it in the place of what looks to the system like the program, or, where that can have no second
// name, of another small file. It removes both.
func (t *Target) perform(in *beside.Place, f *os.File) (err error) {
	name := durable.Unique(t.scratch())
	kept := durable.Unique(rehearsal)
	defer func() {
		for _, r := range []struct {
			in   *durable.Folder
			name string
		}{{in.Dir, name}, {in.Dir, asideName(name)}, {in.Home, kept}, {in.Home, filepath.Base(f.Name())}} {
			if rerr := r.in.Remove(r.name); err == nil {
				err = t.explain(r.in.Path(), "removing a file from it", rerr)
			}
		}
	}()
	second := !t.movesAside
	if second {
		err := in.Dir.Second(t.name(), in.Dir, name)
		if second = !noLinks(err); second && err != nil {
			return t.explain(t.Path, "giving it a second name beside it", err)
		}
	}
	if !second {
		stand, err := in.Dir.Make(name, 0o755)
		if err != nil {
			return t.explain(t.Dir, "making a file in it", err)
		}
		stand.Close()
	}
	sealed, err := seal(in.Home, f)
	if err != nil {
		return t.explain(t.Home, "sealing a file in it", err)
	}
	defer sealed.Close()
	old, err := openRegular(in.Dir, name)
	if err != nil {
		return t.explain(t.Path, "opening it by a second name", err)
	}
	defer old.Close()
	want, err := hash(sealed)
	if err != nil {
		return t.explain(t.Home, "reading a file in it", err)
	}
	return t.exchange(in, place{name, kept}, sealed, old, want, content.ID{})
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
