package delta

import "io"

// A pages reads little-endian values anywhere in a file through a small cache.
// Past the end everything is zero. The first read error sticks in err and makes
// everything zero too, so a parser need not look until its end.
type pages struct {
	r    io.ReaderAt
	size int64
	err  error
	bits int      // of the page size
	tag  []int64  // by slot: page number + 1
	data [][]byte // by slot

	near   []byte // the page asked for last, and where it begins: most questions are about it
	nearAt int64
}

// newPages reads mostly forward: 32 pages of 32 KiB.
func newPages(r io.ReaderAt, size int64) *pages {
	return &pages{r: r, size: size, bits: 15, tag: make([]int64, 32), data: make([][]byte, 32)}
}

// newSmallPages reads here and there: 256 pages of 4 KiB.
func newSmallPages(r io.ReaderAt, size int64) *pages {
	return &pages{r: r, size: size, bits: 12, tag: make([]int64, 256), data: make([][]byte, 256)}
}

var noPage [1 << 15]byte

// page returns the file from off to the end of off's page.
func (p *pages) page(off int64) []byte {
	if i := uint64(off - p.nearAt); i < uint64(len(p.near)) {
		return p.near[i:]
	}
	no := off >> p.bits
	slot := int(no) & (len(p.tag) - 1)
	b := p.data[slot]
	if p.tag[slot] != no+1 {
		b = p.load(no, slot)
	}
	p.near, p.nearAt = b, no<<p.bits
	return b[off&(1<<p.bits-1):]
}

func (p *pages) load(no int64, slot int) []byte {
	size := int64(1) << p.bits
	at := no << p.bits
	if no < 0 || at >= p.size || p.err != nil {
		return noPage[:size]
	}
	if p.data[slot] == nil {
		p.data[slot] = make([]byte, size)
	}
	p.tag[slot] = 0
	b := p.data[slot]
	n := min(size, p.size-at)
	if m, err := p.r.ReadAt(b[:n], at); int64(m) < n {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		p.err = err
		return noPage[:size]
	}
	clear(b[n:])
	p.tag[slot] = no + 1
	return b
}

// read fills dst from offset off. What is longer than a few pages goes past
// the cache.
func (p *pages) read(dst []byte, off int64) {
	if int64(len(dst)) >= 2<<p.bits && off+int64(len(dst)) <= p.size && p.err == nil {
		n, err := p.r.ReadAt(dst, off)
		if n == len(dst) {
			return
		}
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		p.err = err
	}
	for len(dst) > 0 {
		n := copy(dst, p.page(off))
		dst, off = dst[n:], off+int64(n)
	}
}

func (p *pages) u8(off int64) byte {
	return p.page(off)[0]
}

func (p *pages) u16(off int64) uint16 {
	return uint16(p.u8(off)) | uint16(p.u8(off+1))<<8
}

func (p *pages) u32(off int64) uint32 {
	if b := p.page(off); len(b) >= 4 {
		return le.Uint32(b)
	}
	var b [4]byte
	p.read(b[:], off)
	return le.Uint32(b[:])
}

func (p *pages) u64(off int64) uint64 {
	if b := p.page(off); len(b) >= 8 {
		return le.Uint64(b)
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
