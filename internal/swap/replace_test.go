package swap_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/testenv"
)

// unchanged asserts what every refusal must leave: the old program with its inode and mode, and nothing new around it.
func unchanged(tb testing.TB, t *swap.Target, before fs.FileInfo) {
	tb.Helper()
	after, err := os.Stat(t.Path)
	must(tb, err)
	if !os.SameFile(before, after) || after.Mode() != before.Mode() {
		tb.Errorf("the file at the path is another one: %v, was %v", after.Mode(), before.Mode())
	}
	if got, err := os.ReadFile(t.Path); err != nil || !bytes.Equal(got, program("1.0.0")) {
		tb.Errorf("the bytes at the path changed (%v)", err)
	}
	for _, name := range names(tb, t.Home) {
		if strings.HasPrefix(name, "previous-") {
			tb.Errorf("a refused update left %s", name)
		}
	}
}

func stat(tb testing.TB, path string) fs.FileInfo {
	tb.Helper()
	info, err := os.Lstat(path)
	must(tb, err)
	return info
}

// refused asserts the kind of an error, and that it says what to do.
func refused(tb testing.TB, err, kind error, says ...string) {
	tb.Helper()
	if !errors.Is(err, kind) {
		tb.Fatalf("error %v, want one that is %v", err, kind)
	}
	var e *swap.Error
	if !errors.As(err, &e) || e.Fix == "" {
		tb.Errorf("the error does not say what to do: %v", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			tb.Errorf("the error %q does not say %q", err, s)
		}
	}
}

func staged(tb testing.TB, t *swap.Target, content []byte) *os.File {
	tb.Helper()
	must(tb, t.Prepare(int64(len(content))))
	f, err := stage(t, content)
	must(tb, err)
	tb.Cleanup(func() { f.Close() })
	return f
}

func TestReplaceAndRestore(t *testing.T) {
	target := install(t)
	before := stat(t, target.Path)
	f := staged(t, target, program("2.0.0"))
	if out := run(t, f); out != "2.0.0" {
		t.Errorf("the staged file says %q", out)
	}
	must(t, target.Replace(f, idOf(program("2.0.0"))))
	whole(t, target, "2.0.0")
	tidy(t, target, program("1.0.0"))
	kept := filepath.Join(target.Home, names(t, target.Home)[0])
	if !os.SameFile(before, stat(t, kept)) {
		t.Error("the old file was copied, not linked")
	}

	must(t, target.Restore(idOf(program("1.0.0"))))
	whole(t, target, "1.0.0")
	if !os.SameFile(before, stat(t, target.Path)) {
		t.Error("not the file that was there")
	}
	tidy(t, target)
	must(t, target.Restore(idOf(program("1.0.0")))) // nothing to do
}

// A process that updates itself twice must not lose track of its own path.
func TestManySwapsInOneProcess(t *testing.T) {
	target := install(t)
	versions := []string{"1.0.0", "2.0.0", "3.0.0", "4.0.0"}
	for i, v := range versions[1:] {
		must(t, update(target, program(v), v))
		whole(t, target, v)
		tidy(t, target, program(versions[i]))
	}
	must(t, rollback(target))
	whole(t, target, "3.0.0")
	must(t, update(target, program("4.0.0"), "4.0.0"))
	whole(t, target, "4.0.0")
}

func TestReplaceBySameBytes(t *testing.T) {
	target := install(t)
	must(t, replace(target, program("1.0.0")))
	whole(t, target, "1.0.0")
	tidy(t, target)
}

func TestF03PlantedLinks(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o644))
	target := install(t)
	old := idOf(program("1.0.0"))
	must(t, os.Mkdir(target.Home, 0o755))
	for _, name := range []string{
		filepath.Join(target.Dir, ".app.new"),
		filepath.Join(target.Dir, ".app.old"),
		filepath.Join(target.Home, "state"),
		filepath.Join(target.Home, "previous-"+old.SHA256.String()),
		filepath.Join(target.Home, "staged-"+idOf(program("2.0.0")).SHA256.String()+".0123456789abcdef.tmp"),
	} {
		must(t, os.Symlink(victim, name))
	}
	if f, err := target.Resume(idOf(program("2.0.0")).SHA256); err != nil {
		t.Error(err)
	} else {
		if stat(t, f.Name()).Mode()&fs.ModeSymlink != 0 {
			t.Error("a planted link was resumed")
		}
		f.Close()
	}
	if _, err := target.Kept(old.SHA256); !errors.Is(err, swap.ErrNoPrevious) {
		t.Errorf("a planted link counts as the kept file: %v", err)
	}
	must(t, replace(target, program("2.0.0")))
	whole(t, target, "2.0.0")
	must(t, target.Restore(old))
	whole(t, target, "1.0.0")
	if got, _ := os.ReadFile(victim); string(got) != "precious" {
		t.Errorf("a link was followed: %q", got)
	}

	target = install(t)
	must(t, os.Symlink(filepath.Dir(victim), target.Home))
	if err := target.Prepare(0); err == nil {
		t.Error("a link in place of the state folder was followed")
	}
	if got := names(t, filepath.Dir(victim)); len(got) != 1 {
		t.Errorf("files were made through a link: %v", got)
	}
}

func TestF04PlantedPermissionCheck(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o644))
	target := install(t)
	must(t, os.Symlink(victim, filepath.Join(target.Dir, ".app.check-perm")))
	must(t, target.Prepare(1))
	if got, _ := os.ReadFile(victim); string(got) != "precious" {
		t.Errorf("a link was followed: %q", got)
	}
	if got := names(t, target.Dir); !slices.Equal(got, []string{".app.check-perm", ".app.theseus", "app"}) {
		t.Errorf("the folder now has %v", got)
	}
	if got := names(t, target.Home); len(got) != 0 {
		t.Errorf("the rehearsal left %v", got)
	}
}

func TestF05StaleFiles(t *testing.T) {
	target := install(t)
	stale := filepath.Join(target.Dir, ".app.new")
	must(t, os.WriteFile(stale, []byte("stale"), 0o600))
	must(t, target.Prepare(1))
	left, err := target.Create(idOf(program("2.0.0")).SHA256) // by an update that was killed
	must(t, err)
	_, err = left.WriteString("half a downl")
	must(t, errors.Join(err, left.Chmod(0o400), left.Close()))

	must(t, replace(target, program("2.0.0")))
	whole(t, target, "2.0.0")
	if got, _ := os.ReadFile(stale); string(got) != "stale" {
		t.Errorf("a file that is not ours was used: %q", got)
	}
	if got, _ := os.ReadFile(left.Name()); string(got) != "half a downl" {
		t.Errorf("the file of another attempt was written: %q", got)
	}
	must(t, target.Sweep(idOf(program("1.0.0")).SHA256))
	must(t, os.Remove(stale))
	tidy(t, target, program("1.0.0"))
}

func TestF08TargetIsALink(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "v1")
	must(t, os.Mkdir(real, 0o755))
	installIn(t, real)
	link := filepath.Join(dir, "app")
	must(t, os.Symlink(filepath.Join("v1", "app"), link))

	target, err := swap.Open(link)
	must(t, err)
	if target.Path != filepath.Join(real, "app") || target.Home != filepath.Join(real, ".app.theseus") {
		t.Errorf("the link was not resolved: %+v", target)
	}
	// Resolved once: a link that a deployment flips meanwhile does not lead the swap elsewhere.
	elsewhere := filepath.Join(dir, "v9")
	must(t, os.Mkdir(elsewhere, 0o755))
	installIn(t, elsewhere)
	must(t, errors.Join(os.Remove(link), os.Symlink(filepath.Join("v9", "app"), link)))

	must(t, update(target, program("2.0.0"), "2.0.0"))
	whole(t, target, "2.0.0")
	if to, err := os.Readlink(link); err != nil || to != filepath.Join("v9", "app") {
		t.Errorf("the link is now %q, %v", to, err)
	}
	if got, _ := os.ReadFile(filepath.Join(elsewhere, "app")); !bytes.Equal(got, program("1.0.0")) {
		t.Error("the swap followed a link that was flipped")
	}
	// And a link put in the place of the file itself is not followed either.
	must(t, errors.Join(os.Remove(target.Path), os.Symlink(filepath.Join(elsewhere, "app"), target.Path)))
	refused(t, target.Prepare(1), swap.ErrNotRegular)
	if got := names(t, elsewhere); len(got) != 1 {
		t.Errorf("followed to %v", got)
	}
}

func TestF09OtherHardLinks(t *testing.T) {
	target := install(t)
	other := filepath.Join(target.Dir, "app-2")
	must(t, os.Link(target.Path, other))
	if n, err := target.OtherNames(); n != 1 || err != nil {
		t.Errorf("%d other names, %v; want 1", n, err)
	}
	// What a swap that was killed before its rename kept is no other name.
	must(t, target.Prepare(0))
	must(t, os.Link(target.Path, filepath.Join(target.Home, "previous-"+idOf(program("1.0.0")).SHA256.String())))
	if n, err := target.OtherNames(); n != 1 || err != nil {
		t.Errorf("%d other names, %v; want 1: the kept file is none", n, err)
	}
	must(t, replace(target, program("2.0.0")))
	if got, _ := os.ReadFile(other); !bytes.Equal(got, program("1.0.0")) {
		t.Error("the swap changed what another name leads to")
	}
	whole(t, target, "2.0.0")
	if n, err := target.OtherNames(); n != 0 || err != nil {
		t.Errorf("%d other names, %v; want 0: the new file has one name", n, err)
	}
	must(t, target.Restore(idOf(program("1.0.0"))))
	if n, err := target.OtherNames(); n != 1 || err != nil {
		t.Errorf("%d other names after going back, %v; want 1", n, err)
	}
}

func TestF10ChangedBetweenVerifyAndCommit(t *testing.T) {
	want := idOf(program("2.0.0"))
	for _, row := range []struct {
		name   string
		change func(t *testing.T, target *swap.Target, f *os.File)
	}{
		{"bytes overwritten in place", func(t *testing.T, _ *swap.Target, f *os.File) {
			w, err := os.OpenFile(f.Name(), os.O_WRONLY, 0)
			must(t, err)
			_, err = w.WriteAt([]byte("echo pwned\n"), 10)
			must(t, errors.Join(err, w.Close()))
		}},
		{"bytes appended", func(t *testing.T, _ *swap.Target, f *os.File) {
			w, err := os.OpenFile(f.Name(), os.O_WRONLY|os.O_APPEND, 0)
			must(t, err)
			_, err = w.WriteString("echo pwned\n")
			must(t, errors.Join(err, w.Close()))
		}},
		{"another file under the name", func(t *testing.T, _ *swap.Target, f *os.File) {
			must(t, os.WriteFile(f.Name()+"x", []byte("#!/bin/sh\necho pwned\n"), 0o755))
			must(t, os.Rename(f.Name()+"x", f.Name()))
		}},
		{"a link under the name", func(t *testing.T, target *swap.Target, f *os.File) {
			must(t, errors.Join(os.Rename(f.Name(), f.Name()+"x"), os.Symlink(f.Name()+"x", f.Name())))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			target := install(t)
			before := stat(t, target.Path)
			f := staged(t, target, program("2.0.0"))
			row.change(t, target, f)
			refused(t, target.Replace(f, want), swap.ErrChanged)
			unchanged(t, target, before)
		})
	}
	t.Run("a second name for the staged file", func(t *testing.T) {
		target := install(t)
		before := stat(t, target.Path)
		f := staged(t, target, program("2.0.0"))
		must(t, os.Link(f.Name(), filepath.Join(target.Dir, "backdoor")))
		refused(t, target.Replace(f, want), swap.ErrNotSealed)
		unchanged(t, target, before)
	})
}

func TestF11NotStaged(t *testing.T) {
	want := idOf(program("2.0.0"))
	for _, row := range []struct {
		name string
		file func(t *testing.T, target *swap.Target) *os.File
	}{
		{"not sealed", func(t *testing.T, target *swap.Target) *os.File {
			f, err := target.Create(want.SHA256)
			must(t, err)
			_, err = f.Write(program("2.0.0"))
			must(t, err)
			return f
		}},
		{"a file from elsewhere", func(t *testing.T, target *swap.Target) *os.File {
			name := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(name, program("2.0.0"), 0o755))
			f, err := os.Open(name)
			must(t, err)
			return f
		}},
		{"a file in Home that nobody staged", func(t *testing.T, target *swap.Target) *os.File {
			name := filepath.Join(target.Home, "app.new")
			must(t, os.WriteFile(name, program("2.0.0"), 0o755))
			f, err := os.Open(name)
			must(t, err)
			return f
		}},
		{"a pipe", func(t *testing.T, target *swap.Target) *os.File {
			r, w, err := os.Pipe()
			must(t, err)
			w.Close()
			return r
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			target := install(t)
			must(t, target.Prepare(1))
			before := stat(t, target.Path)
			f := row.file(t, target)
			defer f.Close()
			refused(t, target.Replace(f, want), swap.ErrNotSealed)
			unchanged(t, target, before)
		})
	}
}

func TestF12NothingStaged(t *testing.T) {
	target := install(t)
	before := stat(t, target.Path)
	f := staged(t, target, program("2.0.0"))
	must(t, os.Remove(f.Name()))
	refused(t, target.Replace(f, idOf(program("2.0.0"))), swap.ErrChanged)
	unchanged(t, target, before)
	if err := target.Replace(closed(f), idOf(program("2.0.0"))); !errors.Is(err, swap.ErrNotSealed) {
		t.Errorf("a closed file was accepted: %v", err)
	}
	unchanged(t, target, before)
}

func closed(f *os.File) *os.File { f.Close(); return f }

func TestF14BackupNameIsAFolder(t *testing.T) {
	target := install(t)
	before := stat(t, target.Path)
	f := staged(t, target, program("2.0.0"))
	folder := filepath.Join(target.Home, "previous-"+idOf(program("1.0.0")).SHA256.String())
	must(t, os.MkdirAll(filepath.Join(folder, "full"), 0o755))
	if err := target.Replace(f, idOf(program("2.0.0"))); err == nil {
		t.Error("it went on without keeping the old file")
	}
	after := stat(t, target.Path)
	if !os.SameFile(before, after) {
		t.Error("the target changed")
	}
	if got := names(t, target.Home); !slices.Equal(got, []string{filepath.Base(folder), filepath.Base(f.Name())}) {
		t.Errorf("it left %v", got)
	}
}

func TestF28PreviousMissingOrDamaged(t *testing.T) {
	old := idOf(program("1.0.0"))
	for _, row := range []struct {
		name   string
		damage func(path string) error
	}{
		{"missing", os.Remove},
		{"a byte flipped", func(path string) error {
			b := program("1.0.0")
			b[100] ^= 1
			return os.WriteFile(path, b, 0o755)
		}},
		{"empty", func(path string) error { return os.Truncate(path, 0) }},
		{"cut short", func(path string) error { return os.Truncate(path, 100) }},
		{"a folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }},
		{"a pipe", func(path string) error { return errors.Join(os.Remove(path), mkfifo(path)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			target := install(t)
			must(t, update(target, program("2.0.0"), "2.0.0"))
			now := stat(t, target.Path)
			must(t, row.damage(filepath.Join(target.Home, "previous-"+old.SHA256.String())))
			refused(t, target.Restore(old), swap.ErrNoPrevious, target.Path)
			whole(t, target, "2.0.0")
			if !os.SameFile(now, stat(t, target.Path)) {
				t.Error("the file that works was touched")
			}
			if _, err := target.Kept(old.SHA256); !errors.Is(err, swap.ErrNoPrevious) {
				t.Errorf("Kept: %v", err)
			}
			if err := settleUndo(t, target); err != nil {
				t.Errorf("settling: %v", err)
			}
			whole(t, target, "2.0.0")
		})
	}
}

// settleUndo settles an undo whose kept file is gone: it gives up, and remembers what is there.
func settleUndo(t *testing.T, target *swap.Target) error {
	journal(t, target, state.Undo, "2.0.0", "1.0.0")
	if err := settle(target); err != nil && !strings.Contains(err.Error(), "directory") {
		return err
	}
	s, err := state.Load(target.Home)
	if err == nil && (s.Journal != nil || s.Installed == nil || s.Installed.Version != "2.0.0") {
		t.Errorf("remembered: %+v", s)
	}
	return err
}

func TestResume(t *testing.T) {
	target := install(t)
	must(t, target.Prepare(1))
	want := idOf(program("2.0.0")).SHA256
	f, err := target.Create(want)
	must(t, err)
	_, err = f.WriteString("the first half")
	must(t, errors.Join(err, f.Close()))
	again, err := target.Resume(want)
	must(t, err)
	defer again.Close()
	if got, err := io.ReadAll(again); err != nil || string(got) != "the first half" {
		t.Errorf("resumed with %q, %v", got, err)
	}
	if _, err := again.WriteString(" and the second"); err != nil {
		t.Error(err)
	}
	other, err := target.Resume(idOf(program("3.0.0")).SHA256)
	must(t, err)
	defer other.Close()
	if other.Name() == again.Name() {
		t.Error("what was left of one file was resumed for another")
	}
}

func TestSweepSparesWhatIsNotOurs(t *testing.T) {
	keep, drop := idOf(program("1.0.0")).SHA256, idOf(program("2.0.0")).SHA256
	all := []string{
		"state", "lock", "notes.txt", "previous-backup", "x.tmp", "previous-" + strings.ToUpper(drop.String()),
		"previous-" + keep.String(), "previous-" + drop.String(),
		"staged-" + keep.String() + ".0123456789abcdef.tmp", "staged-" + drop.String() + ".0123456789abcdef.tmp", "state.0123456789abcdef.tmp",
	}
	for _, c := range []struct {
		name string
		do   func(*swap.Target) error
		gone []int // of all
	}{
		{"sweep", func(t *swap.Target) error { return t.Sweep(keep) }, []int{7, 9, 10}},
		{"sweep, nothing is listed", func(t *swap.Target) error { return t.Sweep() }, []int{6, 7, 8, 9, 10}},
		{"tidy", func(t *swap.Target) error { return t.Tidy(keep) }, []int{7, 10}},
		{"tidy, nothing is listed", func(t *swap.Target) error { return t.Tidy() }, []int{10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := install(t)
			must(t, target.Prepare(1))
			var want []string
			for i, name := range all {
				must(t, os.WriteFile(filepath.Join(target.Home, name), nil, 0o644))
				if !slices.Contains(c.gone, i) {
					want = append(want, name)
				}
			}
			must(t, c.do(target))
			slices.Sort(want)
			if got := names(t, target.Home); !slices.Equal(got, want) {
				t.Errorf("left %v\nwant %v", got, want)
			}
		})
	}
}

// DIR/.app.new is ours only where files are moved aside, and then only what is not on its way back.
func TestSweepWhereFilesAreMovedAside(t *testing.T) {
	target := install(t)
	must(t, target.Prepare(0))
	passing := filepath.Join(target.Dir, ".app.new")
	must(t, os.WriteFile(passing, program("2.0.0"), 0o755))
	must(t, target.Sweep())
	stat(t, passing)
	target.MoveAside()
	must(t, target.Sweep(idOf(program("2.0.0")).SHA256))
	stat(t, passing)
	must(t, target.Sweep(idOf(program("1.0.0")).SHA256))
	if _, err := os.Lstat(passing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed swap left stays: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := swap.Open(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if err := os.Symlink("missing", filepath.Join(dir, "link")); err == nil {
		if _, err := swap.Open(filepath.Join(dir, "link")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a link to nothing: %v", err)
		}
		must(t, os.Remove(filepath.Join(dir, "link")))
	}
	_, err := swap.Open(dir)
	refused(t, err, swap.ErrNotRegular)
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("Open made %v", got)
	}
}

// What a swap that was killed at the wrong instant left on a system that moves files aside can be opened and mended, also
// through a link.
func TestOpenWhereTheFileIsMissing(t *testing.T) {
	target := install(t)
	must(t, replace(target, program("2.0.0")))
	must(t, os.Remove(target.Path))
	link := filepath.Join(memory(t), "link")
	must(t, os.Symlink(target.Path, link))
	again, err := swap.Open(link)
	must(t, err)
	if again.Path != target.Path {
		t.Errorf("opened %s", again.Path)
	}
	if _, err := again.Identify(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Identify: %v", err)
	}
	must(t, again.Restore(idOf(program("1.0.0"))))
	whole(t, target, "1.0.0")
}

// Identify may answer from memory, but never for a file that was changed: neither in the same tick of the clock, so it
// remembers nothing that is new, nor with the old size and time of modification.
func TestIdentifySeesEveryChange(t *testing.T) {
	testenv.NeedOS(t, "linux") // elsewhere it reads the file each time
	target := install(t)
	first, err := target.Identify()
	must(t, err)
	if target.Remembers() {
		t.Error("it remembers a file that was changed just now")
	}
	defer swap.Settled(0)()
	again, err := target.Identify()
	must(t, err)
	if again != first || !target.Remembers() {
		t.Error("it does not remember a file that was left alone")
	}
	before := stat(t, target.Path)
	b := program("1.0.0")
	for {
		b[len(b)-2]++
		w, err := os.OpenFile(target.Path, os.O_WRONLY, 0)
		must(t, err)
		_, err = w.WriteAt(b, 0)
		must(t, errors.Join(err, w.Close(), os.Chtimes(target.Path, before.ModTime(), before.ModTime())))
		if !reflect.DeepEqual(stat(t, target.Path).Sys(), before.Sys()) {
			break // the clock has ticked
		}
	}
	if stat(t, target.Path).Size() != before.Size() || !stat(t, target.Path).ModTime().Equal(before.ModTime()) {
		t.Fatal("this tests nothing")
	}
	changed, err := target.Identify()
	must(t, err)
	if changed != idOf(b) {
		t.Error("bytes were changed in place, with the old time of modification, and not seen")
	}
}

// exits runs a command and returns its exit code and what it said.
func exits(tb testing.TB, cmd *exec.Cmd) (int, string) {
	tb.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestClockOfTheFileSystem: times without a fraction may be of a clock that ticks every 2 s, others are not.
func TestClockOfTheFileSystem(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		changed time.Time
		want    bool
	}{
		{now.Truncate(time.Second).Add(-time.Second), false},
		{now.Truncate(time.Second).Add(-3 * time.Second), true},
		{now.Add(-500 * time.Millisecond).Truncate(time.Second).Add(time.Nanosecond - time.Second), true},
		{now.Add(time.Minute), false},
	} {
		if got := swap.IsSettled(c.changed); got != c.want {
			t.Errorf("a change %v ago, at %v: %v", time.Since(c.changed), c.changed, got)
		}
	}
}
