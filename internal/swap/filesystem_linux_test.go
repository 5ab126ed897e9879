package swap_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testfault"
)

// An overlay whose layers lie on two file systems gives the second name of a file that came from below another number than
// the first.
func TestF37Overlay(t *testing.T) {
	testenv.NeedRoot(t)
	for _, xino := range []string{"off", "on"} {
		t.Run("xino="+xino, func(t *testing.T) {
			lower, upper, dir := t.TempDir(), t.TempDir(), t.TempDir()
			mount(t, lower, "size=32m")
			mount(t, upper, "size=32m")
			installIn(t, lower)
			must(t, errors.Join(os.Mkdir(filepath.Join(upper, "u"), 0o755), os.Mkdir(filepath.Join(upper, "w"), 0o755)))
			options := fmt.Sprintf("lowerdir=%s,upperdir=%s/u,workdir=%s/w,xino=%s", lower, upper, upper, xino)
			if err := unix.Mount("theseus", dir, "overlay", 0, options); err != nil {
				testenv.Skip(t, "overlay", "run the tests where the kernel has overlay file systems")
			}
			t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
			target, err := swap.Open(filepath.Join(dir, "app"))
			must(t, err)
			for range 2 {
				must(t, update(target, program("2.0.0"), "2.0.0"))
				whole(t, target, "2.0.0")
				must(t, rollback(target))
				whole(t, target, "1.0.0")
				must(t, settle(target))
			}
			tidy(t, target)
		})
	}
}

// Calls that a file system may lack are done without, where the system leaves another way.
func TestF36FileSystemLacks(t *testing.T) {
	for _, lack := range []struct {
		call  string
		errno syscall.Errno
	}{
		{"fsync", syscall.EINVAL}, {"fsync", syscall.ENOSYS},
		{"statfs", syscall.ENOSYS}, {"statfs", syscall.EIO}, {"faccessat2", syscall.EIO}, {"ioctl", syscall.ENOTTY},
		{"flistxattr", syscall.ENOTSUP}, {"fallocate", syscall.EOPNOTSUPP},
		{"linkat", syscall.EPERM}, {"linkat", syscall.EINVAL}, {"linkat", syscall.EMLINK},
	} {
		t.Run(lack.call+" "+unix.ErrnoName(lack.errno), func(t *testing.T) {
			t.Parallel()
			var target *swap.Target
			testfault.Program{
				Always: map[string]syscall.Errno{lack.call: lack.errno},
				Command: func(tb testing.TB) *exec.Cmd {
					target = install(tb)
					return command("update", target)
				},
				Check: func(tb testing.TB, r testfault.Run) {
					whole(tb, target, "2.0.0")
					tidy(tb, target, program("1.0.0"))
				},
			}.Points(t)
		})
	}
}

// What keeps a swap from working is found by the rehearsal, which changes nothing.
func TestF36RehearsalFindsWhatFails(t *testing.T) {
	for _, call := range []string{"write", "fsync", "renameat", "unlinkat", "linkat", "fchmod", "getdents64"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			target := install(t)
			must(t, target.Prepare(0))
			before := stat(t, target.Path)
			testfault.Program{
				Always:  map[string]syscall.Errno{call: syscall.EIO},
				Command: func(tb testing.TB) *exec.Cmd { return command("rehearse", target) },
				Check: func(tb testing.TB, r testfault.Run) {
					if r.State.Exit != 1 || !strings.Contains(r.Out, "input/output error") || !strings.Contains(r.Out, "; ") {
						tb.Errorf("%+v %s", r.State, r.Out)
					}
				},
			}.Once(t)
			unchanged(t, target, before)
			must(t, target.Sweep())
			if got := names(t, target.Dir); len(got) != 2 {
				t.Errorf("left %v", got)
			}
		})
	}
}
