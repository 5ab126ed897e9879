package delta

import (
	"math/bits"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// Novel bytes are those of the new file that no copy covers. They are coded
// with a Lempel-Ziv model over the novel bytes before them: literals, matches
// of a length at a distance, and repetitions of the last distances.

const (
	novelWindow = 4 << 20 // how far back a match may reach
	matchMin    = 3
	maxMatch    = 1 << 16
	fineBits    = 18
)

// novelCoder is the state that both directions share.
type novelCoder struct {
	hist []byte // ring, grows to novelWindow; before all that has no pointers

	isMatch  [4][executable.Places]coding.Model
	isRepeat [4]coding.Model
	which    [4]coding.Model // tree of 2 bits: which of the last distances
	length   [2]coding.Number
	distance [3]coding.Number
	literal  [executable.Places][256][256]coding.Model
	matched  [2][512]coding.Model
	plain    [executable.Places][256]coding.Model

	// Of what is packed or encrypted no model knows anything, and learning that
	// again for each byte has a price: there literals are coded as they are.
	stored   [2]coding.Model // by whether the block before is
	literals int64
	isStored bool // the block of literals under way

	n    int64 // novel bytes so far
	last [4]uint32
	kind int // of the last three tokens, one bit each for match

	// What is left of the match under way, and the copy's distance.
	left int
	dist uint32
}

func (z *novelCoder) put(b byte) {
	if len(z.hist) < novelWindow {
		z.hist = append(z.hist, b)
	} else {
		z.hist[z.n%novelWindow] = b
	}
	z.n++
}

// back returns the byte d places back; 1 is the last one.
func (z *novelCoder) back(d uint32) byte {
	return z.hist[(z.n-int64(d))%novelWindow]
}

// A token is one decision of the Lempel-Ziv model. Length 0 is a literal.
type token struct {
	length   int
	distance uint32
	stored   bool // with a literal: its block is stored
}

// token codes one token; lit is the literal's value. It leaves the match, or a
// literal as a "match" of nothing, for the caller to put.
func (z *novelCoder) token(c *coding.Coder, where executable.Place, t token, lit byte) (token, byte, error) {
	st := z.kind & 3
	if c.Bit(&z.isMatch[st][where], bit(t.length > 0)) == 0 {
		prev := byte(0)
		if z.n > 0 {
			prev = z.back(1)
		}
		lit = z.literalByte(c, where, prev, lit, t.stored)
		z.kind = z.kind << 1 & 3
		return token{}, lit, nil
	}
	var length, distance uint64
	rep := -1
	if c.Encoding {
		for i, d := range z.last {
			if d == t.distance {
				rep = i
				break
			}
		}
	}
	if c.Bit(&z.isRepeat[st], bit(rep >= 0)) != 0 {
		rep = int(c.Tree(z.which[:], 2, uint32(rep)&3))
		length = c.Number(&z.length[1], uint64(t.length-1)) + 1
		distance = uint64(z.last[rep])
		copy(z.last[1:rep+1], z.last[:rep])
	} else {
		length = c.Number(&z.length[0], uint64(t.length-matchMin)) + matchMin
		distance = c.Number(&z.distance[min(length-matchMin, 2)], uint64(t.distance-1)) + 1
		copy(z.last[1:], z.last[:3])
	}
	if length-1 >= maxMatch || distance-1 >= uint64(min(z.n, novelWindow)) && !c.Encoding {
		return token{}, 0, damaged("match distance out of range")
	}
	z.last[0] = uint32(distance)
	z.kind = (z.kind<<1 | 1) & 3
	return token{length: int(length), distance: uint32(distance)}, 0, nil
}

// storedBlock is how many literals are stored, or not, together.
const storedBlock = 4096

func (z *novelCoder) literalByte(c *coding.Coder, where executable.Place, prev, v byte, stored bool) byte {
	if z.literals%storedBlock == 0 {
		z.isStored = c.Bit(&z.stored[bit(z.isStored)], bit(stored)) != 0
	}
	z.literals++
	if z.isStored {
		return byte(c.Raw(8, uint64(v)))
	}
	if z.kind&1 != 0 && z.last[0] != 0 && int64(z.last[0]) <= z.n {
		// After a match the byte that would have continued it is the likely wrong one.
		m := uint32(z.back(z.last[0]))
		node := uint32(1)
		for i := 7; i >= 0; i-- {
			mb := m >> i & 1
			node = node<<1 | c.Bit(&z.matched[mb][node], uint32(v)>>i&1)
			if node&1 != mb {
				if i == 0 {
					break
				}
				// Off the path: the rest as an ordinary literal.
				t := z.literal[where][prev][:]
				for i--; i >= 0; i-- {
					node = node<<1 | c.Bit(&t[node], uint32(v)>>i&1)
				}
				break
			}
		}
		return byte(node)
	}
	return c.Tree2(&z.plain[where], &z.literal[where][prev], v)
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// decode decodes len(dst) novel bytes that will lie at pos.
func (z *novelCoder) decode(c *coding.Coder, dst []byte, l *executable.Layout, pos int64) error {
	for i := 0; i < len(dst); {
		if z.left == 0 {
			t, b, err := z.token(c, l.Place(pos+int64(i)), token{}, 0)
			if err != nil {
				return err
			}
			if t.length == 0 {
				dst[i] = b
				z.put(b)
				i++
				continue
			}
			z.left, z.dist = t.length, t.distance
		}
		for ; i < len(dst) && z.left > 0; i++ {
			b := z.back(z.dist)
			dst[i] = b
			z.put(b)
			z.left--
		}
	}
	return c.Err()
}

// novelTokens chooses the tokens for all novel bytes of a file: greedily, one
// byte of foresight, repetitions preferred.
func novelTokens(b []byte) []token {
	const (
		hashBits = 18
		tries    = 96
	)
	var (
		tokens []token
		head   = make([]int32, 1<<hashBits)
		chain  = make([]int32, len(b))
		last   [4]uint32
	)
	for i := range head {
		head[i] = -1
	}
	hash := func(i int) uint32 {
		return (uint32(b[i]) | uint32(b[i+1])<<8 | uint32(b[i+2])<<16) * 2654435761 >> (32 - hashBits)
	}
	filled := 0
	fill := func(to int) {
		for ; filled < to && filled+2 < len(b); filled++ {
			h := hash(filled)
			chain[filled] = head[h]
			head[h] = int32(filled)
		}
	}
	// worth is roughly the number of bits a match saves over literals.
	worth := func(n int, d uint32, repeat bool) int {
		if n == 0 {
			return 0
		}
		if repeat {
			return n*6 - 8
		}
		return n*6 - 12 - bits.Len32(d)
	}
	find := func(i int) (best token, gain int) {
		for _, d := range last {
			if d == 0 || int(d) > i {
				continue
			}
			if n := min(matchLength(b[i-int(d):], b[i:]), maxMatch); n >= 2 {
				if w := worth(n, d, true); w > gain {
					best, gain = token{length: n, distance: d}, w
				}
			}
		}
		fill(i)
		if i+matchMin > len(b) {
			return best, gain
		}
		for j, t := head[hash(i)], 0; j >= 0 && t < tries && i-int(j) <= novelWindow; j, t = chain[j], t+1 {
			if best.length > 0 && (i+best.length >= len(b) || b[int(j)+best.length] != b[i+best.length]) {
				continue
			}
			n := min(matchLength(b[j:], b[i:]), maxMatch)
			if n < matchMin {
				continue
			}
			d := uint32(i - int(j))
			if w := worth(n, d, false); w > gain {
				best, gain = token{length: n, distance: d}, w
			}
		}
		return best, gain
	}
	for i := 0; i < len(b); {
		t, gain := find(i)
		if t.length > 0 && t.length < 64 && i+1 < len(b) {
			if t2, gain2 := find(i + 1); gain2 > gain+6 && t2.length > 0 {
				t.length = 0
			}
		}
		if t.length == 0 {
			t = token{}
		}
		tokens = append(tokens, t)
		if t.length == 0 {
			i++
			continue
		}
		r := 3
		for k, d := range last {
			if d == t.distance {
				r = k
				break
			}
		}
		copy(last[1:r+1], last[:r])
		last[0] = t.distance
		i += t.length
	}
	return tokens
}

// storeBlocks marks the literals among the tokens of b whose blocks are stored:
// those in which all bytes are about as frequent. A block that is not full is not.
func storeBlocks(b []byte, tokens []token) {
	// The sum of the squares of how often each byte is there, if all are random; a
	// tenth more is 7.9 bits a byte.
	const random = storedBlock*storedBlock/256 + storedBlock
	var block []int // its literals, as indices of tokens
	var count [256]int
	at := 0
	for i, t := range tokens {
		if t.length > 0 {
			at += t.length
			continue
		}
		count[b[at]]++
		at++
		if block = append(block, i); len(block) < storedBlock {
			continue
		}
		squares := 0
		for _, c := range count {
			squares += c * c
		}
		for _, i := range block {
			tokens[i].stored = squares < random+random/10
		}
		block, count = block[:0], [256]int{}
	}
}

// matchLength returns how many bytes a and b have in common at their start.
func matchLength(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := le.Uint64(a[i:]) ^ le.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)>>3
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
