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

// mayWrite asks the kernel whether names in the folder may be changed: EROFS where nobody may. Any other answer than a no is
// left to the rehearsal. A process that does not own the file could not preserve its owner, so sticky folders need no check
// of their own.
func mayWrite(dir string) error {
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if isAny(err, syscall.EACCES, syscall.EPERM, syscall.EROFS) {
		return err
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
