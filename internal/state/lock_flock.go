//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package state

import (
	"errors"
	"fmt"
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

// own gives the lock file the mode 0600 and, as root, the owner of the folder that it is in.
func own(f *os.File, home string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		folder, err := os.Stat(home)
		if err != nil {
			return err
		}
		have, want := info.Sys().(*syscall.Stat_t), folder.Sys().(*syscall.Stat_t)
		if have.Uid != want.Uid || have.Gid != want.Gid {
			if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
				return err
			}
		}
	}
	if info.Mode().Perm() != 0o600 {
		return f.Chmod(0o600)
	}
	return nil
}
