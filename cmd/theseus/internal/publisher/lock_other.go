//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package publisher

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// lockFolder makes a lock file: a folder cannot be locked here. After a crash it has to be removed by hand, which busy says.
func lockFolder(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, busy(dir)
	}
	if err != nil {
		return nil, err
	}
	return lockFile{f}, nil
}

// waitForFolder locks a folder once nobody else has it locked; there is no event to wait for here.
func waitForFolder(dir string) (lock io.Closer, err error) {
	for range 100 {
		if lock, err = lockFolder(dir); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return lock, err
}

type lockFile struct{ *os.File }

func (l lockFile) Close() error { return errors.Join(l.File.Close(), os.Remove(l.Name())) }
