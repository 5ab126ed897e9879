package swap

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/theseus-go/theseus/internal/durable"
)

// Lend gives a sealed file a second name beside the program, so that it finds there what it will find in its place: its
// libraries, its configuration, its folder. take removes that name, which has to be done before the file is put anywhere; it
// is one that Sweep knows, should this process be killed before. Where there are no hard links the file is moved there and
// back.
//
// It is still judged by its handle alone: Replace hashes it again, and takes only a file of one name.
func (t *Target) Lend(sealed *os.File) (path string, take func() error, err error) {
	in, err := t.change()
	if err != nil {
		return "", nil, err
	}
	defer in.Close()
	if err := t.isStaged(in, sealed); err != nil {
		return "", nil, err
	}
	staged, name := filepath.Base(sealed.Name()), durable.Unique(t.scratch())
	if err := same(sealed, in.Home, staged); err != nil {
		return "", nil, err
	}
	err = in.Home.Second(staged, in.Dir, name)
	moved := noLinks(err)
	if moved {
		err = in.Home.Move(staged, in.Dir, name)
	}
	if err != nil {
		return "", nil, t.explain(t.Dir, "giving the new file a name in it, to try it out", err)
	}
	take = func() error {
		in, err := t.change()
		if err != nil {
			return err
		}
		defer in.Close()
		if moved {
			err = in.Dir.Move(name, in.Home, staged)
		} else {
			err = in.Dir.Remove(name)
		}
		return t.explain(t.Dir, "taking from the new file the name by which it was tried out", err)
	}
	if err := same(sealed, in.Dir, name); err != nil {
		return "", nil, errors.Join(err, take())
	}
	return in.Dir.Join(name), take, nil
}

// InPlace calls do on a thread that sees the sealed file at the program's path already, in a mount namespace of its own, and
// so does what do starts. It reports false where the system does not let this process do that, and then do is not called.
func (t *Target) InPlace(sealed *os.File, do func()) (done bool, err error) {
	in, err := t.change()
	if err != nil {
		return false, err
	}
	defer in.Close()
	if err := t.isStaged(in, sealed); err != nil {
		return false, err
	}
	return inPlace(sealed, t.Path, do), nil
}
