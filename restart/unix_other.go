//go:build !linux

package restart

import (
	"runtime"
	"syscall"
)

const hasModes = runtime.GOOS != "windows"

// private does nothing: here a socket's file does not take the mode of the socket.
func private(syscall.RawConn) error { return nil }
