//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package publisher

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFolder locks the folder itself, so that no lock file is left in what is served. The kernel frees it with the process.
func lockFolder(dir string) (io.Closer, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		d.Close()
		return nil, busy(dir)
	}
	// Any other error: a file system without locks on folders (NFS). Two publishers there are told apart by what a Put replaces.
	return d, nil
}

// waitForFolder locks a folder once nobody else has it locked.
func waitForFolder(dir string) (io.Closer, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return d, nil // any other error: as above
		}
	}
}
