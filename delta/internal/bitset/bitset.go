package bitset

import "math/bits"

type bitset []uint64

func NewBitset(n int) bitset    { return make(bitset, (n+63)/64) }
func (s bitset) Has(i int) bool { return s[i>>6]>>(i&63)&1 != 0 }
func (s bitset) Set(i int)      { s[i>>6] |= 1 << (i & 63) }

// Next returns the first member at i or after it; past the last one, something
// not less than the set's size.
func (s bitset) Next(i int) int {
	for ; i>>6 < len(s); i = (i | 63) + 1 {
		if w := s[i>>6] >> (i & 63); w != 0 {
			return i + bits.TrailingZeros64(w)
		}
	}
	return len(s) * 64
}
