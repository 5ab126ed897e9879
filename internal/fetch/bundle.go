package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"sync"

	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/verify"
)

// packed is a file:// source that is a bundle. Nothing is ever unpacked: files are read where they lie in it, and what
// they hold is judged as if it came from the network. Its index is kept for as long as the file stays the same.
type packed struct {
	mu    sync.Mutex
	info  fs.FileInfo
	index *bundle.Reader
}

func (p *packed) get(ctx context.Context, file, path string, q query) (*reply, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	r, err := p.answer(ctx, f, path, q)
	if err != nil {
		f.Close()
	}
	return r, err
}

// names returns the files of the bundle, sorted.
func (p *packed) names(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := p.reader(f)
	if err != nil {
		return nil, err
	}
	return b.Names(), nil
}

// answer is a reply whose body closes f.
func (p *packed) answer(ctx context.Context, f *os.File, path string, q query) (*reply, error) {
	b, err := p.reader(f)
	if err != nil {
		return nil, err
	}
	part, err := b.Open(path)
	if err != nil {
		return nil, sentence(errors.Join(ErrNotFound, err), "the bundle does not hold it; make one with \"theseus bundle\" for this channel and this platform")
	}
	if q.offset > part.Size() {
		return nil, &StatusError{Code: http.StatusRequestedRangeNotSatisfiable}
	}
	rest := io.NewSectionReader(part, q.offset, part.Size()-q.offset)
	body := struct {
		io.Reader
		io.Closer
	}{rest, f}
	return &reply{body: &cancelled{ctx, body}, offset: q.offset, length: rest.Size()}, nil
}

// reader reads the headers of f, unless it is the file that was read before.
func (p *packed) reader(f *os.File) (*bundle.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("this is not a regular file")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.info == nil || !os.SameFile(p.info, info) || p.info.Size() != info.Size() || !p.info.ModTime().Equal(info.ModTime()) {
		index, err := bundle.NewReader(f, info.Size())
		if err != nil {
			return nil, &Refusal{sentence(errors.Join(verify.ErrMalformed, err), "%s", plain(err.Error()))}
		}
		p.info, p.index = info, index
	}
	return p.index.Over(f), nil
}
