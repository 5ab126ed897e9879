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
// All of it goes through a Folder, a handle on the folder in which something is changed. A file that root makes belongs to
// the owner and group of the folder, because whoever owns the folder must be able to go on when root has left. No owner
// is changed of anything else.
//
// Not promised: anything on a disk that lies about its cache, on a file system mounted with barriers off, and on Windows
// the durability of names, which NTFS journals by itself and gives programs no way to wait for.
package durable

import (
	"crypto/rand"
	"encoding/hex"
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

// Create is Folder.Create in the folder at dir.
func Create(dir, prefix string) (*os.File, error) {
	d, err := At(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Create(prefix)
}

// WriteFile is Folder.WriteFile in path's folder.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	d, err := At(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.WriteFile(filepath.Base(path), data, perm)
}

// Rename is Folder.Rename between the folders of old and new.
func Rename(old, new string) error {
	from, err := At(filepath.Dir(old))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := At(filepath.Dir(new))
	if err != nil {
		return err
	}
	defer to.Close()
	return from.Rename(filepath.Base(old), to, filepath.Base(new))
}

// Sync is Folder.Sync of the folder at dir.
func Sync(dir string) error {
	d, err := At(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
