//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package state

import (
	"errors"
	"os"
)

var errLocked = errors.New("locked")

func flock(*os.File) error { return errors.ErrUnsupported }

func funlock(*os.File) error { return nil }

func chmod(*os.File, os.FileMode) error { return nil }

func holder(*os.File) int { return 0 }
