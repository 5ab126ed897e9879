package pack

import (
	"encoding/binary"
	"math/bits"
)

var le = binary.LittleEndian

// A token is a literal byte, or a match: its length less 3 in the bits from 16 and its distance less 1 below, with bit
// 31 set.
type token uint32

const match token = 1 << 31

func (t token) length() uint32   { return uint32(t) >> 16 & 0xff }
func (t token) distance() uint32 { return uint32(t) & 0xffff }

const (
	maxDistance = 1 << 15
	maxLength   = 258
	margin      = 15 // bytes at a block's end where no match begins
	hashBits    = 14
	hashFactor  = 0x1e35a7bd
)

// matcher remembers for every hash of four bytes where they were last. It is the scheme of Snappy: look at every byte,
// and for as long as nothing is found at fewer and fewer of them; behind a match, look at once for the next one.
type matcher struct {
	seen [1 << hashBits]int32 // position in all that was written, plus far; 0 for none
	done int32                // bytes of the blocks before
}

// far is more than any distance, so that no match is found where none was seen.
const far = maxDistance + 1

func hashOf(v uint32) uint32 { return v * hashFactor >> (32 - hashBits) }

// at remembers that v lies at s, and returns where it may have been before, if near enough. Both are offsets in buf.
func (m *matcher) at(buf []byte, base int32, s int, v uint32) (int, bool) {
	slot := &m.seen[hashOf(v)]
	was := int(*slot - base)
	*slot = int32(s) + base
	return was, s-was <= maxDistance && le.Uint32(buf[was:]) == v
}

func (m *matcher) write(w *bitWriter, blk *block, buf []byte, from int, _ bool) {
	const (
		least   = 128 // bytes that matches are looked for in
		tiniest = 16  // bytes that are not worth any codes
	)
	b := buf[from:]
	switch {
	case len(b) <= tiniest:
		w.stored(b, false)
		return
	case len(b) < least:
		blk.literals(b)
	default:
		blk.reset()
		m.tokens(blk, buf, from)
		if len(blk.tokens) > len(b)-len(b)>>4 {
			blk.literals(b)
		}
	}
	blk.write(w, b)
}

func (m *matcher) close(w *bitWriter) { w.stored(nil, true) }

// tokens cuts buf[from:], a block of at least 128 bytes, into tokens. Before from are the bytes of the block before.
func (m *matcher) tokens(out *block, buf []byte, from int) {
	base := m.done + far - int32(from) // what makes an offset a position
	m.done += int32(len(buf) - from)
	last := len(buf) - margin
	s, emitted := from, from
	for {
		var was int
		for next, skip, v := s, 32, le.Uint32(buf[s:]); ; {
			s = next
			step := skip >> 5
			next, skip = s+step, skip+step
			if next > last {
				out.add(buf[emitted:])
				return
			}
			var ok bool
			if was, ok = m.at(buf, base, s, v); ok {
				break
			}
			v = le.Uint32(buf[next:])
		}
		out.add(buf[emitted:s])
		for again := true; again; {
			n := 4 + common(buf[s+4:min(s+maxLength, len(buf))], buf[was+4:])
			out.match(n, s-was)
			s += n
			emitted = s
			if s >= last {
				out.add(buf[emitted:])
				return
			}
			m.at(buf, base, s-1, le.Uint32(buf[s-1:]))
			was, again = m.at(buf, base, s, le.Uint32(buf[s:]))
		}
		s++
	}
}

// common returns how many bytes a begins with that b begins with too. b is longer.
func common(a, b []byte) int {
	n := 0
	for ; n+8 <= len(a); n += 8 {
		if d := le.Uint64(a[n:]) ^ le.Uint64(b[n:]); d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}
