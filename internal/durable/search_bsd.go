//go:build unix && !linux

package durable

import "runtime"

// search opens a folder for the names in it (O_SEARCH), for which the right to pass is enough, where the system has that.
var search = map[string]int{"darwin": 0x40100000, "freebsd": 0x00040000, "netbsd": 0x00800000}[runtime.GOOS]

func unmapped(uint32) bool { return false }
