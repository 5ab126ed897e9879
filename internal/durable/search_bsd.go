//go:build unix && !linux

package durable

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// search opens a folder for the names in it (O_SEARCH), for which the right to pass is enough, where the system has that.
var search = map[string]int{"darwin": 0x40100000, "freebsd": 0x00040000, "netbsd": 0x00800000}[runtime.GOOS]

func unmapped(uint32) bool { return false }

// names: the kernel does not tell.
func (d *Folder) names(*os.File, string) bool { return false }

// syncAll writes all file systems.
func syncAll(*os.File) error { return unix.Sync() }
