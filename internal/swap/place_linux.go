package swap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// frozen returns the letter of the inode flag that keeps everybody from changing the file: i(mmutable), a(ppend only).
func frozen(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow|nonBlock, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	switch {
	case err != nil:
	case flags&unix.STATX_ATTR_IMMUTABLE != 0: // the same bit as FS_IMMUTABLE_FL
		return "i"
	case flags&unix.STATX_ATTR_APPEND != 0: // FS_APPEND_FL
		return "a"
	}
	return ""
}

var _ = errors.New
