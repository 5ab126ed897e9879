package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theseus-go/theseus/internal/durable"
)

// ErrBusy is the answer where another process, or another goroutine of this one, holds the lock. Its text names the
// holder's process id when that is known.
var ErrBusy = errors.New("another update of this program is running")

// errLockMoved: between two calls somebody else made the lock file, or removed it.
var errLockMoved = errors.New("the lock file was made or removed meanwhile")

// Lock is held by whoever changes the state or swaps the executable. The kernel frees it when its process ends, however
// that ends; children do not inherit it. It is of mode 0600: who cannot write the installation cannot hold it either.
//
// A file that is there already is only locked. It is never written, cut, or given to another owner: in a folder of somebody
// else's it may be any file under the name of the lock, which root would destroy or give away.
type Lock struct {
	home string
	file *os.File
}

// TryLock takes the lock of the installation whose folder is home, and makes the folder if it is missing. It answers at
// once: ErrBusy if somebody else holds it, ErrPermission if this user may not write here.
func TryLock(home string) (*Lock, error) {
	for range 8 { // once, unless the file is being removed under us all the time
		l, err := tryLock(home)
		if err != nil || l != nil {
			return l, err
		}
	}
	return nil, fmt.Errorf("%w: %s keeps being removed", ErrBusy, filepath.Join(home, "lock"))
}

// WaitLock is TryLock, but it waits for the holder until ctx ends; the error then is ErrBusy too, and says why ctx ended.
func WaitLock(ctx context.Context, home string) (*Lock, error) {
	// Asking again and again is the way that can be given up: a thread that blocks in flock cannot be called back.
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		l, err := TryLock(home)
		if !errors.Is(err, ErrBusy) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// tryLock returns nil and nil if the file that it locked is no longer the one at the path.
func tryLock(home string) (*Lock, error) {
	path := filepath.Join(home, "lock")
	err := durable.Mkdir(home, 0o755)
	var f *os.File
	if err == nil {
		f, err = openLock(path)
	}
	switch {
	case errors.Is(err, errLockMoved):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("locking the installation: %w; run it as the user who owns %s, for example with sudo", err, filepath.Dir(home))
	case err != nil:
		return nil, fmt.Errorf("locking the installation: %w", err)
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if errors.Is(err, errLocked) {
			return nil, busy(f)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	l := &Lock{home, f}
	if l.held() != nil {
		f.Close()
		return nil, nil
	}
	return l, nil
}

// held reports that the locked file still is the one that others would lock.
func (l *Lock) held() error {
	if l.file == nil {
		return errors.New("the lock is not held")
	}
	mine, err := l.file.Stat()
	if err != nil {
		return err
	}
	path := filepath.Join(l.home, "lock")
	now, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || !os.SameFile(mine, now) {
		return fmt.Errorf("%w: %s was removed while this process held it", ErrBusy, path)
	}
	return nil
}

func busy(f *os.File) error {
	if pid := holder(f); pid > 0 {
		return fmt.Errorf("%w (process %d)", ErrBusy, pid)
	}
	return ErrBusy
}

// Unlock lets the next one in. The file stays: to remove it would let two hold a lock each.
func (l *Lock) Unlock() error {
	if l.file == nil {
		return errors.New("the lock is not held")
	}
	err := errors.Join(funlock(l.file), l.file.Close())
	l.file = nil
	return err
}
