// Package plain opens regular files, and nothing that an open or a read would wait for: whoever can exchange a file for a
// named pipe could stop us for ever.
package plain

import (
	"errors"
	"io/fs"
	"os"
)

// ErrNotRegular: a pipe, a folder or a device is where a file should be.
var ErrNotRegular = errors.New("not a regular file")

// OpenIn opens a file in root for reading.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|nonBlock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat() // of what is open: a name can be exchanged after it was looked at
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
