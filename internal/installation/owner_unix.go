//go:build unix

package installation

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func checkOwner(folders ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, folder := range folders {
		info, err := os.Lstat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
			return &OtherOwner{Path: folder, UID: uid}
		}
	}
	return nil
}
