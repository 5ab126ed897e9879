package delta

import (
	"fmt"
	"io"
	"math/bits"
)

// The patch body is one stream of binary decisions, each coded with a
// probability learned from the decisions before it (an adaptive binary range
// coder in the manner of LZMA, with 16-bit probabilities).
//
// A coder runs in one of two directions. Everything that describes the format
// calls it the same way in both: the encoder passes the value, the decoder
// passes zero and gets the value. So the two sides cannot drift apart.

// A model is what was learned about one decision: two estimates of the chance of
// a zero in 1/65536, one slow to adapt and one quick, and how often it was asked,
// up to 7 times, so that young models learn fast. The chance used is their mean.
// They share a word, of 16, 13 and 3 bits; in the zero model both are one half.
type model uint32

const (
	unknown   = 1<<31 | 1<<15
	quickBits = 1<<16 - 1<<3
	seenBits  = 1<<3 - 1

	quickRate = 4

	// What the estimates go to. They do not get there, so that no bit is without
	// a chance: the mean stays between 67 and 65408.
	surelyOne  = 71
	surelyZero = 1<<16 - 1
)

// probability returns the chance of a zero in 1/65536.
func (m model) probability() uint32 {
	v := m ^ unknown
	return uint32(v>>16+v&quickBits) >> 1
}

// learn is told the bit as a mask: all ones for a zero, and 0 for a one. It is a
// small function: the compiler puts it where it is called.
func (m *model) learn(zero uint32) {
	v := int32(*m ^ unknown)
	seen := min(v&seenBits+1, seenBits)
	to := int32(surelyOne + zero&(surelyZero-surelyOne))
	slow, quick := int32(uint32(v)>>16), v&quickBits
	slow += (to - slow) >> (seen & 31)
	quick += (to - quick) >> (min(seen, quickRate) & 31) &^ seenBits
	*m = model(slow<<16|quick|seen) ^ unknown
}

// coder encodes when out is set and decodes otherwise.
type coder struct {
	rng uint32

	// Decoding.
	in    io.Reader
	buf   []byte
	pos   int
	code  uint32
	over  int // bytes asked for past the end of the patch
	inErr error

	// Encoding: low is a 33-bit number whose carry may still ripple into the
	// bytes held back: one cached byte and a run of 0xff.
	encoding bool
	out      []byte
	low      uint64
	cached   byte
	pending  int

	parts   [parts]int64 // bytes written for each part of the body
	counted int64
}

// A part of the body, for Stats.
type part uint8

const (
	partLayout part = iota
	partCopies
	partRuns
	partResidue
	partNovel
	parts
)

// account puts what was encoded since the last call down to p.
func (c *coder) account(p part) {
	n := int64(len(c.out) + c.pending)
	c.parts[p] += n - c.counted
	c.counted = n
}

func newEncoder() *coder {
	return &coder{rng: 1<<32 - 1, encoding: true}
}

// newDecoder reads the patch body from r. Nothing but the body may follow.
func newDecoder(r io.Reader) *coder {
	c := &coder{rng: 1<<32 - 1, in: r, buf: make([]byte, 0, 32<<10)}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

// next returns the next body byte; past the end it returns zeros and counts
// them, because the encoder leaves trailing zeros out.
func (c *coder) next() byte {
	if c.pos == len(c.buf) {
		c.refill()
		if c.pos == len(c.buf) {
			c.over++
			return 0
		}
	}
	b := c.buf[c.pos]
	c.pos++
	return b
}

func (c *coder) refill() {
	c.pos, c.buf = 0, c.buf[:0]
	for c.inErr == nil && len(c.buf) == 0 {
		var n int
		n, c.inErr = c.in.Read(c.buf[:cap(c.buf)])
		c.buf = c.buf[:n]
	}
}

// err reports a patch that ends early or cannot be read. A whole patch may
// leave out at most the zeros of the coder's last state.
func (c *coder) err() error {
	if c.inErr != nil && c.inErr != io.EOF {
		return fmt.Errorf("reading the delta: %w", c.inErr)
	}
	if c.over > 8 {
		return damaged("cut short")
	}
	return nil
}

// bit codes one decision.
//
// Which of two it is cannot be foreseen, least of all by a processor: so decoding
// computes the bit and does not branch on it. The loops that decode most of a
// patch have the same lines in them, because a call would cost as much again.
func (c *coder) bit(m *model, b uint32) uint32 {
	if c.encoding {
		c.encode(m.probability(), b)
		m.learn(b - 1)
		return b
	}
	bound := (c.rng >> 16) * m.probability()
	zero := uint32(int64(uint64(c.code)-uint64(bound)) >> 63) // all ones if code < bound
	c.rng = bound&zero | (c.rng-bound)&^zero
	c.code -= bound &^ zero
	if c.rng < 1<<24 {
		c.rng, c.code = c.normal(c.rng, c.code)
	}
	m.learn(zero)
	return zero + 1
}

// finer is what a plain and a finer model say together: the finer one counts the
// more, the more often it was asked.
func finer(m, fine *model) uint32 {
	p, q := int32(m.probability()), int32(fine.probability())
	return uint32(p + (q-p)*int32(*fine&seenBits)*3>>5)
}

// encode writes b, which is zero with probability p/65536.
func (c *coder) encode(p, b uint32) {
	bound := (c.rng >> 16) * p
	if b == 0 {
		c.rng = bound
	} else {
		c.low += uint64(bound)
		c.rng -= bound
	}
	for c.rng < 1<<24 {
		c.rng <<= 8
		c.shift()
	}
}

// normal reads on until rng is large enough again.
func (c *coder) normal(rng, code uint32) (uint32, uint32) {
	for rng < 1<<24 {
		rng <<= 8
		if c.pos < len(c.buf) {
			code = code<<8 | uint32(c.buf[c.pos])
			c.pos++
		} else {
			code = code<<8 | uint32(c.next())
		}
	}
	return rng, code
}

// raw codes the low n bits of v as they are, up to 8 at a time, the high ones first.
func (c *coder) raw(n int, v uint64) uint64 {
	var got uint64
	for n > 0 {
		k := min(n, 8)
		n -= k
		c.rng >>= k
		if c.encoding {
			c.low += uint64(c.rng) * (v >> n & (1<<k - 1))
			for c.rng < 1<<24 {
				c.rng <<= 8
				c.shift()
			}
			continue
		}
		// What was cut off rng may let code reach beyond the last value; only a damaged patch does.
		some := min(c.code/c.rng, 1<<k-1)
		c.code -= some * c.rng
		got = got<<k | uint64(some)
		c.rng, c.code = c.normal(c.rng, c.code)
	}
	if c.encoding {
		return v
	}
	return got
}

// shift moves the top byte of low out, holding back what a carry may change.
func (c *coder) shift() {
	if c.low < 0xff<<24 || c.low >= 1<<32 {
		carry := byte(c.low >> 32)
		if c.pending > 0 {
			c.out = append(c.out, c.cached+carry)
			for ; c.pending > 1; c.pending-- {
				c.out = append(c.out, 0xff+carry)
			}
		}
		c.pending = 0
		c.cached = byte(c.low >> 24)
	}
	c.pending++
	c.low = c.low & (1<<24 - 1) << 8
}

// finish ends the encoding and returns the body without trailing zeros.
func (c *coder) finish() []byte {
	// Any number in [low, low+rng) will do: take the one with most zeros.
	for n := 32; n > 0; n -= 8 {
		mask := uint64(1)<<n - 1
		if v := (c.low + mask) &^ mask; v < c.low+uint64(c.rng) {
			c.low = v
			break
		}
	}
	for range 5 {
		c.shift()
	}
	for len(c.out) > 0 && c.out[len(c.out)-1] == 0 {
		c.out = c.out[:len(c.out)-1]
	}
	return c.out
}

// tree codes an n-bit symbol, its high bit first, each bit in the light of the
// bits above it. It needs 1<<n models.
func (c *coder) tree(m []model, n int, v uint32) uint32 {
	m = m[:1<<n]
	node := uint32(1)
	if c.encoding {
		for n--; n >= 0; n-- {
			node = node<<1 | c.bit(&m[node], v>>n&1)
		}
		return node - uint32(len(m))
	}
	rng, code := c.rng, c.code
	for node < uint32(len(m)) {
		k := &m[node]
		bound := (rng >> 16) * k.probability()
		zero := uint32(int64(uint64(code)-uint64(bound)) >> 63)
		k.learn(zero)
		node = node<<1 | (zero + 1)
		rng = bound&zero | (rng-bound)&^zero
		code -= bound &^ zero
		if rng < 1<<24 {
			rng, code = c.normal(rng, code)
		}
	}
	c.rng, c.code = rng, code
	return node - uint32(len(m))
}

// tree2 is tree for 8 bits of which a plain and a finer set of models know.
func (c *coder) tree2(m, fine *[256]model, v byte) byte {
	node := uint32(1)
	if c.encoding {
		for i := 7; i >= 0; i-- {
			b := uint32(v) >> i & 1
			c.encode(finer(&m[node&255], &fine[node&255]), b)
			m[node&255].learn(b - 1)
			fine[node&255].learn(b - 1)
			node = node<<1 | b
		}
		return byte(node)
	}
	rng, code := c.rng, c.code
	for node < 256 {
		k, f := &m[node], &fine[node]
		bound := (rng >> 16) * finer(k, f)
		zero := uint32(int64(uint64(code)-uint64(bound)) >> 63)
		k.learn(zero)
		f.learn(zero)
		node = node<<1 | (zero + 1)
		rng = bound&zero | (rng-bound)&^zero
		code -= bound &^ zero
		if rng < 1<<24 {
			rng, code = c.normal(rng, code)
		}
	}
	c.rng, c.code = rng, code
	return byte(node)
}

// A number models an unsigned integer: how many bits it has, then its bits
// below the leading one. Short numbers are modelled whole; of long ones the
// top three bits, and the low three, which show alignment.
type number struct {
	width [16]model // bits, 15 for more
	wide  [64]model // bits less 15
	low   [6][32]model
	top   [65][8]model
	tail  [65][8]model
}

func (c *coder) number(m *number, v uint64) uint64 {
	w := bits.Len64(v)
	if n := c.tree(m.width[:], 4, uint32(min(w, 15))); n < 15 {
		w = int(n)
	} else {
		w = 15 + int(c.tree(m.wide[:], 6, uint32(w-15)))
	}
	switch {
	case w <= 1:
		return uint64(w)
	case w <= 6:
		return 1<<(w-1) | uint64(c.tree(m.low[w-1][:], w-1, uint32(v)&(1<<(w-1)-1)))
	case w > 64:
		return 1<<64 - 1 // only a damaged patch says so
	}
	n := w - 4 // bits below the top three
	got := 8 | uint64(c.tree(m.top[w][:], 3, uint32(v>>n)&7))
	if n > 3 {
		got = got<<(n-3) | c.raw(n-3, v>>3&(1<<(n-3)-1))
		return got<<3 | uint64(c.tree(m.tail[w][:], 3, uint32(v)&7))
	}
	return got<<n | c.raw(n, v&(1<<n-1))
}

// A signed models an integer by its magnitude and sign.
type signed struct {
	magnitude number
	sign      [8]model
}

func (c *coder) signed(m *signed, v int64) int64 {
	a, s := uint64(v), uint32(0)
	if v < 0 {
		a, s = -a, 1
	}
	a = c.number(&m.magnitude, a)
	if a == 0 {
		return 0
	}
	if c.bit(&m.sign[min(bits.Len64(a), 7)], s) != 0 {
		return -int64(a)
	}
	return int64(a)
}
