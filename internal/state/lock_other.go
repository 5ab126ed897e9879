//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package state

import (
	"errors"
	"os"
)

var errLocked = errors.New("locked")

func flock(*os.File) error { return errors.ErrUnsupported }

func funlock(*os.File) error { return nil }

func openRegular(path string, flag int) (*os.File, error) { return os.OpenFile(path, flag, 0o600) }

func openLock(path string) (*os.File, error) { return openRegular(path, os.O_RDWR|os.O_CREATE) }

func holder(*os.File) int { return 0 }
