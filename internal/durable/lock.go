package durable

import (
	"errors"
	"os"
)

// ErrLocked says that somebody else holds the lock of a file.
var ErrLocked = errors.New("locked")

// Lock locks the open file without waiting, or returns ErrLocked. The kernel frees the lock when the process ends, however
// that ends. Go opens every file with O_CLOEXEC, so no child that is executed holds it.
func Lock(f *os.File) error { return lock(f) }

// Unlock frees the lock at once. Closing alone would not: a child that another goroutine is just starting has a copy of the
// descriptor until it executes, and whoever came next in that moment would find the lock held by nobody.
func Unlock(f *os.File) error { return unlock(f) }
