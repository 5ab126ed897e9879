package executable

import (
	"io"
	"math/bits"
)

// Pages reads values anywhere in a file through a small cache, little-endian ones
// unless big is set.
// Past the end everything is zero. The first read error sticks in err and makes
// everything zero too, so a parser need not look until its end.
//
// A jump reads one page, for most jumps are to a few bytes; sequential reads get
// more at a time.
type Pages struct {
	r    io.ReaderAt
	size int64
	Err  error
	tag  []int64 // by slot: page number + 1
	data []byte  // the slots, a power of two of them
	next int64   // the page behind the last read
	run  int     // how many pages that read was

	big  bool  // byte order
	wide int64 // bytes of an address: 4 or 8

	near   []byte // what was asked for last, and where it begins: most questions are about it
	nearAt int64
}

const (
	pageBits = 12
	pageSize = 1 << pageBits
	pageRun  = 16 // At most in one read
)

// NewPages has a cache of at most 8 MiB, and of half as much for a large file,
// whose sites take the other half: Apply's memory is bounded.
func NewPages(r io.ReaderAt, size int64) *Pages {
	most := 2048
	if size > 32<<20 {
		most /= 2
	}
	slots := pageRun
	for slots < most && int64(slots)<<pageBits < size {
		slots *= 2
	}
	return &Pages{r: r, size: size, run: 1, wide: 8, tag: make([]int64, slots), data: make([]byte, slots*pageSize)}
}

var noPage [pageSize]byte

// page returns the file from off to the end of off's page, or further.
func (p *Pages) page(off int64) []byte {
	if i := uint64(off - p.nearAt); i < uint64(len(p.near)) {
		return p.near[i:]
	}
	no := off >> pageBits
	slot := int(no) & (len(p.tag) - 1)
	if p.tag[slot] == no+1 {
		p.near = p.data[slot<<pageBits:][:pageSize]
	} else {
		p.near = p.load(no, slot)
	}
	p.nearAt = no << pageBits
	return p.near[off&(pageSize-1):]
}

func (p *Pages) load(no int64, slot int) []byte {
	at := no << pageBits
	if no < 0 || at >= p.size || p.Err != nil {
		return noPage[:]
	}
	if no == p.next {
		p.run = min(2*p.run, pageRun)
	} else {
		p.run = 1
	}
	n := min(int64(p.run), int64(len(p.tag)-slot), (p.size-at+pageSize-1)>>pageBits)
	p.next = no + n
	tags := p.tag[slot:][:n]
	clear(tags)
	b := p.data[slot<<pageBits:][:n<<pageBits]
	want := min(int64(len(b)), p.size-at)
	if got, err := p.r.ReadAt(b[:want], at); int64(got) < want {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		p.Err = err
		return noPage[:]
	}
	clear(b[want:])
	for i := range tags {
		tags[i] = no + int64(i) + 1
	}
	return b
}

// Read fills dst from offset off. What is longer than a few pages goes past
// the cache.
func (p *Pages) Read(dst []byte, off int64) {
	if len(dst) >= 2*pageSize && off+int64(len(dst)) <= p.size && p.Err == nil {
		n, err := p.r.ReadAt(dst, off)
		if n == len(dst) {
			return
		}
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		p.Err = err
	}
	for len(dst) > 0 {
		n := copy(dst, p.page(off))
		dst, off = dst[n:], off+int64(n)
	}
}

func (p *Pages) u8(off int64) byte {
	return p.page(off)[0]
}

func (p *Pages) u16(off int64) uint16 {
	a, b := uint16(p.u8(off)), uint16(p.u8(off+1))
	if p.big {
		a, b = b, a
	}
	return a | b<<8
}

func (p *Pages) u32(off int64) uint32 {
	v := p.bytes4(off)
	if p.big {
		return bits.ReverseBytes32(v)
	}
	return v
}

// bytes4 returns four bytes, the first one lowest.
func (p *Pages) bytes4(off int64) uint32 {
	if b := p.page(off); len(b) >= 4 {
		return le.Uint32(b)
	}
	var b [4]byte
	p.Read(b[:], off)
	return le.Uint32(b[:])
}

func (p *Pages) u64(off int64) (v uint64) {
	if b := p.page(off); len(b) >= 8 {
		v = le.Uint64(b)
	} else {
		var b [8]byte
		p.Read(b[:], off)
		v = le.Uint64(b[:])
	}
	if p.big {
		return bits.ReverseBytes64(v)
	}
	return v
}

// word returns an address, or what else is as wide.
func (p *Pages) word(off int64) uint64 {
	if p.wide == 4 {
		return uint64(p.u32(off))
	}
	return p.u64(off)
}

// cstring returns the bytes at off up to the first NUL, at most max.
func (p *Pages) cstring(off int64, max int) string {
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
