//go:build linux || darwin || freebsd

package swap

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// mountNoExec is ST_NOEXEC on Linux, MNT_NOEXEC elsewhere.
var mountNoExec = map[bool]uint64{true: 0x8, false: 0x4}[runtime.GOOS == "linux"]

// statfs describes the file system of a folder. One that does not answer, or counts no blocks, is not known.
func statfs(dir string) filesystem {
	var s unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(dir, &s) }); err != nil {
		return filesystem{}
	}
	return filesystem{
		known:    s.Blocks > 0,
		noExec:   uint64(s.Flags)&mountNoExec != 0,
		noInodes: s.Files > 0 && s.Ffree == 0, // some file systems count none
		free:     uint64(max(s.Bavail, 0)) * uint64(s.Bsize),
		mount:    dir,
	}
}

func fileSizeLimit() uint64 {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &r); err != nil {
		return 1<<64 - 1
	}
	return uint64(r.Cur)
}
