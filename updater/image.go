package updater

import (
	"crypto/sha256"
	"io"
	"os"
	"sync"

	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/installation"
)

// image is the file that this process runs, which may have lost its name since.
type image struct {
	path string // of the file itself, whatever its name is now; "" where the system has no such path
	info os.FileInfo

	read func() (content.ID, error)
}

func openImage(path string) (*image, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	m := &image{path: path, info: info}
	m.read = sync.OnceValues(func() (id content.ID, err error) {
		f, err := os.Open(path)
		if err != nil {
			return id, err
		}
		defer f.Close()
		h := sha256.New()
		id.Size, err = io.Copy(h, f)
		id.SHA256 = content.Digest(h.Sum(nil))
		return id, err
	})
	return m, nil
}

// is reports whether the program at the path of an installation is this file. Its number alone does not tell: some file
// systems give one file several, others several files one. So where that leaves a doubt the bytes are compared.
func (m *image) is(at *installation.Installation) bool {
	info, err := os.Stat(at.Path)
	if err != nil || info.Size() != m.info.Size() {
		return false
	}
	if os.SameFile(info, m.info) && info.ModTime().Equal(m.info.ModTime()) {
		return true
	}
	if m.path == at.Path {
		return false // what was there at the start is not to be had any more
	}
	there, err := at.Identify()
	if err != nil {
		return false
	}
	mine, err := m.read()
	return err == nil && mine == there
}
