package swap

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/durable"
)

// From linux/fs.h: golang.org/x/sys/unix does not have them.
const (
	immutable  = 0x10 // FS_IMMUTABLE_FL
	appendOnly = 0x20 // FS_APPEND_FL
)

// thaw is the command that takes away the inode flag that keeps everybody, root too, from changing the file; "" if there is
// none, or if the file system has no such flags.
func thaw(path string) string {
	in, err := durable.Open(filepath.Dir(path))
	if err != nil {
		return ""
	}
	defer in.Close()
	f, err := in.Look(filepath.Base(path))
	if err != nil {
		return ""
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	switch {
	case err != nil:
		return ""
	case flags&immutable != 0:
		return fmt.Sprintf("sudo chattr -i %s", quote(path))
	case flags&appendOnly != 0:
		return fmt.Sprintf("sudo chattr -a %s", quote(path))
	}
	return ""
}

// reserve finds out whether so many bytes can be written: a quota, or blocks that are kept for others, show only here. Where
// the file system cannot say, writing will.
func reserve(f *os.File, n int64) error {
	if n <= 0 {
		return nil
	}
	err := retry(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, n) })
	if terr := f.Truncate(0); !isFull(err) {
		return terr
	}
	return err
}
