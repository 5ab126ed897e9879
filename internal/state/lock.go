package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theseus-go/theseus/internal/beside"
	"github.com/theseus-go/theseus/internal/durable"
)

// ErrBusy is the answer where another process, or another goroutine of this one, holds the lock. Its text names the
// holder's process id when that is known.
var ErrBusy = errors.New("another update of this program is running")

// errLockMoved means that another process made or removed the lock file between two calls.
var errLockMoved = errors.New("the lock file was made or removed meanwhile")

// Lock is held by whoever changes the state or swaps the executable. The kernel frees it when its process ends, however
// that ends; children do not inherit it. It is of mode 0600: who cannot write the installation cannot hold it either.
//
// A file that is there already is only locked. It is never written, cut, or given to another owner: in a folder of somebody
// else's it may be any file under the name of the lock, which root would destroy or give away.
type Lock struct {
	home  string
	place *beside.Place
	file  *os.File
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
	place, err := beside.Enter(home)
	var f *os.File
	if err == nil {
		if f, err = openLock(place); err != nil {
			place.Close()
		}
	}
	var untrusted *durable.Untrusted
	switch {
	case errors.Is(err, errLockMoved):
		return nil, nil
	case errors.As(err, &untrusted):
		return nil, fmt.Errorf("locking the installation: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("locking the installation: %w; run it as the user who owns %s, for example with sudo", err, filepath.Dir(home))
	case err != nil:
		return nil, fmt.Errorf("locking the installation: %w; resolve that, then update again; a disk that fails says so in the kernel's log: dmesg", err)
	}
	l := &Lock{home, place, f}
	if err := durable.Lock(f); err != nil {
		defer l.close()
		if errors.Is(err, durable.ErrLocked) {
			return nil, busy(f)
		}
		return nil, fmt.Errorf("locking %s: %w; its file system has to keep locks (NFS: mount it with local_lock=flock): install the program on one that does", f.Name(), err)
	}
	if l.held() != nil {
		l.close()
		return nil, nil
	}
	return l, nil
}

// openLock opens the lock file, and makes it if there is none, of mode 0600.
func openLock(place *beside.Place) (*os.File, error) {
	f, err := place.Home.Change("lock")
	if errors.Is(err, fs.ErrNotExist) {
		f, err = place.Home.Make("lock", 0o600)
		if errors.Is(err, fs.ErrExist) {
			return nil, errLockMoved
		}
		return f, err
	}
	if err != nil {
		return nil, err
	}
	err = place.Believe(f)
	if err == nil {
		err = closeUp(place, f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// closeUp takes the lock file back from everybody else, in case somebody has opened it to all, if there is no doubt that
// it is ours.
func closeUp(place *beside.Place, f *os.File) error {
	info, err := durable.Stat(f)
	if err != nil || info.Mode.Perm() == 0o600 || place.Ours(f) != nil {
		return err
	}
	return place.Home.SetMode(f, 0o600)
}

// held reports with its error whether the locked file still is the one that others would lock.
func (l *Lock) held() error {
	if l.file == nil {
		return errors.New("the lock is not held")
	}
	home, herr := l.place.Dir.HoldsFolder(l.place.Home, filepath.Base(l.home))
	lock, lerr := l.place.Home.Holds(l.file, "lock")
	switch {
	case herr != nil || lerr != nil:
		return errors.Join(herr, lerr)
	case !home:
		return fmt.Errorf("%w: %s was removed while this process held it", ErrBusy, l.home)
	case !lock:
		return fmt.Errorf("%w: %s was removed while this process held it", ErrBusy, l.place.Home.Join("lock"))
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
	return errors.Join(durable.Unlock(l.file), l.close())
}

func (l *Lock) close() error {
	err := errors.Join(l.file.Close(), l.place.Close())
	l.file = nil
	return err
}
