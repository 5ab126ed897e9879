package delta

import "math/bits"

// sites marks every place of a file that holds a reference: one bit a byte.
//
// In code for amd64 a reference is four bytes anywhere: the first bit is set
// and the next two say what follows it in the instruction (see amd64.go).
// Everywhere else references lie at multiples of four: four bits hold the kind.
type sites []uint64

func newSites(size int64) sites { return make(sites, size/64+2) }

// word returns the kind at off, a multiple of four.
func (s sites) word(off int64) kind { return kind(s[off>>6]>>(off&63)) & 15 }

func (s sites) setWord(off int64, k kind) { s[off>>6] |= uint64(k&15) << (off & 63) }

// nextWord returns the first site at off or after it and before end; off is a
// multiple of four. It returns end if there is none.
func (s sites) nextWord(off, end int64) int64 {
	for off < end {
		if w := s[off>>6] >> (off & 63); w != 0 {
			return min(off+int64(bits.TrailingZeros64(w))&^3, end)
		}
		off = (off | 63) + 1
	}
	return end
}

// setRel marks four bytes at off relative to the end of an instruction that
// has tail more bytes after them: 0, 1, 2 or 4.
func (s sites) setRel(off int64, tail int) {
	v := uint64(1 | tailCode[tail]<<1)
	s[off>>6] |= v << (off & 63)
	if sh := off & 63; sh > 61 {
		s[off>>6+1] |= v >> (64 - sh)
	}
}

var tailCode = [5]int{1: 1, 2: 2, 4: 3}

// nextRel is nextWord for amd64 code.
func (s sites) nextRel(off, end int64) int64 {
	for off < end {
		if w := s[off>>6] >> (off & 63); w != 0 {
			return min(off+int64(bits.TrailingZeros64(w)), end)
		}
		off = (off | 63) + 1
	}
	return end
}

// rel returns the kind at off, which nextRel found.
func (s sites) rel(off int64) kind {
	v := s[off>>6] >> (off & 63)
	if sh := off & 63; sh > 61 {
		v |= s[off>>6+1] << (64 - sh)
	}
	return kindRel0 + kind(v>>1&3)
}
