//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package state

import (
	"errors"
	"os"
	"syscall"
)

var errLocked = errors.New("locked")

// flock locks the open file without waiting. Go opens every file with O_CLOEXEC, so no child that is executed holds it.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch err {
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return errLocked
		default:
			return err
		}
	}
}

// funlock frees the lock at once. Closing alone would not: a child that another goroutine is just starting has a copy of the
// descriptor until it executes, and whoever came next in that moment would find the lock held by nobody.
func funlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

func chmod(f *os.File, mode os.FileMode) error { return f.Chmod(mode) }
