package state

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

var errLocked = errors.New("locked")

// flock locks one byte far behind the end, where older versions wrote nothing.
func flock(f *os.File) error {
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return errLocked
	}
	return err
}

// funlock needs nothing: no child has a copy of the handle, and closing it frees the lock.
func funlock(*os.File) error { return nil }

// chmod does nothing, because access lists are inherited.
func chmod(*os.File, os.FileMode) error { return nil }

// holder returns 0, because Windows does not reveal which process holds a lock.
func holder(*os.File) int { return 0 }
