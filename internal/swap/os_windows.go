package swap

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// mustMoveAside: a file that runs can be renamed, but not replaced or removed.
const mustMoveAside = true

func writable(*os.File) bool                        { return false } // Go's files do not tell; Seal is the only door
func noLinks(error) bool                            { return true }
func noReplace(error) bool                          { return false } // it is moved aside from the beginning
func changed(fs.FileInfo) time.Time                 { return time.Now() }
func giveOwner(*os.File, fs.FileInfo, string) error { return nil } // the folder's access list is inherited
func quote(path string) string                      { return `"` + path + `"` }

// ownerFix is for who may not write in dir.
func ownerFix(dir string) string {
	return "run the update as a user who may, for example as administrator; see: icacls " + quote(dir)
}

func sharing(err error) bool { return errors.Is(err, windows.ERROR_SHARING_VIOLATION) }

// syncSealed: Windows flushes only for who may write, and Seal has flushed the bytes. What came after is of the folder.
func syncSealed(*os.File) error { return nil }

// closeForRename: Windows renames no file that Go holds open.
func closeForRename(files ...*os.File) {
	for _, f := range files {
		f.Close()
	}
}
