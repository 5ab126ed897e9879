package executable

import "math/bits"

// Sites marks every place of a file that holds a reference, with a code that the
// section's first kind makes a kind of: one bit a byte.
//
// Where they may begin at any byte, the first bit is set and the next three are the
// code: in code for amd64 how many bytes follow it in the instruction, in rebase
// opcodes its own width, in debugging information what it leads to. Everywhere else
// references lie at multiples of four, and four bits are the code, 0 for none.
type Sites []uint64

// Codes of a site, by its width.
const (
	wordCodes  = 16
	denseCodes = 4
)

func newSites(size int64) Sites { return make(Sites, size/64+2) }

// Word returns the code at off, a multiple of four.
func (s Sites) Word(off int64) Kind { return Kind(s[off>>6]>>(off&63)) & (wordCodes - 1) }

func (s Sites) setWord(off int64, code Kind) { s[off>>6] |= uint64(code&(wordCodes-1)) << (off & 63) }

// NextWord returns the first site at off or after it and before end; off is a
// multiple of four. It returns end if there is none.
func (s Sites) NextWord(off, end int64) int64 {
	for off < end {
		if w := s[off>>6] >> (off & 63); w != 0 {
			return min(off+int64(bits.TrailingZeros64(w))&^3, end)
		}
		off = (off | 63) + 1
	}
	return end
}

// setDense marks a site of variant 0 to 7 at any offset.
func (s Sites) setDense(off int64, variant int) {
	v := uint64(1 | variant<<1)
	s[off>>6] |= v << (off & 63)
	if sh := off & 63; sh > 60 {
		s[off>>6+1] |= v >> (64 - sh)
	}
}

// NextDense is NextWord for any offset.
func (s Sites) NextDense(off, end int64) int64 {
	for off < end {
		if w := s[off>>6] >> (off & 63); w != 0 {
			return min(off+int64(bits.TrailingZeros64(w)), end)
		}
		off = (off | 63) + 1
	}
	return end
}

// Variant returns the variant at off, which NextDense found.
func (s Sites) Variant(off int64) Kind {
	v := s[off>>6] >> (off & 63)
	if sh := off & 63; sh > 60 {
		v |= s[off>>6+1] << (64 - sh)
	}
	return Kind(v >> 1 & 7)
}
