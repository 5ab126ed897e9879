//go:build unix

package swap

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func isReadOnly(err error) bool   { return errors.Is(err, syscall.EROFS) }
func isOtherMount(err error) bool { return errors.Is(err, syscall.EXDEV) }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// mayReplace asks the kernel whether names in dir may be changed, and applies the rule of sticky folders, which access does
// not know: there only who owns the file or the folder may take a name away.
func mayReplace(path, dir string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return err
	}
	folder, err := os.Stat(dir)
	if err != nil {
		return err
	}
	file, err := os.Lstat(path)
	if err != nil {
		return err
	}
	uid := os.Geteuid()
	owns := func(i fs.FileInfo) bool { return int(i.Sys().(*syscall.Stat_t).Uid) == uid }
	if folder.Mode()&fs.ModeSticky != 0 && uid != 0 && !owns(folder) && !owns(file) {
		return syscall.EPERM
	}
	return nil
}

func retry(do func() error) error {
	for {
		if err := do(); err != syscall.EINTR {
			return err
		}
	}
}
