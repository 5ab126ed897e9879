//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// LockFolder makes a lock file: a folder cannot be locked here. After a crash it has to be removed by hand, which busy says.
func LockFolder(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, busy(dir)
	}
	if err != nil {
		return nil, err
	}
	return lockFile{f}, nil
}

type lockFile struct{ *os.File }

func (l lockFile) Close() error { return errors.Join(l.File.Close(), os.Remove(l.Name())) }

// lockHolder says what to do if nobody is at work.
func lockHolder(dir string) string {
	return "; if none is, an interrupted one has left " + filepath.Join(dir, ".lock") + ": remove it"
}
