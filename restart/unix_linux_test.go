package restart

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// R18: whatever the umask is, the socket's file is private when it appears, and has the mode that was asked for when Listen
// returns. (The umask is the process's, so nothing here runs in parallel.)
func TestR18SocketIsPrivateFromTheFirstMoment(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(mask)
		defer syscall.Umask(old)
		dir := t.TempDir()
		modeOf := func(path string) fs.FileMode {
			t.Helper()
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			return info.Mode().Perm()
		}

		// What bind makes, before anything else is done to it.
		first := filepath.Join(dir, "first")
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return private(c) }}
		ln, err := lc.Listen(context.Background(), "unix", first)
		if err != nil {
			t.Fatal(err)
		}
		if mode := modeOf(first); mode&0o177 != 0 {
			t.Errorf("umask %03o: it appears with mode %v", mask, mode)
		}
		ln.Close()

		for _, want := range []fs.FileMode{0o600, 0o660} {
			asked := false
			path := filepath.Join(dir, want.String())
			with := &net.ListenConfig{Control: func(string, string, syscall.RawConn) error { asked = true; return nil }}
			ln, err := openUnix(with, path, want, os.Getegid())
			if err != nil {
				t.Fatal(err)
			}
			if mode := modeOf(path); mode != want || !asked {
				t.Errorf("umask %03o: mode %v, want %v; the program's own Control was called: %v", mask, mode, want, asked)
			}
			ln.Close()
		}
	}
	if _, err := groupID("no such group"); err == nil {
		t.Error("a group that does not exist has a number")
	}
	if gid, err := groupID("root"); err != nil || gid != 0 {
		t.Errorf("root is group %d, %v", gid, err)
	}
}
