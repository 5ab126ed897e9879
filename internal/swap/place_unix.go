//go:build unix

package swap

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

func isReadOnly(err error) bool   { return errors.Is(err, syscall.EROFS) }
func isOtherMount(err error) bool { return errors.Is(err, syscall.EXDEV) }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// mayWrite asks the kernel whether names in the folder may be changed: EROFS where nobody may. Who does not own the file could
// not keep its owner, so the rule of sticky folders needs no look of its own.
func mayWrite(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}

func retry(do func() error) error {
	for {
		if err := do(); err != syscall.EINTR {
			return err
		}
	}
}
