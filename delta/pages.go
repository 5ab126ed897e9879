package delta

import (
	"bytes"
	"io"
)

const (
	pageBits  = 15
	pageSize  = 1 << pageBits
	pageSlots = 32
)

// pages reads little-endian values anywhere in a file through a small cache,
// 1 MiB at most. Past the end everything is zero. The first read error sticks
// in err and makes everything zero too, so a parser need not look until its end.
type pages struct {
	r    io.ReaderAt
	size int64
	err  error
	tag  [pageSlots]int64 // page number + 1
	data [pageSlots][]byte
}

func newPages(r io.ReaderAt, size int64) *pages {
	return &pages{r: r, size: size}
}

func pagesOf(b []byte) *pages {
	return newPages(bytes.NewReader(b), int64(len(b)))
}

var noPage [pageSize]byte

func (p *pages) page(no int64) []byte {
	slot := no % pageSlots
	if p.tag[slot] == no+1 {
		return p.data[slot]
	}
	return p.load(no)
}

func (p *pages) load(no int64) []byte {
	slot := no % pageSlots
	at := no << pageBits
	if no < 0 || at >= p.size || p.err != nil {
		return noPage[:]
	}
	if p.data[slot] == nil {
		p.data[slot] = make([]byte, pageSize)
	}
	p.tag[slot] = 0
	b := p.data[slot]
	n := min(pageSize, p.size-at)
	if m, err := p.r.ReadAt(b[:n], at); int64(m) < n {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		p.err = err
		return noPage[:]
	}
	clear(b[n:])
	p.tag[slot] = no + 1
	return b
}

// read fills dst from offset off.
func (p *pages) read(dst []byte, off int64) {
	for len(dst) > 0 {
		if off < 0 {
			clear(dst)
			return
		}
		n := copy(dst, p.page(off >> pageBits)[off&(pageSize-1):])
		dst, off = dst[n:], off+int64(n)
	}
}

func (p *pages) u8(off int64) byte {
	if off < 0 {
		return 0
	}
	return p.page(off >> pageBits)[off&(pageSize-1)]
}

func (p *pages) u16(off int64) uint16 {
	return uint16(p.u8(off)) | uint16(p.u8(off+1))<<8
}

func (p *pages) u32(off int64) uint32 {
	if i := off & (pageSize - 1); i <= pageSize-4 && off >= 0 {
		return le.Uint32(p.page(off >> pageBits)[i:])
	}
	var b [4]byte
	p.read(b[:], off)
	return le.Uint32(b[:])
}

func (p *pages) u64(off int64) uint64 {
	if i := off & (pageSize - 1); i <= pageSize-8 && off >= 0 {
		return le.Uint64(p.page(off >> pageBits)[i:])
	}
	var b [8]byte
	p.read(b[:], off)
	return le.Uint64(b[:])
}

// cstring returns the bytes at off up to the first NUL, at most max.
func (p *pages) cstring(off int64, max int) string {
	var b []byte
	for len(b) < max {
		c := p.u8(off + int64(len(b)))
		if c == 0 {
			break
		}
		b = append(b, c)
	}
	return string(b)
}
