//go:build unix

package state

import "os"

func chmod(f *os.File, mode os.FileMode) error { return f.Chmod(mode) }
