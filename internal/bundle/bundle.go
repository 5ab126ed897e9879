// Package bundle puts what an update needs into one file, for machines that are on no network.
//
//	w := bundle.NewWriter(f)                      // f is a file
//	err := w.Add("stable", int64(len(b)), bytes.NewReader(b))
//	err = w.Close()
//
//	r, err := bundle.Open("hello.bundle")
//	defer r.Close()
//	part, err := r.Open("stable")                 // an *io.SectionReader
//
// A bundle is a tar archive (POSIX ustar) with part of a repository, under the names that a repository has: the
// channel, its trust documents, manifests, and files. It is signed by nobody, and need not be: what is in it is checked
// as if it had come from a server. So a reader only has to survive it, and everything that it does not need is refused:
// other types than regular files, extended headers, names outside the alphabet of a repository, names that occur twice.
package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/internal/name"
)

// MaxFiles is how many files a bundle may have.
const MaxFiles = 4096

// ErrMalformed means that the file is not a bundle, or not a whole one.
var ErrMalformed = errors.New("not a bundle")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Writer writes a bundle.
type Writer struct{ tar *tar.Writer }

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{tar.NewWriter(w)} }

// Add writes a file of exactly size bytes, which r gives.
func (w *Writer) Add(path string, size int64, r io.Reader) error {
	if !valid(path) {
		return fmt.Errorf("%q is not the name of a file in a repository", path)
	}
	// No time, no owner: the same content makes the same bundle.
	err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: size, Mode: 0o644, Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	n, err := io.Copy(w.tar, io.LimitReader(r, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Close writes the end. It does not close what the Writer writes to.
func (w *Writer) Close() error { return w.tar.Close() }

// Reader gives access to the files of a bundle. Its methods may be called by several goroutines at once.
type Reader struct {
	file  io.ReaderAt
	parts map[string]part
	close func() error
}

type part struct{ offset, size int64 }

const block = 512 // of a tar archive

// Open opens a bundle.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	r, err := NewReader(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.close = f.Close
	return r, nil
}

// NewReader reads a bundle of size bytes. Memory is bounded by MaxFiles, whatever it is.
func NewReader(file io.ReaderAt, size int64) (*Reader, error) {
	r := &Reader{file: file, parts: map[string]part{}, close: func() error { return nil }}
	return r, r.index(io.NewSectionReader(file, 0, size))
}

func (r *Reader) index(all *io.SectionReader) error {
	folded := map[string]bool{}
	t := tar.NewReader(all)
	end := int64(0) // of the last file and what fills its block
	for {
		h, err := t.Next()
		offset, _ := all.Seek(0, io.SeekCurrent) // cannot fail. The reader takes whole blocks: here the file begins
		switch {
		case err == io.EOF && offset != end+2*block, errors.Is(err, io.ErrUnexpectedEOF):
			return malformed("it is cut short: copy it again") // also between two files: only two empty blocks are an end
		case err == io.EOF && offset != all.Size():
			return malformed("it goes on behind its end: copy it again")
		case err == io.EOF && len(r.parts) == 0:
			return malformed("it has no files: make it again")
		case err == io.EOF:
			return nil
		case err != nil:
			return malformed("it is no tar archive, or a damaged one: copy it again")
		}
		switch {
		case len(r.parts) == MaxFiles:
			return malformed("more than %d files", MaxFiles)
		case h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR || h.Size < 0:
			return malformed("%q is something else than a plain file", h.Name)
		case !valid(h.Name):
			return malformed("%q is not the name of a file in a repository", h.Name)
		case folded[strings.ToLower(h.Name)]:
			return malformed("%s is in it twice", h.Name)
		}
		if h.Size > all.Size()-offset {
			return malformed("%s is cut short: copy it again", h.Name)
		}
		folded[strings.ToLower(h.Name)] = true
		r.parts[h.Name] = part{offset, h.Size}
		end = offset + (h.Size+block-1)/block*block
	}
}

// Over returns a reader of another handle of the same file, without reading its headers again.
func (r *Reader) Over(file io.ReaderAt) *Reader {
	return &Reader{file: file, parts: r.parts, close: func() error { return nil }}
}

// Names returns the names of the files, sorted.
func (r *Reader) Names() []string {
	names := make([]string, 0, len(r.parts))
	for n := range r.parts {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Open returns a file of the bundle; fs.ErrNotExist if it has none of that name.
func (r *Reader) Open(name string) (*io.SectionReader, error) {
	p, ok := r.parts[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NewSectionReader(r.file, p.offset, p.size), nil
}

// Close closes what Open has opened.
func (r *Reader) Close() error { return r.close() }

// valid reports whether a repository can have a file of this name: at most two elements, so that a bundle can be unpacked
// anywhere.
func valid(path string) bool {
	return len(path) <= 100 && strings.Count(path, "/") <= 1 && name.Path(path)
}
