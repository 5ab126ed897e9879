package updater

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
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

// foreign is a client of a program that was updated to 1.1.0, offered 1.2.0, in a folder of another user's.
func foreign(t *testing.T) (*client, func() string) {
	t.Helper()
	testenv.NeedRoot(t)
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	c.mustUpdate("1.1.0")
	repo.Publish("1.2.0", program("1.2.0"))
	dir := filepath.Dir(c.path)
	// Everything of every file but when it was read: root may look.
	fingerprint := func() string {
		out, err := exec.Command("find", dir, "-printf", "%p %i %y %s %m %U %G %n %T@ %C@ %l\n").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for _, path := range []string{dir, c.path} {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	return c, fingerprint
}

// R05: whoever owns the folder could exchange what is in it while root works there, so root does not.
func TestR05RootInAFolderOfSomebodyElse(t *testing.T) {
	t.Run("recover", func(t *testing.T) {
		c, fingerprint := foreign(t)
		before := fingerprint()
		_, err := Recover(t.Context(), c.path, nil)
		if want := "sudo -u '#65534' theseus recover " + c.path; !errors.Is(err, ErrPermission) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error %v\ndoes not end with %s", err, want)
		}
		if after := fingerprint(); after != before {
			t.Errorf("before:\n%safter:\n%s", before, after)
		}
	})
	t.Run("recover, and only the state folder is somebody else's", func(t *testing.T) {
		c, fingerprint := foreign(t)
		if err := errors.Join(os.Chown(filepath.Dir(c.path), 0, 0), os.Chown(c.disk.Home, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		before := fingerprint()
		if _, err := Recover(t.Context(), c.path, nil); !errors.Is(err, ErrPermission) {
			t.Errorf("error %v", err)
		}
		if after := fingerprint(); after != before {
			t.Errorf("before:\n%safter:\n%s", before, after)
		}
	})
	for _, args := range []string{"", "--version 1.2.0", "--check", "--rollback", "--dry-run", "--doctor", "--json"} {
		t.Run("self-update "+args, func(t *testing.T) {
			c, fingerprint := foreign(t)
			before := fingerprint()
			code, stdout, stderr := again(t, c.repo, c.path, "1.1.0").run(strings.Fields("self-update " + args)...)
			want := strings.TrimSpace("sudo -u '#65534' " + c.path + " self-update " + args)
			if code != ExitPermission || !strings.Contains(stdout+stderr, want) {
				t.Errorf("exit code %d\n%s%s\nwant %s", code, stdout, stderr, want)
			}
			if after := fingerprint(); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
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
