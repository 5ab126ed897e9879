//go:build !linux

package swap

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/theseus-go/theseus/internal/durable"
)

func seal(home *durable.Folder, f *os.File) (*os.File, error) {
	defer f.Close()
	if err := makeExecutable(home, f); err != nil {
		return nil, err
	}
	sealed, err := openRegular(home, filepath.Base(f.Name()))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(same(sealed, home, filepath.Base(f.Name())), same(f, home, filepath.Base(f.Name())), f.Close()); err != nil {
		sealed.Close()
		return nil, err
	}
	return sealed, nil
}

func runByDescriptor(*exec.Cmd, *os.File) {}
