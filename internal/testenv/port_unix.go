//go:build unix

package testenv

import (
	"fmt"
	"syscall"
	"testing"
)

// Port returns an address of this machine at which nothing listens, HOST:PORT. Until the test ends nobody else is given
// it, and a connection is refused, unless a program that the test starts listens there (on Linux; elsewhere it must be
// refused).
func Port(tb testing.TB) string {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { syscall.Close(fd) })
	syscall.CloseOnExec(fd)
	// Go's listeners have this option, too: Linux lets two have a port of whom only one listens.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		tb.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		tb.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}
