package state

import (
	"errors"
	"fmt"
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

func openRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return f, nil
}

// openLock makes the file if there is none; its access list is inherited from the folder.
func openLock(path string) (*os.File, error) { return openRegular(path, os.O_RDWR|os.O_CREATE) }

// holder: Windows tells nobody who holds a lock.
func holder(*os.File) int { return 0 }
