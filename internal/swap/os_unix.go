//go:build unix

package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/durable"
)

// mustMoveAside: a file that runs can be renamed over here.
const mustMoveAside = false

func writable(f *os.File) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY
}

// noLinks reports that this file system has no hard links. EPERM is what Linux says on FAT; it is also what the sysctl
// fs.protected_hardlinks says to users who do not own the file, but those could not keep its owner either. ENOENT is what it
// says of a file that is there and has no links, where a file system counts none.
func noLinks(err error) bool {
	return isAny(err, syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EMLINK, syscall.EINVAL, syscall.ENOENT)
}

// noReplace reports that the system does not rename over this file, as some network and shared file systems do not while it
// runs, but perhaps lets it be moved aside.
func noReplace(err error) bool {
	e, ok := errors.AsType[*fs.PathError](err)
	return ok && e.Op == "rename" && isAny(err, syscall.ETXTBSY, syscall.EBUSY, syscall.EEXIST, syscall.EACCES, syscall.EPERM)
}

func isAny(err error, errnos ...syscall.Errno) bool {
	for _, e := range errnos {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func sharing(error) bool { return false }

func closeForRename(...*os.File) {}

// syncSealed: the bytes, and the owner, mode and attributes that the file was given since.
func syncSealed(f *os.File) error { return durable.Flush(f) }

// giveOwner keeps owner and group.
func giveOwner(f *os.File, old fs.FileInfo, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, want := info.Sys().(*syscall.Stat_t), old.Sys().(*syscall.Stat_t)
	if have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return &Error{Kind: ErrPermission, Path: path, Reason: fmt.Sprintf("it belongs to user %d and group %d, and user %d may not give the new file to them", want.Uid, want.Gid, os.Geteuid()), Err: err,
			Fix: fmt.Sprintf("update as root or as that user, or run: sudo chown %d:%d %s", os.Geteuid(), os.Getegid(), quote(path))}
	}
	return nil
}

// quote makes a path safe to paste into a shell.
func quote(path string) string {
	if !strings.ContainsFunc(path, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@:,", r))
	}) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// ownerFix is for who may not write in dir.
func ownerFix(dir string) string {
	return "run the update as the user who owns it, for example with sudo; see: ls -ld " + quote(dir)
}
