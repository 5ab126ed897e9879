//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nonBlock keeps open from waiting for ever for a pipe in place of a file.
const nonBlock = syscall.O_NONBLOCK

// handle is an open folder, in a way for which no right to read it is needed where the system has one.
type handle struct{ dir *os.File }

// file tells files apart.
type file struct{ dev, ino uint64 }

func (f file) same(g file) bool { return f == g }

func (d *Folder) namesFolder(sub *Folder, name string) bool { return d.names(sub.dir, name) }

func (d *Folder) fd() int { return int(d.dir.Fd()) }

// Close closes the handle.
func (d *Folder) Close() error { return d.dir.Close() }

func retry(do func() error) error {
	for {
		if err := do(); err != syscall.EINTR {
			return err
		}
	}
}

func openat(at int, name string, flag int, perm uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(at, name, flag|unix.O_CLOEXEC, perm)
		return err
	})
	return fd, err
}

func (d *Folder) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if err == syscall.ELOOP || err == syscall.EMLINK && op == "open" { // FreeBSD says EMLINK
		err = ErrLink
	}
	return &fs.PathError{Op: op, Path: d.Join(name), Err: err}
}

func at(path string) (*Folder, error) {
	fd, err := openat(unix.AT_FDCWD, path, search|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Folder{path, handle{os.NewFile(uintptr(fd), path)}}, nil
}

// open opens name, never through a link.
func (d *Folder) open(name string, flag int, perm fs.FileMode) (*os.File, error) {
	fd, err := openat(d.fd(), name, flag|unix.O_NOFOLLOW, uint32(perm.Perm()))
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	return os.NewFile(uintptr(fd), d.Join(name)), nil
}

// read opens the folder itself, to be listed or synced.
func (d *Folder) read() (*os.File, error) { return d.open(".", os.O_RDONLY|unix.O_DIRECTORY, 0) }

func (d *Folder) enter(name string) (*Folder, error) {
	f, err := d.open(name, search|unix.O_DIRECTORY, 0)
	if err != nil {
		if info, lerr := d.Lstat(name); lerr == nil && !info.Mode.IsDir() {
			return nil, notFolder(d.Join(name))
		}
		return nil, err
	}
	return &Folder{d.Join(name), handle{f}}, nil
}

// Stat describes the folder.
func (d *Folder) Stat() (Info, error) { return stat(d.dir) }

// Lstat describes what has the name, a link itself.
func (d *Folder) Lstat(name string) (Info, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return Info{}, &fs.PathError{Op: "lstat", Path: d.Join(name), Err: err}
	}
	return infoOf(&st), nil
}

func stat(f *os.File) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return infoOf(&st), nil
}

func infoOf(st *unix.Stat_t) Info {
	mode := fs.FileMode(st.Mode & 0o777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	if st.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return Info{mode, int64(st.Size), time.Unix(st.Mtim.Unix()), st.Uid, st.Gid, uint64(st.Nlink), file{uint64(st.Dev), uint64(st.Ino)}}
}

// Names lists what is in the folder.
func (d *Folder) Names() ([]string, error) {
	f, err := d.read()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// Sync makes the names in the folder durable: what was created, renamed or removed in it. Where a folder cannot be synced
// by itself, the whole file system is.
func (d *Folder) Sync() error {
	f, err := d.read()
	if err != nil {
		return err
	}
	return errors.Join(Flush(f), f.Close())
}

// unsupported reports whether an error says that a file system lacks the call, not that the call failed. EPERM is what FAT
// says of a mode that it cannot keep; EBADF what some say of a folder that they do not sync.
func unsupported(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENOSYS, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.EINVAL, syscall.EPERM, syscall.EBADF, syscall.ENOTTY} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Chmod gives the folder itself a mode, and syncs that.
func (d *Folder) Chmod(perm fs.FileMode) error {
	f, err := d.read()
	if err != nil {
		return err
	}
	err = d.SetMode(f, perm)
	if err == nil {
		err = Flush(f)
	}
	return errors.Join(err, f.Close())
}

// adopt gives f, which was just made here, the owner and group of the folder, if that takes root and we are root.
func (d *Folder) adopt(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	want, err := d.Stat()
	if err != nil {
		return err
	}
	have, err := stat(f)
	if err != nil || have.UID == want.UID && have.GID == want.GID {
		return err
	}
	return f.Chown(int(want.UID), int(want.GID))
}

func (d *Folder) rename(old string, to *Folder, new string) error {
	return to.fail("rename", new, retry(func() error { return unix.Renameat(d.fd(), old, to.fd(), new) }))
}

func (d *Folder) link(old string, to *Folder, new string) error {
	return to.fail("link", new, retry(func() error { return unix.Linkat(d.fd(), old, to.fd(), new, 0) }))
}

func (d *Folder) remove(name string) error {
	return d.fail("remove", name, retry(func() error { return unix.Unlinkat(d.fd(), name, 0) }))
}

func (d *Folder) mkdir(name string, perm fs.FileMode) error {
	return d.fail("mkdir", name, retry(func() error { return unix.Mkdirat(d.fd(), name, uint32(perm.Perm())) }))
}

// Readlink returns where a link in the folder leads, and what the link is.
func (d *Folder) Readlink(name string) (to string, info Info, err error) {
	for range 8 { // once, unless somebody exchanges it all the time
		if info, err = d.Lstat(name); err != nil {
			return "", info, err
		}
		b := make([]byte, 4096)
		n := 0
		err = retry(func() error { n, err = unix.Readlinkat(d.fd(), name, b); return err })
		if err != nil {
			return "", info, d.fail("readlink", name, err)
		}
		if after, err := d.Lstat(name); err == nil && after.Same(info) && after.UID == info.UID && n < len(b) {
			return string(b[:n]), info, nil
		}
	}
	return "", info, &fs.PathError{Op: "readlink", Path: d.Join(name), Err: errors.New("it changes all the time")}
}

// maxLinks is how many Linux follows.
const maxLinks = 40

func walk(path string) (*Folder, error) {
	if !filepath.IsAbs(path) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not an absolute path")}
	}
	at, err := at("/")
	if err != nil {
		return nil, err
	}
	type step struct {
		path string
		uid  uint32
	}
	var passed []step
	rest := strings.Split(filepath.Clean(path), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next, err := at.enter(name)
		if err != nil {
			to, info, lerr := at.Readlink(name)
			if lerr != nil { // it is no link
				at.Close()
				return nil, err
			}
			passed = append(passed, step{at.Join(name), info.UID})
			if links++; links > maxLinks {
				at.Close()
				return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
			}
			rest = append(strings.Split(to, "/"), rest...)
			if !filepath.IsAbs(to) {
				continue
			}
			if next, err = rootFolder(); err != nil {
				at.Close()
				return nil, err
			}
		}
		at.Close()
		at = next
		info, err := at.Stat()
		if err != nil {
			at.Close()
			return nil, err
		}
		passed = append(passed, step{at.path, info.UID})
	}
	info, err := at.Stat()
	if err != nil {
		at.Close()
		return nil, err
	}
	for _, s := range passed {
		if s.uid != 0 && s.uid != info.UID && !Us(s.uid) && !unmapped(s.uid) {
			at.Close()
			return nil, &Untrusted{Path: s.path, UID: s.uid, Reason: ", who is neither root nor the owner of " + at.path + ", and could lead it elsewhere"}
		}
	}
	return at, nil
}

// Us reports whether a user is the one as whom this process changes files.
func Us(uid uint32) bool { return uid == uint32(os.Geteuid()) }

func rootFolder() (*Folder, error) { return at("/") }
