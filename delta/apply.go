package delta

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
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
// Apply holds an eighth of the old file's size in memory and 8 to 16 MiB besides,
// for patches that Diff makes, and the old file's packed debugging information
// unpacked ([Header.Unpacked], at most [Limits.MaxUnpacked]). A patch of nothing but tiny copies can make it hold
// about as much as the new file is large. Nothing of it is shared: calls may run
// at the same time.
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
	if h.Unpacked > l.maxUnpacked() {
		return h, fmt.Errorf("%w: a delta that unpacks %d bytes of debugging information, the limit is %d", ErrTooLarge, h.Unpacked, l.maxUnpacked())
	}
	if err := checkOld(ctx, old, h.Old); err != nil {
		return h, err
	}
	sum := sha256.New()
	a := applier{
		ctx: ctx, header: h, limits: l, c: coding.NewDecoder(patch), sum: sum, new: new, out: make([]byte, 0, chunk),
		novel: &novelCoder{},
	}
	if err := a.run(old); err != nil {
		// A patch that could not be read on only looks damaged.
		if read := a.c.Err(); read != nil {
			err = read
		}
		if errors.Is(err, coding.ErrShort) {
			err = damaged("%v", err)
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
	limits Limits
	c      *coding.Coder
	new    io.Writer
	sum    hash.Hash
	repack repacker
	done   int64  // bytes written
	out    []byte // made, and not yet written
	at     int64  // bytes of the new file made, its streams unpacked

	novel  *novelCoder // large: not in here
	tables []executable.Table
	makers []executable.Maker
}

func (a *applier) run(old io.ReaderAt) error {
	h, c := a.header, a.c
	r, err := codeRecipe(c, h, func(r *recipe) (*executable.Image, error) { return a.parse(old, r) }, nil)
	if err != nil {
		return err
	}
	a.repack = repacker{w: writerFunc(a.write), streams: r.is}
	m := r.predictor()
	a.tables = r.made
	for _, g := range r.made {
		maker, err := g.Maker(&r.layout, m.mover(), r.size)
		if err != nil {
			return damaged("%v", err)
		}
		a.makers = append(a.makers, maker)
	}
	var file *executable.Pages
	if r.image != nil {
		file = r.image.File // its cache is warm
	} else {
		file = executable.NewPages(old, h.Old.Size)
	}
	res := newResidue(c, &r.layout)
	for _, o := range r.ops {
		if err := a.fill(o.new, &r.layout); err != nil {
			return err
		}
		for o.n > 0 {
			b, err := a.room(o.n)
			if err != nil {
				return err
			}
			file.Read(b, o.old)
			if file.Err != nil {
				return fmt.Errorf("reading the old file: %w", file.Err)
			}
			n, err := m.predict(b, o.old, o.new, o.n > int64(len(b)), res)
			if err != nil {
				return err
			}
			a.made(n)
			o.old, o.new, o.n = o.old+int64(n), o.new+int64(n), o.n-int64(n)
		}
	}
	if err := a.fill(r.size, &r.layout); err != nil {
		return err
	}
	if err := a.flush(); err != nil {
		return err
	}
	var got [sha256.Size]byte
	if a.sum.Sum(got[:0]); got != h.New.SHA256 {
		return damaged("the result is not the new file")
	}
	return nil
}

// parse reads the old file with its streams unpacked.
func (a *applier) parse(old io.ReaderAt, r *recipe) (*executable.Image, error) {
	switch n, most := plainSize(r.was), a.limits.maxUnpacked(); {
	case n != a.header.Unpacked:
		return nil, damaged("%d bytes of debugging information, the header says %d", n, a.header.Unpacked)
	case plainSize(r.is) > most:
		return nil, fmt.Errorf("%w: a delta that makes %d bytes of debugging information, the limit is %d", ErrTooLarge, plainSize(r.is), most)
	}
	file, size := old, a.header.Old.Size
	if len(r.was) > 0 {
		// The old file has the right SHA-256, so its sections are as Diff saw them.
		u, err := newUnpacked(a.ctx, old, size, r.was)
		if err != nil {
			return nil, damaged("unpacking debugging information: %v", err)
		}
		file, size = u, u.size
	}
	im, err := executable.Parse(file, size, ranges(r.was))
	if err != nil {
		return nil, fmt.Errorf("reading the old file: %w", err)
	}
	return im, nil
}

// fill writes what lies before the next copy: novel bytes, and generated ones.
func (a *applier) fill(to int64, l *executable.Layout) error {
	for a.at < to {
		n := to - a.at
		if len(a.makers) > 0 {
			if g := a.tables[0]; g.Off < a.at+n {
				if n = g.Off - a.at; n < 0 || g.N > to-g.Off {
					return damaged("a table lies within a copy")
				}
				if n == 0 {
					if g.OfPacked() {
						if err := a.flush(); err != nil {
							return err
						}
					}
					b := a.makers[0].Make()
					if int64(len(b)) != g.N {
						return damaged("a table of the wrong size")
					}
					a.tables, a.makers = a.tables[1:], a.makers[1:]
					for len(b) > 0 {
						room, err := a.room(int64(len(b)))
						if err != nil {
							return err
						}
						n := copy(room, b)
						a.made(n)
						b = b[n:]
					}
					continue
				}
			}
		}
		b, err := a.room(n)
		if err != nil {
			return err
		}
		if err := a.novel.decode(a.c, b, l, a.at); err != nil {
			return err
		}
		a.made(len(b))
	}
	return nil
}

// minRoom is more than the longest reference, so that one is never cut for want
// of room.
const minRoom = 64

// room returns where the next n bytes of the new file go, or as many of them as
// there is room for.
func (a *applier) room(n int64) ([]byte, error) {
	if cap(a.out)-len(a.out) < minRoom {
		if err := a.flush(); err != nil {
			return nil, err
		}
	}
	at := len(a.out)
	return a.out[at : at+int(min(n, int64(cap(a.out)-at)))], nil
}

// made says that the first n bytes of room are made.
func (a *applier) made(n int) {
	at := len(a.out)
	a.out = a.out[:at+n]
	for i, m := range a.makers {
		if !a.tables[i].OfPacked() {
			m.See(a.out[at:], a.at)
		}
	}
	a.at += int64(n)
}

func (a *applier) flush() error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	_, err := a.repack.Write(a.out)
	a.out = a.out[:0]
	return err
}

// write writes bytes of the new file as it is.
func (a *applier) write(b []byte) (int, error) {
	a.sum.Write(b)
	for i, m := range a.makers {
		if a.tables[i].OfPacked() {
			m.See(b, a.done)
		}
	}
	a.done += int64(len(b))
	if _, err := a.new.Write(b); err != nil {
		return 0, fmt.Errorf("writing the new file: %w", err)
	}
	return len(b), nil
}
