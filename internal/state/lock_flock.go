//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// openRegular opens a regular file that an owner whom we believe has put there: not through a link, and not a pipe, on
// which an open would wait for ever.
func openRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) {
			err = fmt.Errorf("%s is a symbolic link", path)
		}
		return nil, err
	}
	if err := believe(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// believe accepts files of root, of ourselves and of whoever owns the folder: anybody else who could place one there could
// replace the executable as well, but then he should at least not make us forget what we knew.
func believe(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	uid := info.Sys().(*syscall.Stat_t).Uid
	if uid != 0 && int(uid) != os.Geteuid() && uid != folder.Sys().(*syscall.Stat_t).Uid {
		return fmt.Errorf("%s belongs to user %d, who owns neither the folder nor this process", path, uid)
	}
	return nil
}

// openLock opens the lock file, and makes it if there is none.
func openLock(path string) (*os.File, error) {
	f, err := openRegular(path, os.O_RDWR)
	if err == nil {
		if err = closeUp(f, filepath.Dir(path)); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return f, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, errLockMoved
	case err != nil:
		return nil, err
	}
	if err := adopt(f, filepath.Dir(path)); err != nil {
		f.Close()
		os.Remove(path)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// adopt gives the file that we have just made the mode 0600 whatever the umask says and, as root, the owner of the folder.
func adopt(f *os.File, home string) error {
	if err := f.Chmod(0o600); err != nil || os.Geteuid() != 0 {
		return err
	}
	folder, err := os.Stat(home)
	if err != nil {
		return err
	}
	of := folder.Sys().(*syscall.Stat_t)
	return f.Chown(int(of.Uid), int(of.Gid))
}

// closeUp takes the lock file back from everybody else, in case somebody has opened it to all, if there is no doubt that it
// is ours: in our own folder, and under no other name.
func closeUp(f *os.File, home string) error {
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() == 0o600 {
		return err
	}
	folder, err := os.Stat(home)
	if err != nil {
		return err
	}
	us, of := info.Sys().(*syscall.Stat_t), folder.Sys().(*syscall.Stat_t)
	if int(us.Uid) != os.Geteuid() || int(of.Uid) != os.Geteuid() || us.Nlink != 1 {
		return nil
	}
	return f.Chmod(0o600)
}
