package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/theseus-go/theseus/internal/durable"
)

// The test binary is also the program that is traced, with all that it does on one thread.
func init() {
	if os.Getenv("THESEUS_DURABLE") != "" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	if do := os.Getenv("THESEUS_DURABLE"); do != "" {
		if err := traced[do](os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// traced are the documented functions, called on files in dir.
var traced = map[string]func(dir string) error{
	"Create": in(func(d *durable.Folder) error {
		_, err := d.Create("prefix")
		return err
	}),
	"Make": in(func(d *durable.Folder) error {
		_, err := d.Make("made", 0o600)
		return err
	}),
	"WriteFile": in(func(d *durable.Folder) error { return d.WriteFile("file", []byte("new"), 0o644) }),
	"Rename":    in(func(d *durable.Folder) error { return d.Rename("file", d, "other") }),
	"RenameAcross": in(func(d *durable.Folder) error {
		to, err := d.Enter("folder")
		if err != nil {
			return err
		}
		return d.Rename("file", to, "file")
	}),
	"Link": in(func(d *durable.Folder) error { return d.Link("file", d, "other") }),
	"Mkdir": in(func(d *durable.Folder) error {
		_, err := d.Mkdir("made", 0o755)
		return err
	}),
	"Sync": in((*durable.Folder).Sync),
}

func in(do func(d *durable.Folder) error) func(dir string) error {
	return func(dir string) error {
		d, err := durable.At(dir)
		if err != nil {
			return err
		}
		return do(d)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func names(tb testing.TB, dir string) (all []string) {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	must(tb, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestCreateUsesNoNameTwice(t *testing.T) {
	dir := t.TempDir()
	for range 100 {
		f, err := durable.Create(dir, "x")
		must(t, err)
		must(t, f.Close())
		prefix, ok := durable.IsUnique(filepath.Base(f.Name()))
		if !ok || prefix != "x" {
			t.Fatalf("%s is not known again: %q", f.Name(), prefix)
		}
	}
	if got := names(t, dir); len(got) != 100 {
		t.Errorf("%d files", len(got))
	}
}

func TestIsUnique(t *testing.T) {
	for name, want := range map[string]string{
		"state.0123456789abcdef.tmp": "state",
		".x.0123456789abcdef.tmp":    ".x",
		"a.b.0123456789abcdef.tmp":   "a.b",
		".0123456789abcdef.tmp":      "",
	} {
		if prefix, ok := durable.IsUnique(name); !ok || prefix != want {
			t.Errorf("%s: %q, %v", name, prefix, ok)
		}
	}
	for _, name := range []string{"", "x", "x.tmp", "x.0123456789abcde.tmp", "x.0123456789abcdeg.tmp", "x.0123456789abcdef", "x.0123456789ABCDEF0.tmp", "0123456789abcdef.tmp"} {
		if _, ok := durable.IsUnique(name); ok {
			t.Errorf("%s was taken for one of ours", name)
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, content := range []string{"first", "second, longer", ""} {
		must(t, durable.WriteFile(path, []byte(content), 0o640))
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("%q, %v; want %q", got, err, content)
		}
	}
	if err := durable.WriteFile(filepath.Join(dir, "missing", "file"), nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is missing: %v", err)
	}
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	if err := durable.WriteFile(filepath.Join(dir, "folder"), nil, 0o644); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"file", "folder"}) {
		t.Errorf("left %v", got)
	}
}

// A link under the name is replaced, what it leads to stays.
func TestWriteFileFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "file")
	must(t, os.WriteFile(victim, []byte("precious"), 0o644))
	must(t, os.Symlink(victim, path))
	must(t, durable.WriteFile(path, []byte("new"), 0o644))
	if got, _ := os.ReadFile(victim); string(got) != "precious" {
		t.Errorf("followed: %q", got)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Whoever reads meanwhile sees the old bytes or the new ones.
func TestWriteFileIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	contents := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 50_000)}
	must(t, durable.WriteFile(path, []byte(contents[0]), 0o644))
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		for i := range 100 {
			if err := durable.WriteFile(path, []byte(contents[i%2]), 0o644); err != nil {
				t.Error(err)
			}
		}
	})
	for looks := 0; ; looks++ {
		select {
		case <-done:
			group.Wait()
			t.Logf("%d looks", looks)
			return
		default:
		}
		if got, err := os.ReadFile(path); err != nil || !slices.Contains(contents, string(got)) {
			t.Fatalf("a third state: %d bytes, %v", len(got), err)
		}
	}
}

func TestLink(t *testing.T) {
	dir := t.TempDir()
	old, new := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	must(t, os.WriteFile(old, []byte("old"), 0o644))
	same := func() {
		t.Helper()
		a, err := os.Lstat(old)
		must(t, err)
		b, err := os.Lstat(new)
		must(t, err)
		if !os.SameFile(a, b) {
			t.Error("not the same file")
		}
		if got := names(t, dir); !slices.Equal(got, []string{"new", "old"}) {
			t.Errorf("the folder has %v", got)
		}
	}
	must(t, link(old, new))
	same()
	must(t, link(old, new)) // already so: POSIX lets this rename do nothing, and the temporary name would stay
	same()
	must(t, os.Remove(new))
	must(t, os.WriteFile(new, []byte("another"), 0o644))
	must(t, link(old, new))
	same()
	if err := link(filepath.Join(dir, "missing"), new); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file: %v", err)
	}
	must(t, os.Mkdir(filepath.Join(dir, "zfolder"), 0o755))
	if err := link(old, filepath.Join(dir, "zfolder")); err == nil {
		t.Error("a folder was replaced")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"new", "old", "zfolder"}) {
		t.Errorf("left %v", got)
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("b"), 0o644))
	must(t, durable.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	if got, _ := os.ReadFile(filepath.Join(dir, "b")); string(got) != "a" {
		t.Errorf("%q", got)
	}
	if err := durable.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file: %v", err)
	}
}

func link(old, new string) error {
	return in(func(d *durable.Folder) error { return d.Link(filepath.Base(old), d, filepath.Base(new)) })(filepath.Dir(old))
}

func mkdir(path string, perm fs.FileMode) error {
	return in(func(d *durable.Folder) error {
		made, err := d.Mkdir(filepath.Base(path), perm)
		if err != nil {
			return err
		}
		return made.Close()
	})(filepath.Dir(path))
}

func TestMkdir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	var group sync.WaitGroup
	for range 16 { // they race for it
		group.Go(func() {
			if err := mkdir(dir, 0o755); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := mkdir(filepath.Join(dir, "missing", "made"), 0o755); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is missing: %v", err)
	}
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	must(t, os.WriteFile(file, nil, 0o644))
	must(t, os.Symlink(t.TempDir(), link))
	for _, path := range []string{file, link} {
		if err := mkdir(path, 0o755); err == nil || !strings.Contains(err.Error(), "not a folder") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
