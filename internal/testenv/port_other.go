//go:build !unix

package testenv

import (
	"net"
	"testing"
)

// Port returns an address of this machine at which nothing listens, HOST:PORT.
func Port(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}
