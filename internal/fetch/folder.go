package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Base returns the source that a person names: a URL as it is, or the path of a folder or bundle as a file URL.
func Base(name string) (string, error) {
	if strings.Contains(name, "://") {
		return name, nil
	}
	return FileURL(name)
}

// FileURL returns the source that a path of this machine names, a folder or a bundle; a relative path begins at the working
// directory.
func FileURL(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: "/" + strings.TrimLeft(filepath.ToSlash(abs), "/")}).String(), nil
}

// proposal is the file URL of what looks like a path.
func proposal(path string) string {
	if u, err := FileURL(path); err == nil {
		return u
	}
	return "file:///…"
}

// localPath is the folder that the path of a file URL names; file:///C:/x is C:\x on Windows.
func localPath(path string) string {
	if path == "" {
		path = "/"
	}
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:]
	}
	return filepath.FromSlash(path)
}

// folder is a file:// source: the folder of a repository, or a bundle, whatever lies there when it is asked. It gives
// no ETags: to read a document is as cheap as to ask whether it changed, and a modification time can lie.
type folder struct {
	name   string
	dir    string
	packed packed
}

func (s *folder) String() string { return s.name }

func (s *folder) get(ctx context.Context, path string, q query) (*reply, error) {
	info, err := os.Stat(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, sentence(errors.Join(ErrNotFound, err), "there is no such folder or bundle; check the path, and that its disk is mounted")
	case err == nil && info.Mode().IsRegular():
		return s.packed.get(ctx, s.dir, path, q)
	}
	f, err := s.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sentence(errors.Join(ErrNotFound, err), "no such file; check that the source is the folder that was published to")
	}
	if err != nil {
		return nil, err
	}
	info, err = f.Stat()
	if err == nil && q.offset > info.Size() {
		err = &StatusError{Code: http.StatusRequestedRangeNotSatisfiable}
	}
	if err == nil {
		_, err = f.Seek(q.offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &reply{body: &cancelled{ctx, f}, offset: q.offset, length: info.Size() - q.offset}, nil
}

// names returns the regular files at the top of the folder, or all files of the bundle.
func (s *folder) names() ([]string, error) {
	info, err := os.Stat(s.dir)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return s.packed.names(s.dir)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// open goes through os.Root, so that no symbolic link leads out of the folder, and opens nothing that could block for
// ever (a named pipe) or is no file.
func (s *folder) open(path string) (*os.File, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is not a regular file")
	}
	return root.Open(path)
}

// cancelled is a body that ends with its context.
type cancelled struct {
	ctx context.Context
	io.ReadCloser
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.ReadCloser.Read(p)
}
