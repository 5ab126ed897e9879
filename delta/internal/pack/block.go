package pack

import (
	"math/bits"
	"slices"
)

const (
	endOfBlock = 256
	symbols    = 286 // literals, the end, codes of lengths
	distances  = 30  // codes of distances
	maxBits    = 15
)

// A block is tokens, and how often each symbol occurs in them.
type block struct {
	tokens   []token
	symbol   [symbols]uint32
	distance [distances]uint32

	// What makeCodes makes of them: codes, how many of them are written, and the code lengths of both in a row, plain
	// and as runs, which have a code too.
	codes
	nSymbols, nDistances, nRuns int

	merger
	lengths, runs []byte
	runCount      [runSymbols]uint32
	runCode       [runSymbols]code
}

func (b *block) reset() {
	b.tokens = b.tokens[:0]
	clear(b.symbol[:])
	clear(b.distance[:])
}

func (b *block) literals(bytes []byte) {
	b.reset()
	b.add(bytes)
}

func (b *block) add(literals []byte) {
	for _, c := range literals {
		b.tokens = append(b.tokens, token(c))
		b.symbol[c]++
	}
}

func (b *block) match(length, distance int) {
	t := match | token(length-3)<<16 | token(distance-1)
	b.tokens = append(b.tokens, t)
	b.symbol[257+int(lengthCodes[t.length()])]++
	c, _ := distanceCode(t.distance())
	b.distance[c]++
}

// lengthExtra is how many bits follow the code of a length, and lengthCodes which code a length less 3 has; lengthBase
// is the first one of each.
var (
	lengthExtra = [29]uint8{8: 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5}
	lengthBase  = func() (base [29]uint32) {
		for i := 1; i < 28; i++ {
			base[i] = base[i-1] + 1<<lengthExtra[i-1]
		}
		base[28] = 255
		return base
	}()
	lengthCodes = func() (codes [256]uint8) {
		for i := range codes {
			for c, base := range lengthBase {
				if uint32(i) >= base {
					codes[i] = uint8(c)
				}
			}
		}
		return codes
	}()
)

// distanceCode returns the code of a distance less 1 and how many bits follow: the bits of the distance below its two
// highest.
func distanceCode(d uint32) (c, extra uint32) {
	if d < 4 {
		return d, 0
	}
	extra = uint32(bits.Len32(d)) - 2
	return 2*extra + d>>extra, extra
}

// runSymbols are those that code lengths are written with: a length, or a run of the length before or of zeros. They
// are written in runOrder.
const runSymbols = 19

var (
	runOrder = [runSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	runExtra = [runSymbols]uint8{16: 2, 17: 3, 18: 7}
)

// write writes the block, whose bytes are given, with codes of its own.
func (b *block) write(w *bitWriter, bytes []byte) {
	// The bits that follow a code count for neither way.
	header := b.makeCodes()
	size := header + sizeOf(b.symbolCode[:], b.symbol[:]) + sizeOf(b.distanceCode[:], b.distance[:])
	if storedSize(bytes) < size+size>>4 {
		w.stored(bytes, false)
		return
	}
	b.writeHeader(w)
	b.writeTokens(w, &b.codes)
	w.code(b.symbolCode[endOfBlock])
}

// storedSize is how many bits the bytes take as they are.
func storedSize(bytes []byte) int { return (len(bytes) + 5) * 8 }

// codes are the codes of symbols and of distances.
type codes struct {
	symbolCode   [symbols]code
	distanceCode [distances]code
}

// makeCodes makes the codes that suit the block, and returns how many bits its header takes.
func (b *block) makeCodes() int {
	b.symbol[endOfBlock] = 1
	if max := slices.Max(b.distance[:]); max == 0 {
		b.distance[0] = 1 // a code without any symbol cannot be written
	}
	b.makeCode(b.symbolCode[:], b.symbol[:], maxBits)
	b.makeCode(b.distanceCode[:], b.distance[:], maxBits)
	b.nSymbols, b.nDistances = len(b.symbol), len(b.distance)
	for b.symbol[b.nSymbols-1] == 0 {
		b.nSymbols--
	}
	for b.distance[b.nDistances-1] == 0 {
		b.nDistances--
	}
	b.lengths = b.lengths[:0]
	for _, c := range b.symbolCode[:b.nSymbols] {
		b.lengths = append(b.lengths, c.length)
	}
	for _, c := range b.distanceCode[:b.nDistances] {
		b.lengths = append(b.lengths, c.length)
	}
	b.makeRuns()
	b.makeCode(b.runCode[:], b.runCount[:], 7)
	b.nRuns = runSymbols
	for b.nRuns > 4 && b.runCount[runOrder[b.nRuns-1]] == 0 {
		b.nRuns--
	}
	size := 3 + 5 + 5 + 4 + 3*b.nRuns + sizeOf(b.runCode[:], b.runCount[:])
	for s, n := range b.runCount {
		size += int(n) * int(runExtra[s])
	}
	return size
}

func (b *block) writeHeader(w *bitWriter) {
	w.write(2<<1, 3)
	w.write(uint32(b.nSymbols-257), 5)
	w.write(uint32(b.nDistances-1), 5)
	w.write(uint32(b.nRuns-4), 4)
	for _, s := range runOrder[:b.nRuns] {
		w.write(uint32(b.runCode[s].length), 3)
	}
	for i := 0; i < len(b.runs); i++ {
		s := b.runs[i]
		w.code(b.runCode[s])
		if runExtra[s] != 0 {
			i++
			w.write(uint32(b.runs[i]), uint(runExtra[s]))
		}
	}
}

// writeTokens writes all but the end of the block.
func (b *block) writeTokens(w *bitWriter, with *codes) {
	for _, t := range b.tokens {
		if t&match == 0 {
			w.code(with.symbolCode[t])
			continue
		}
		n, d := t.length(), t.distance()
		c := lengthCodes[n]
		w.code(with.symbolCode[257+int(c)])
		w.write(n-lengthBase[c], uint(lengthExtra[c]))
		dc, extra := distanceCode(d)
		w.code(with.distanceCode[dc])
		w.write(d&(1<<extra-1), uint(extra))
	}
}

// makeRuns writes lengths as runs, with what follows 16, 17 and 18, and counts them.
func (b *block) makeRuns() {
	b.runs = b.runs[:0]
	clear(b.runCount[:])
	put := func(s byte, more ...byte) {
		b.runs = append(append(b.runs, s), more...)
		b.runCount[s]++
	}
	for i := 0; i < len(b.lengths); {
		length, n := b.lengths[i], 1
		for i+n < len(b.lengths) && b.lengths[i+n] == length {
			n++
		}
		i += n
		if length != 0 {
			put(length)
			for n--; n >= 3; {
				k := min(n, 6)
				put(16, byte(k-3))
				n -= k
			}
		} else {
			for n >= 11 {
				k := min(n, 138)
				put(18, byte(k-11))
				n -= k
			}
			if n >= 3 {
				put(17, byte(n-3))
				n = 0
			}
		}
		for ; n > 0; n-- {
			put(length)
		}
	}
}

// A code is a Huffman code, its bits in the order in which they are written.
type code struct {
	bits   uint16
	length uint8
}

func sizeOf(codes []code, counts []uint32) (n int) {
	for i, k := range counts {
		n += int(k) * int(codes[i].length)
	}
	return n
}

// makeCode makes the canonical code of the shortest lengths up to most (RFC 1951, 3.2.2).
func (m *merger) makeCode(codes []code, counts []uint32, most int) {
	clear(codes)
	m.order = m.order[:0] // symbols that occur, the rarest first
	for s, n := range counts {
		if n != 0 {
			m.order = append(m.order, uint64(n)<<16|uint64(s))
		}
	}
	if len(m.order) <= 2 {
		for i, s := range m.order {
			codes[uint16(s)] = code{uint16(i), 1}
		}
		return
	}
	slices.Sort(m.order)
	rest := m.order
	for length, n := range m.lengths(min(most, len(rest)-1)) {
		for _, s := range rest[len(rest)-n:] {
			codes[uint16(s)].length = uint8(length)
		}
		rest = rest[:len(rest)-n]
	}
	assign(codes)
}

// assign gives the codes their bits by their lengths.
func assign(codes []code) {
	var next [maxBits + 2]uint16
	for _, c := range codes {
		if c.length > 0 {
			next[c.length+1]++
		}
	}
	for length := 1; length < len(next); length++ {
		next[length] = (next[length] + next[length-1]) << 1
	}
	for s := range codes {
		if n := codes[s].length; n != 0 {
			codes[s].bits = bits.Reverse16(next[n] << (16 - n))
			next[n]++
		}
	}
}

// A merger chooses the lengths of codes by the package-merge algorithm (Larmore and Hirschberg, 1990).
type merger struct {
	order   []uint64 // symbols below their weights, which rise
	items   [2][2 * symbols]uint64
	isLeaf  [maxBits][2 * symbols]bool // for each level
	perBits [maxBits + 1]int
}

// lengths returns how many codes there are of each length, at most most bits. There are three symbols or more. Of a
// leaf and a package of the same weight the package comes first: which of the shortest codes it is hangs on that.
func (m *merger) lengths(most int) []int {
	n := len(m.order)
	weight := func(i int) uint64 { return m.order[i] >> 16 }
	wanted := 2*n - 2 // items of a level; the others are never used
	below, level := m.items[0][:n], m.items[1][:0]
	for i := range below {
		below[i] = weight(i)
		m.isLeaf[0][i] = true
	}
	for k := 1; k < most; k++ {
		leaf, pair := 0, 0
		for len(level) < wanted && (leaf < n || pair+1 < len(below)) {
			if pair+1 < len(below) && (leaf == n || weight(leaf) >= below[pair]+below[pair+1]) {
				m.isLeaf[k][len(level)] = false
				level = append(level, below[pair]+below[pair+1])
				pair += 2
			} else {
				m.isLeaf[k][len(level)] = true
				level = append(level, weight(leaf))
				leaf++
			}
		}
		below, level = level, below[:0]
	}
	// The first items of the last level, and what their packages are made of: in how many levels a symbol is one of
	// those, that is its length.
	out := m.perBits[:most+1]
	clear(out)
	take, before := wanted, 0
	for k := most - 1; k >= 0; k-- {
		leaves := 0
		for _, leaf := range m.isLeaf[k][:take] {
			if leaf {
				leaves++
			}
		}
		if k < most-1 {
			out[most-k-1] = before - leaves
		}
		before = leaves
		take = 2 * (take - leaves)
	}
	out[most] = before
	return out
}
