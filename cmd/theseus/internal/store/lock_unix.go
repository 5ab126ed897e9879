//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package store

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// LockFolder locks the folder itself, so that no lock file is left in what is served. The kernel frees it with the process.
func LockFolder(dir string) (io.Closer, error) {
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

// lockHolder says how to find the process that has locked a folder. Anyone who can read the folder can lock it.
func lockHolder(dir string) string {
	return "; if none is, another program has locked the folder: find it with: lsof " + dir
}
