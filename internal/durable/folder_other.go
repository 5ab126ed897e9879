//go:build !unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const nonBlock = 0

type handle struct{}

type file struct{ info fs.FileInfo }

func (f file) same(g file) bool { return os.SameFile(f.info, g.info) }

func at(path string) (*Folder, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, notFolder(path)
	}
	return &Folder{path: path}, nil
}

func walk(path string) (*Folder, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	return at(path)
}

// Close has nothing to close here.
func (d *Folder) Close() error { return nil }

// O_EXCL follows no link on Windows (CREATE_NEW).
func (d *Folder) open(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(d.Join(name), flag, perm)
}

func (d *Folder) enter(name string) (*Folder, error) {
	info, err := os.Lstat(d.Join(name))
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, notFolder(d.Join(name))
	}
	return &Folder{path: d.Join(name)}, nil
}

// Stat describes the folder.
func (d *Folder) Stat() (Info, error) { return described(os.Stat(d.path)) }

// Lstat describes what has the name, a link itself.
func (d *Folder) Lstat(name string) (Info, error) { return described(os.Lstat(d.Join(name))) }

func stat(f *os.File) (Info, error) { return described(f.Stat()) }

func described(info fs.FileInfo, err error) (Info, error) {
	if err != nil {
		return Info{}, err
	}
	return Info{Mode: info.Mode(), Size: info.Size(), Modified: info.ModTime(), Links: 1, file: file{info}}, nil
}

// Names lists what is in the folder.
func (d *Folder) Names() (names []string, err error) {
	entries, err := os.ReadDir(d.path)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Readlink returns where a link in the folder leads, and what the link is.
func (d *Folder) Readlink(name string) (to string, info Info, err error) {
	to, err = os.Readlink(d.Join(name))
	if err == nil {
		info, err = d.Lstat(name)
	}
	return to, info, err
}

// Sync: Windows has no fsync of a folder; NTFS journals names by itself.
func (d *Folder) Sync() error { return nil }

// Chmod: access lists are inherited.
func (d *Folder) Chmod(fs.FileMode) error { return nil }

func (d *Folder) adopt(*os.File) error { return nil }

func (d *Folder) rename(old string, to *Folder, new string) error {
	return os.Rename(d.Join(old), to.Join(new))
}

func (d *Folder) link(old string, to *Folder, new string) error {
	return os.Link(d.Join(old), to.Join(new))
}

func (d *Folder) remove(name string) error {
	if info, err := os.Lstat(d.Join(name)); err == nil && info.IsDir() {
		return &fs.PathError{Op: "remove", Path: d.Join(name), Err: errors.New("it is a folder")}
	}
	return os.Remove(d.Join(name))
}

func (d *Folder) mkdir(name string, perm fs.FileMode) error { return os.Mkdir(d.Join(name), perm) }

// Us: there are no numbers of users here.
func Us(uint32) bool { return true }

func (d *Folder) names(*os.File, string) bool { return false }

func (d *Folder) namesFolder(*Folder, string) bool { return false }

func unsupported(error) bool { return false }

func syncAll(*os.File) error { return nil }
