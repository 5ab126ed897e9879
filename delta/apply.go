package delta

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// chunk is how much of the new file is made at a time.
const chunk = 64 << 10

// Apply makes the new file out of the old one and a patch, and writes it to
// new from its first byte to its last. It reads the patch once, in order.
//
// Before it writes it checks that old is the file the patch was made for
// (ErrWrongOld). The bytes written count only when Apply has returned nil: then
// they have the size and SHA-256 of the header it returns, which the caller
// compares with what a signature vouches for, best before applying (see
// ReadHeader). Errors of the three streams and of ctx are returned wrapped.
//
// Apply holds an eighth of the old file's size in memory, and some MiB besides.
// Nothing of it is shared: calls may run at the same time.
func Apply(ctx context.Context, old io.ReaderAt, patch io.Reader, new io.Writer, l Limits) (Header, error) {
	h, err := ReadHeader(patch)
	if err != nil {
		return h, err
	}
	for _, f := range []File{h.Old, h.New} {
		if f.Size > l.max() {
			return h, fmt.Errorf("%w: a delta for %d bytes, the limit is %d", ErrTooLarge, f.Size, l.max())
		}
	}
	if err := checkOld(ctx, old, h.Old); err != nil {
		return h, err
	}
	sum := sha256.New()
	a := applier{
		ctx: ctx, header: h, c: newDecoder(patch), sum: sum, buf: make([]byte, chunk),
		out: bufio.NewWriterSize(io.MultiWriter(sum, new), chunk),
	}
	if err := a.run(old); err != nil {
		// A patch that could not be read on only looks damaged.
		if read := a.c.err(); read != nil && !errors.Is(read, ErrDamaged) {
			err = read
		}
		return h, err
	}
	return h, nil
}

// checkOld compares size and hash of the old file with what the patch needs.
func checkOld(ctx context.Context, old io.ReaderAt, want File) error {
	sum := sha256.New()
	buf := make([]byte, chunk)
	off := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := old.ReadAt(buf, off)
		sum.Write(buf[:n])
		off += int64(n)
		if off > want.Size {
			return ErrWrongOld
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the old file: %w", err)
		}
	}
	var got File
	sum.Sum(got.SHA256[:0])
	if off != want.Size || got.SHA256 != want.SHA256 {
		return ErrWrongOld
	}
	return nil
}

type applier struct {
	ctx    context.Context
	header Header
	c      *coder
	out    *bufio.Writer
	sum    hash.Hash
	buf    []byte
	at     int64 // bytes of the new file written

	novel  novelCoder
	made   []generated
	makers []maker
}

func (a *applier) run(old io.ReaderAt) error {
	h, c := a.header, a.c
	r, err := c.recipe(h, func() (*image, error) { return parse(old, h.Old.Size) }, nil)
	if err != nil {
		return err
	}
	a.made = r.made
	for _, g := range r.made {
		m, err := g.maker(&r.layout, h.New.Size)
		if err != nil {
			return err
		}
		a.makers = append(a.makers, m)
	}
	m := r.mover()
	if r.image != nil {
		r.image.file = nil // parsed: its cache may go
	}
	file := newSmallPages(old, h.Old.Size)
	res := newResidue(c, &r.layout)
	for _, o := range r.ops {
		if err := a.fill(o.new, &r.layout); err != nil {
			return err
		}
		for o.n > 0 {
			b := a.buf[:min(o.n, chunk)]
			file.read(b, o.old)
			if file.err != nil {
				return fmt.Errorf("reading the old file: %w", file.err)
			}
			n, err := m.predict(b, o.old, o.new, o.n > int64(len(b)), res)
			if err != nil {
				return err
			}
			if err := a.write(b[:n]); err != nil {
				return err
			}
			o.old, o.new, o.n = o.old+int64(n), o.new+int64(n), o.n-int64(n)
		}
	}
	if err := a.fill(h.New.Size, &r.layout); err != nil {
		return err
	}
	if err := a.out.Flush(); err != nil {
		return fmt.Errorf("writing the new file: %w", err)
	}
	var got [sha256.Size]byte
	if a.sum.Sum(got[:0]); got != h.New.SHA256 {
		return damaged("the result is not the new file")
	}
	return nil
}

// fill writes what lies before the next copy: novel bytes, and generated ones.
func (a *applier) fill(to int64, l *layout) error {
	for a.at < to {
		n := to - a.at
		if len(a.makers) > 0 {
			if g := a.made[0]; g.off < a.at+n {
				if n = g.off - a.at; n < 0 || g.n > to-g.off {
					return damaged("a table lies within a copy")
				}
				if n == 0 {
					b := a.makers[0].make()
					if int64(len(b)) != g.n {
						return damaged("a table of the wrong size")
					}
					a.made, a.makers = a.made[1:], a.makers[1:]
					if err := a.write(b); err != nil {
						return err
					}
					continue
				}
			}
		}
		n = min(n, chunk)
		if err := a.c.novel(&a.novel, a.buf[:n], l, a.at); err != nil {
			return err
		}
		if err := a.write(a.buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) write(b []byte) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	for _, m := range a.makers {
		m.see(b, a.at)
	}
	if _, err := a.out.Write(b); err != nil {
		return fmt.Errorf("writing the new file: %w", err)
	}
	a.at += int64(len(b))
	return nil
}
