package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/plain"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/verify"
)

// A Folder is a store in a folder, which any static web server can serve.
type Folder struct {
	dir  string
	lock io.Closer // nil: nobody writes
}

// OpenFolder opens a folder for writing, and makes it if it is not there. One process of a machine at a time.
func OpenFolder(dir string) (*Folder, error) {
	if dir == "" {
		return nil, ui.Usage("no repository: give --repo DIR, or name it in theseus.yaml")
	}
	if IsRemote(dir) {
		return nil, ui.Usage("%s is not on this machine, and this verb signs in a folder: give the folder, and theseus push what was signed there", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := LockFolder(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir, lock}
	if err := f.sweep(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFolder opens a folder for a verb that only reads. Put must not be called.
func ReadFolder(dir string) *Folder { return &Folder{dir: dir} }

func (f *Folder) Close() error {
	if f.lock == nil {
		return nil
	}
	return f.lock.Close()
}

func (f *Folder) String() string { return strings.TrimRight(filepath.ToSlash(f.dir), "/") }

func (f *Folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// Get does not follow a link out of the folder, nor wait for a pipe that somebody put there.
func (f *Folder) Get(ctx context.Context, name string) (io.ReadCloser, Version, error) {
	file, err := f.open(name)
	if err != nil || strings.HasPrefix(name, "files/") {
		return file, Anything, err
	}
	defer file.Close()
	// A document is read whole, so that its bytes and its version are of one state.
	b, err := io.ReadAll(io.LimitReader(file, verify.TypeManifest.MaxSize()+1))
	return io.NopCloser(bytes.NewReader(b)), versionOf(b), err
}

func (f *Folder) open(name string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := plain.OpenIn(root, filepath.FromSlash(name))
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, plain.ErrNotRegular):
		return nil, f.noFile(name, "is no file")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, err
	}
	// A link that leads out of the folder, a socket, a file where a folder should be.
	return nil, f.noFile(name, "cannot be read as a file (%w)", err)
}

func (f *Folder) noFile(name, how string, args ...any) error {
	return ui.Fail(ui.ExitRefused, "%s "+how+": remove it, or restore it from your backup", append([]any{f.path(name)}, args...)...)
}

func versionOf(b []byte) Version {
	sum := sha256.Sum256(b)
	return Version(hex.EncodeToString(sum[:]))
}

func (f *Folder) Put(ctx context.Context, name string, body io.Reader, size int64, replaces Version) error {
	in, err := f.enter(path.Dir(name), true)
	if err != nil {
		return err
	}
	defer in.Close()
	// The lock keeps other processes of this machine away from between these two steps; it does not reach across machines
	// that share a folder.
	if replaces != Anything {
		old, there, err := f.Get(ctx, name)
		switch {
		case err == nil:
			old.Close()
		case !errors.Is(err, fs.ErrNotExist):
			return err
		default:
			there = Nothing
		}
		if there != replaces {
			return ErrChanged
		}
	}
	out, err := in.Create("new")
	if err != nil {
		return err
	}
	temp := filepath.Base(out.Name())
	defer in.Remove(temp) // has another name by then if all went well
	defer out.Close()
	n, err := io.Copy(out, io.LimitReader(body, size+1))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if err := errors.Join(out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return err
	}
	err = in.Rename(temp, in, path.Base(name))
	if info, there := in.Lstat(path.Base(name)); err != nil && there == nil && info.Mode.IsDir() {
		return f.noFile(name, "is no file")
	}
	return err
}

// enter opens a folder of the repository, never through a link: what is written and removed in it is our own. Whoever
// calls it closes it.
func (f *Folder) enter(folder string, create bool) (*durable.Folder, error) {
	root, err := durable.At(f.dir)
	if err != nil || folder == "." {
		return root, err
	}
	defer root.Close()
	var in *durable.Folder
	if create {
		in, err = root.Mkdir(folder, 0o755)
	} else {
		in, err = root.Enter(folder)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ui.Fail(ui.ExitRefused, "%s cannot be written to: %w; remove it if it is a link, or restore it from your backup", f.path(folder), err)
	}
	return in, err
}

func (f *Folder) List(_ context.Context, folder string) ([]Object, error) {
	entries, err := os.ReadDir(f.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var objects []Object
	for _, e := range entries {
		if _, unfinished := durable.IsUnique(e.Name()); unfinished || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil { // otherwise it was removed meanwhile
			objects = append(objects, Object{Name: e.Name(), Size: info.Size()})
		}
	}
	return objects, err
}

func (f *Folder) Delete(_ context.Context, name string) error {
	in, err := f.enter(path.Dir(name), false)
	if err == nil {
		defer in.Close()
		err = in.Remove(path.Base(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweep removes what an interrupted publish left behind. Only the lock's holder may.
func (f *Folder) sweep() error {
	for _, folder := range []string{".", "releases", "files", "trust"} {
		if err := f.sweepIn(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f *Folder) sweepIn(folder string) error {
	in, err := f.enter(folder, false)
	if err != nil {
		return err
	}
	defer in.Close()
	names, err := in.Names()
	if err != nil {
		return err
	}
	for _, n := range names {
		if _, ours := durable.IsUnique(n); !ours {
			continue
		}
		if info, err := in.Lstat(n); err != nil || !info.Mode.IsRegular() {
			continue
		}
		if err := in.Remove(n); err != nil {
			return err
		}
	}
	return nil
}
