package coding

import "math/bits"

// A Number models an unsigned integer: how many bits it has, then its bits
// below the leading one. Short numbers are modelled whole; of long ones the
// top three bits, and the low three, which show alignment.
type Number struct {
	width [16]Model // bits, 15 for more
	wide  [64]Model // bits less 15
	low   [6][32]Model
	top   [65][8]Model
	tail  [65][8]Model
}

func (c *Coder) Number(m *Number, v uint64) uint64 {
	w := bits.Len64(v)
	if n := c.Tree(m.width[:], 4, uint32(min(w, 15))); n < 15 {
		w = int(n)
	} else {
		w = 15 + int(c.Tree(m.wide[:], 6, uint32(w-15)))
	}
	switch {
	case w <= 1:
		return uint64(w)
	case w <= 6:
		return 1<<(w-1) | uint64(c.Tree(m.low[w-1][:], w-1, uint32(v)&(1<<(w-1)-1)))
	case w > 64:
		return 1<<64 - 1 // only a damaged patch says so
	}
	n := w - 4 // bits below the top three
	got := 8 | uint64(c.Tree(m.top[w][:], 3, uint32(v>>n)&7))
	if n > 3 {
		got = got<<(n-3) | c.Raw(n-3, v>>3&(1<<(n-3)-1))
		return got<<3 | uint64(c.Tree(m.tail[w][:], 3, uint32(v)&7))
	}
	return got<<n | c.Raw(n, v&(1<<n-1))
}

// A Signed models an integer by its magnitude and sign.
type Signed struct {
	magnitude Number
	sign      [8]Model
}

func (c *Coder) Signed(m *Signed, v int64) int64 {
	a, s := uint64(v), uint32(0)
	if v < 0 {
		a, s = -a, 1
	}
	a = c.Number(&m.magnitude, a)
	if a == 0 {
		return 0
	}
	if c.Bit(&m.sign[min(bits.Len64(a), 7)], s) != 0 {
		return -int64(a)
	}
	return int64(a)
}
