//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

const (
	noFollow  = syscall.O_NOFOLLOW
	directory = syscall.O_DIRECTORY
)

func syncFolder(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|directory, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func syncOpen(d *os.File) error { return d.Sync() }

// adopt gives f the owner and group of the folder, if that takes root and we are root.
func adopt(f *os.File, folder fs.FileInfo) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, want := info.Sys().(*syscall.Stat_t), folder.Sys().(*syscall.Stat_t)
	if have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// mayMend reports whether the mode of what info describes is ours to change: it and the folder around it are our own.
func mayMend(info, parent fs.FileInfo) bool {
	uid := uint32(os.Geteuid())
	return info.Sys().(*syscall.Stat_t).Uid == uid && parent.Sys().(*syscall.Stat_t).Uid == uid
}
