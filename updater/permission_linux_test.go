package updater

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/testenv"
)

// asNobody runs f with the file system rights of an unprivileged user.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if err := unix.Setfsgid(65534); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(unix.Setfsuid(0), unix.Setfsgid(0)); err != nil {
			t.Error(err)
		}
	}()
	f()
}

// A process that may not write says what is on offer, and that it cannot.
func TestWithoutPermission(t *testing.T) {
	testenv.NeedRoot(t)
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	if err := os.Chmod(filepath.Dir(filepath.Dir(c.path)), 0o755); err != nil { // that of the test's own folders
		t.Fatal(err)
	}
	asNobody(t, func() {
		if r, err := c.Check(t.Context()); err != nil || r.Offered != "1.1.0" {
			t.Errorf("check: %+v, %v", r, err)
		}
		if r, err := c.update(); !errors.Is(err, ErrPermission) || r.Offered != "1.1.0" {
			t.Errorf("update: %+v, %v", r, err)
		}
	})
	c.holds("1.0.0")
	if repo.Requested("files/") > 0 {
		t.Error("downloaded what it may not install")
	}
}

// F17: a read-only file system is found before anything is downloaded.
func TestF17ReadOnlyFileSystem(t *testing.T) {
	testenv.NeedRoot(t)
	repo := published(t, "1.0.0", "1.1.0")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		testenv.Skip(t, "mounting a tmpfs", "run the tests where mount is allowed")
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	path := filepath.Join(dir, "hello")
	if err := os.WriteFile(path, program("1.0.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	c := again(t, repo, path, "1.0.0")
	before := c.snapshot()
	_, err := c.update()
	if !errors.Is(err, ErrPermission) || !errors.Is(err, swap.ErrReadOnly) || exitCode(err) != ExitPermission {
		t.Errorf("error %v, exit code %d", err, exitCode(err))
	}
	if repo.Requested("files/") > 0 {
		t.Error("downloaded what cannot be installed")
	}
	c.unchanged(before, false, false)
}

// F06: the mode of the program does not depend on the umask of who updates it.
func TestF06Umask(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	if err := os.Chmod(c.path, 0o755); err != nil {
		t.Fatal(err)
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	c.mustUpdate("1.1.0")
	if info, err := os.Stat(c.path); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
