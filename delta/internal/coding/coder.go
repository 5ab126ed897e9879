// Package coding is the entropy coder of patches: an adaptive binary range coder in
// the manner of LZMA, with 16-bit probabilities, and models of integers on top of it.
//
// The patch body is one stream of binary decisions, each coded with a probability
// learned from the decisions before it.
//
// A [Coder] runs in one of two directions. Everything that describes the format
// calls it the same way in both: the encoder passes the value, the decoder
// passes zero and gets the value. So the two sides cannot drift apart.
package coding

import (
	"errors"
	"fmt"
	"io"
)

// ErrShort means that the body ends before all was decoded.
var ErrShort = errors.New("cut short")

// A Model is what was learned about one decision: two estimates of the chance of
// a zero in 1/65536, one slow to adapt and one quick, and how often it was asked,
// up to 7 times, so that young models learn fast. The chance used is their mean.
// They share a word, of 16, 13 and 3 bits; in the zero model both are one half.
type Model uint32

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
func (m Model) probability() uint32 {
	v := m ^ unknown
	return uint32(v>>16+v&quickBits) >> 1
}

// learn is told the bit as a mask: all ones for a zero, and 0 for a one. It is a
// small function: the compiler puts it where it is called.
func (m *Model) learn(zero uint32) {
	v := int32(*m ^ unknown)
	seen := min(v&seenBits+1, seenBits)
	to := int32(surelyOne + zero&(surelyZero-surelyOne))
	slow, quick := int32(uint32(v)>>16), v&quickBits
	slow += (to - slow) >> (seen & 31)
	quick += (to - quick) >> (min(seen, quickRate) & 31) &^ seenBits
	*m = Model(slow<<16|quick|seen) ^ unknown
}

// A Coder encodes when Encoding is set and decodes otherwise.
type Coder struct {
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
	Encoding bool
	out      []byte
	low      uint64
	cached   byte
	pending  int
}

// Written returns how many bytes of the body are known so far.
func (c *Coder) Written() int64 { return int64(len(c.out) + c.pending) }

func NewEncoder() *Coder {
	return &Coder{rng: 1<<32 - 1, Encoding: true}
}

// NewDecoder reads the patch body from r. Nothing but the body may follow.
func NewDecoder(r io.Reader) *Coder {
	c := &Coder{rng: 1<<32 - 1, in: r, buf: make([]byte, 0, 32<<10)}
	for range 4 {
		c.code = c.code<<8 | uint32(c.next())
	}
	return c
}

// next returns the next body byte; past the end it returns zeros and counts
// them, because the encoder leaves trailing zeros out.
func (c *Coder) next() byte {
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

func (c *Coder) refill() {
	c.pos, c.buf = 0, c.buf[:0]
	for c.inErr == nil && len(c.buf) == 0 {
		var n int
		n, c.inErr = c.in.Read(c.buf[:cap(c.buf)])
		c.buf = c.buf[:n]
	}
}

// Err reports a patch that ends early or cannot be read. A whole patch may
// leave out at most the zeros of the coder's last state.
func (c *Coder) Err() error {
	if c.inErr != nil && c.inErr != io.EOF {
		return fmt.Errorf("reading the delta: %w", c.inErr)
	}
	if c.over > 8 {
		return ErrShort
	}
	return nil
}

// Bit codes one decision.
//
// Which of two it is cannot be foreseen, least of all by a processor: so decoding
// computes the bit and does not branch on it. The loops that decode most of a
// patch have the same lines in them, because a call would cost as much again.
func (c *Coder) Bit(m *Model, b uint32) uint32 {
	if c.Encoding {
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
func finer(m, fine *Model) uint32 {
	p, q := int32(m.probability()), int32(fine.probability())
	return uint32(p + (q-p)*int32(*fine&seenBits)*3>>5)
}

// encode writes b, which is zero with probability p/65536.
func (c *Coder) encode(p, b uint32) {
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
func (c *Coder) normal(rng, code uint32) (uint32, uint32) {
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

// Raw codes the low n bits of v as they are, up to 8 at a time, the high ones first.
func (c *Coder) Raw(n int, v uint64) uint64 {
	var got uint64
	for n > 0 {
		k := min(n, 8)
		n -= k
		c.rng >>= k
		if c.Encoding {
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
	if c.Encoding {
		return v
	}
	return got
}

// shift moves the top byte of low out, holding back what a carry may change.
func (c *Coder) shift() {
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

// Finish ends the encoding and returns the body without trailing zeros.
func (c *Coder) Finish() []byte {
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

// Tree codes an n-bit symbol, its high bit first, each bit in the light of the
// bits above it. It needs 1<<n models.
func (c *Coder) Tree(m []Model, n int, v uint32) uint32 {
	m = m[:1<<n]
	node := uint32(1)
	if c.Encoding {
		for n--; n >= 0; n-- {
			node = node<<1 | c.Bit(&m[node], v>>n&1)
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

// Tree2 is tree for 8 bits of which a plain and a finer set of models know.
func (c *Coder) Tree2(m, fine *[256]Model, v byte) byte {
	node := uint32(1)
	if c.Encoding {
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
