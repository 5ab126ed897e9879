package fetch

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"
)

// A bundle is a repository in one file, for machines without a network: a tar archive in the POSIX ustar format (IEEE Std
// 1003.1-1988) of nothing but regular files, each with the name that it has in the repository, in any order, and closed
// by two blocks of zeros that are the end of the file. Nothing is ever unpacked: it is a source like a folder, from which
// files are read by offset, and what they hold is judged as if it came from the network.
//
// What other archives can do beside that is refused: folders, links, devices, extended headers and with them sparse
// files, names outside a repository's alphabet, names that occur twice, anything behind the end.

// maxBundled is how many files a bundle may have: some hundred releases for a dozen platforms. An index of as many is
// about two megabytes.
const maxBundled = 10_000

// bundled is where a file lies within a bundle.
type bundled struct{ offset, size int64 }

// bundle reads a file of a file:// source. Its index is kept for as long as the file stays the same.
type bundle struct {
	mu    sync.Mutex
	info  fs.FileInfo
	index map[string]bundled
}

func (b *bundle) get(ctx context.Context, file, path string, q query) (*reply, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	index, err := b.indexOf(f)
	if err == nil {
		var r *reply
		if r, err = bundledReply(index, path, q); err == nil {
			at := index[path]
			section := io.NewSectionReader(f, at.offset+q.offset, at.size-q.offset)
			r.body = &cancelled{ctx, struct {
				io.Reader
				io.Closer
			}{section, f}}
			return r, nil
		}
	}
	f.Close()
	return nil, err
}

func bundledReply(index map[string]bundled, path string, q query) (*reply, error) {
	at, ok := index[path]
	if !ok {
		return nil, &explained{"the bundle does not hold it; make one with \"theseus bundle\" for this channel and this platform", ErrNotFound}
	}
	if q.offset > at.size {
		return nil, &StatusError{Code: http.StatusRequestedRangeNotSatisfiable}
	}
	return &reply{offset: q.offset, length: at.size - q.offset}, nil
}

// indexOf reads the headers of f, unless it is the file that was read before.
func (b *bundle) indexOf(f *os.File) (map[string]bundled, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is not a regular file")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.info != nil && os.SameFile(b.info, info) && b.info.Size() == info.Size() && b.info.ModTime().Equal(info.ModTime()) {
		return b.index, nil
	}
	index, err := readBundle(f, info.Size())
	if err != nil {
		return nil, &Refusal{err}
	}
	b.info, b.index = info, index
	return index, nil
}

// readBundle finds every file of a bundle of this size. It reads headers only, and believes no size that the bundle does
// not have room for.
func readBundle(r io.ReaderAt, size int64) (map[string]bundled, error) {
	in := io.NewSectionReader(r, 0, size)
	archive := tar.NewReader(in)
	index := map[string]bundled{}
	end := int64(0) // of the last file, with its padding
	for {
		h, err := archive.Next()
		at, _ := in.Seek(0, io.SeekCurrent) // cannot fail: it moves nothing
		switch {
		case err == io.EOF && at != end+2*blockSize:
			return nil, errShort
		case err == io.EOF && at != size:
			return nil, errors.New("the bundle goes on behind its end; copy it again, or make it again with \"theseus bundle\"")
		case err == io.EOF && len(index) == 0:
			return nil, errors.New("the bundle is empty; make it again with \"theseus bundle\"")
		case err == io.EOF:
			return index, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errShort
		case err != nil:
			return nil, errors.New("this file is no bundle, or a damaged one; make one with \"theseus bundle\"")
		}
		if err := checkBundled(h); err != nil {
			return nil, err
		}
		if h.Size > size-at {
			return nil, errShort
		}
		if _, twice := index[h.Name]; twice {
			return nil, fmt.Errorf("the bundle holds %s twice; make it with \"theseus bundle\"", h.Name)
		}
		if len(index) == maxBundled {
			return nil, fmt.Errorf("the bundle holds more than %d files; make one with fewer releases", maxBundled)
		}
		index[h.Name] = bundled{at, h.Size}
		end = at + (h.Size+blockSize-1)/blockSize*blockSize
	}
}

const blockSize = 512 // of a tar archive

var errShort = errors.New("the bundle is cut short; copy it again")

// checkBundled refuses whatever is not the plain header of a regular file.
func checkBundled(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR || h.Size < 0 {
		return fmt.Errorf("the bundle holds something other than a plain file, %q; make it with \"theseus bundle\"", plain(h.Name))
	}
	if err := validPath(h.Name); err != nil {
		return fmt.Errorf("the bundle holds %q, which is not the name of a file in a repository; make it with \"theseus bundle\"", plain(h.Name))
	}
	return nil
}

// BundleWriter writes a bundle. The same files in the same order give the same bytes.
type BundleWriter struct {
	archive *tar.Writer
	names   map[string]bool
}

// NewBundleWriter writes to w, which the caller closes after Close.
func NewBundleWriter(w io.Writer) *BundleWriter {
	return &BundleWriter{tar.NewWriter(w), map[string]bool{}}
}

// Add writes a file of this path in the repository and of exactly size bytes. A path that was added before is an error.
func (b *BundleWriter) Add(path string, size int64, r io.Reader) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: path, Size: size, Mode: 0o644}
	if err := checkBundled(h); err != nil {
		return err
	}
	if b.names[path] || len(b.names) == maxBundled {
		return fmt.Errorf("adding %s to the bundle: it is there already, or %d files are", path, maxBundled)
	}
	b.names[path] = true
	err := b.archive.WriteHeader(h)
	if err == nil {
		_, err = io.CopyN(b.archive, r, size)
	}
	if err != nil {
		return fmt.Errorf("adding %s to the bundle: %w", path, err)
	}
	return nil
}

// Has reports whether a path was added.
func (b *BundleWriter) Has(path string) bool { return b.names[path] }

// Close writes the end, without which nobody takes the bundle.
func (b *BundleWriter) Close() error { return b.archive.Close() }
