//go:build !unix && !windows

package swap

import (
	"io/fs"
	"os"
	"time"
)

const (
	mustMoveAside = true
)

func writable(*os.File) bool                        { return false }
func noLinks(error) bool                            { return true }
func noReplace(error) bool                          { return false }
func changed(fs.FileInfo) time.Time                 { return time.Now() }
func giveOwner(*os.File, fs.FileInfo, string) error { return nil }
func quote(path string) string                      { return path }
func sharing(error) bool                            { return false }
func closeForRename(...*os.File)                    {}
func syncSealed(f *os.File) error                   { return f.Sync() }

// ownerFix is for who may not write in dir.
func ownerFix(dir string) string {
	return "run the update as the user who owns it, for example with sudo; see: ls -ld " + quote(dir)
}
