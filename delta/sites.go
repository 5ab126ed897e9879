package delta

import "math/bits"

// sites marks every place of a file that holds a reference: one bit a byte.
//
// Where they may begin at any byte, the first bit is set and the next two say
// which of four kinds it is: in code for amd64 how many bytes follow it in the
// instruction, in rebase opcodes its own width.
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

// setDense marks a site of variant 0 to 3 at any offset.
func (s sites) setDense(off int64, variant int) {
	v := uint64(1 | variant<<1)
	s[off>>6] |= v << (off & 63)
	if sh := off & 63; sh > 61 {
		s[off>>6+1] |= v >> (64 - sh)
	}
}

// nextDense is nextWord for any offset.
func (s sites) nextDense(off, end int64) int64 {
	for off < end {
		if w := s[off>>6] >> (off & 63); w != 0 {
			return min(off+int64(bits.TrailingZeros64(w)), end)
		}
		off = (off | 63) + 1
	}
	return end
}

// variant returns the variant at off, which nextDense found.
func (s sites) variant(off int64) kind {
	v := s[off>>6] >> (off & 63)
	if sh := off & 63; sh > 61 {
		v |= s[off>>6+1] << (64 - sh)
	}
	return kind(v >> 1 & 3)
}
