// Package durable changes files so that a power cut leaves the old state or the new one, never a third.
//
// Two promises are kept apart. Atomic: whoever looks sees the old file or the new one. Durable: once a function has
// returned nil, a power cut does not take the change back. A rename alone is the first and not the second: the name can
// reach the disk before the bytes that it names, and after the power cut the file is there with length 0.
//
// Above each function stands the trace of system calls that it makes on Linux; a test compares it with what strace sees.
// An error of fsync or close is an error of the function: after a failed fsync the kernel may have dropped the pages it
// could not write and says so only once, so to try again and see success proves nothing.
//
// What is made by root in somebody else's folder belongs to the owner and group of that folder, because whoever owns the
// folder must be able to go on when root has left.
//
// Not promised: anything on a disk that lies about its cache, on a file system mounted with barriers off, and on Windows
// the durability of names, which NTFS journals by itself and gives programs no way to wait for.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// suffix marks the names that Unique makes: what ends so is litter once nobody is at work.
const suffix = ".tmp"

// Unique returns a name beginning with prefix that nobody can foresee, and that IsUnique knows again.
func Unique(prefix string) string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return prefix + "." + hex.EncodeToString(b[:]) + suffix
}

// IsUnique reports whether Unique made this name, and from which prefix.
func IsUnique(name string) (prefix string, ok bool) {
	rest, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return "", false
	}
	i := strings.LastIndexByte(rest, '.')
	if i < 0 || len(rest)-i-1 != 16 {
		return "", false
	}
	if _, err := hex.DecodeString(rest[i+1:]); err != nil {
		return "", false
	}
	return rest[:i], true
}

// Create makes a file that did not exist, in dir, under a name that begins with prefix and that nobody can foresee: what
// was planted there, a symbolic link or an old file, is neither followed nor used. It is open for reading and writing,
// and nobody else may do either. Nothing is synced.
//
//	newfstatat(DIR)
//	openat(DIR/PREFIX.RANDOM.tmp, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)
//	fstat, fchown                   root asks, and gives the file away in another owner's folder
func Create(dir, prefix string) (*os.File, error) {
	folder, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, Unique(prefix)), os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err = adopt(f, folder); err != nil {
		discard(f)
		return nil, err
	}
	return f, nil
}

// WriteFile makes data the content of the file at path, of mode perm whatever the umask says. Whoever reads the path
// meanwhile gets the old bytes or the new ones.
//
//	as Create, in path's folder
//	write...
//	fchmod(PERM)
//	fsync                           the bytes, before the name that shows them
//	close                           before the rename: network file systems report lost writes here, Windows renames no open file
//	newfstatat(PATH) renameat       os.Rename replaces no folder, and looks
//	openat(DIR, O_DIRECTORY) fsync close
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := Create(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return Sync(filepath.Dir(path))
}

// Rename gives the file at old the name new, taking the place of what was there. The bytes must be synced already.
//
//	newfstatat(NEW) renameat
//	openat(DIR of new, O_DIRECTORY) fsync close
//	openat(DIR of old, O_DIRECTORY) fsync close   only if it is another folder
//
// The new name is synced first: a power cut between the two leaves both names rather than none.
func Rename(old, new string) error {
	if err := os.Rename(old, new); err != nil {
		return err
	}
	if err := Sync(filepath.Dir(new)); err != nil {
		return err
	}
	if filepath.Dir(old) == filepath.Dir(new) {
		return nil
	}
	return Sync(filepath.Dir(old))
}

// Link makes new a second name of the file at old, taking the place of what new named before, without an instant in which
// new names nothing. It writes no data and takes no disk block but, rarely, one for a grown folder.
//
//	linkat(OLD, DIR/NEW.RANDOM.tmp)
//	newfstatat(NEW) renameat(DIR/NEW.RANDOM.tmp, NEW)
//	unlinkat(DIR/NEW.RANDOM.tmp)    ENOENT, twice (a file? a folder?), unless NEW was this file already: then rename does nothing
//	openat(DIR, O_DIRECTORY) fsync close
func Link(old, new string) error {
	temp := filepath.Join(filepath.Dir(new), Unique(filepath.Base(new)))
	if err := os.Link(old, temp); err != nil {
		return err
	}
	err := os.Rename(temp, new)
	if rerr := os.Remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && err == nil {
		err = rerr
	}
	if err != nil {
		return err
	}
	return Sync(filepath.Dir(new))
}

// Mkdir makes the folder at path, of mode perm whatever the umask says, or mends the mode of one that is there and ours. The
// owner of what is there stays: it may be a folder of root's that somebody has moved here. What is not a folder, or a symbolic link to one, is an error. Processes may race for it.
//
//	newfstatat(PARENT)
//	mkdirat                         EEXIST is fine
//	openat(PATH, O_DIRECTORY|O_NOFOLLOW) fstat
//	fstat, fchown                   only if it was made here: root asks, and gives it away in another owner's folder
//	fchmod                          only if it differs
//	fsync                           only if it was made here, and so
//	openat(PARENT, O_DIRECTORY) fsync close
//	close
func Mkdir(path string, perm fs.FileMode) error {
	parent, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	made := os.Mkdir(path, perm)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return made
	}
	d, err := os.OpenFile(path, os.O_RDONLY|directory|noFollow, 0)
	if err != nil {
		return notFolder(path, err)
	}
	defer d.Close()
	info, err := d.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return notFolder(path, nil)
	}
	if made == nil {
		if err := adopt(d, parent); err != nil {
			return err
		}
	}
	if info.Mode().Perm() != perm && (made == nil || mayMend(info, parent)) {
		if err := d.Chmod(perm); err != nil {
			return err
		}
	}
	if made != nil {
		return nil
	}
	if err := syncOpen(d); err != nil {
		return err
	}
	return Sync(filepath.Dir(path))
}

func notFolder(path string, err error) error {
	if info, lerr := os.Lstat(path); lerr == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a folder; look at what it is, then remove it", path)
	}
	return err
}

// Sync makes the names in a folder durable: what was created, renamed or removed in it.
//
//	openat(DIR, O_DIRECTORY) fsync close
func Sync(dir string) error { return syncFolder(dir) }

func discard(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}
