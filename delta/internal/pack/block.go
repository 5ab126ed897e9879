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

	// What makeCodes makes of them: codes, how many of them are written, and the code
	// lengths of both in a row, plain and as runs, which have a code too.
	codes
	nSymbols, nDistances, nRuns int

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

// lengthExtra is how many bits follow the code of a length, and lengthCodes which
// code a length less 3 has; lengthBase is the first one of each.
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

// distanceCode returns the code of a distance less 1 and how many bits follow: the
// bits of the distance below its two highest.
func distanceCode(d uint32) (c, extra uint32) {
	if d < 4 {
		return d, 0
	}
	extra = uint32(bits.Len32(d)) - 2
	return 2*extra + d>>extra, extra
}

// runSymbols are those that code lengths are written with: a length, or a run of the
// length before or of zeros. They are written in runOrder.
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
	makeCode(b.symbolCode[:], b.symbol[:], maxBits)
	makeCode(b.distanceCode[:], b.distance[:], maxBits)
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
	makeCode(b.runCode[:], b.runCount[:], 7)
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
func makeCode(codes []code, counts []uint32, most int) {
	clear(codes)
	order := make([]int, 0, symbols) // symbols that occur, the rarest first
	for s, n := range counts {
		if n != 0 {
			order = append(order, s)
		}
	}
	if len(order) <= 2 {
		for i, s := range order {
			codes[s] = code{uint16(i), 1}
		}
		return
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(counts[a]) - int(counts[b]) })
	weights := make([]int, len(order))
	for i, s := range order {
		weights[i] = int(counts[s])
	}
	perLength := codeLengths(weights, min(most, len(order)-1))
	rest := order
	for length, n := range perLength {
		for _, s := range rest[len(rest)-n:] {
			codes[s].length = uint8(length)
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

// codeLengths returns how many codes there are of each length, at most most bits: the
// package-merge algorithm (Larmore and Hirschberg, 1990). weights rise, and there are
// three or more. Of a leaf and a package of the same weight the package comes first:
// which of the shortest codes it is hangs on that.
func codeLengths(weights []int, most int) []int {
	n := len(weights)
	// lists[i] is the list of level i: for each item whether it is a leaf.
	lists := make([][]bool, most)
	items := slices.Clone(weights) // of the level below
	lists[0] = slices.Repeat([]bool{true}, n)
	for level := 1; level < most; level++ {
		var merged []int
		var leaf []bool
		w := weights
		for i := 0; i+1 < len(items) || len(w) > 0; {
			if i+1 < len(items) && (len(w) == 0 || w[0] >= items[i]+items[i+1]) {
				merged, leaf = append(merged, items[i]+items[i+1]), append(leaf, false)
				i += 2
			} else {
				merged, leaf = append(merged, w[0]), append(leaf, true)
				w = w[1:]
			}
		}
		items, lists[level] = merged, leaf
	}
	// The first 2n-2 items of the last level, and what their packages are made of: a
	// symbol's length is in how many levels it is one of those.
	counts := make([]int, most+1)
	take := 2*n - 2
	for level := most - 1; level >= 0; level-- {
		leaves := 0
		for _, leaf := range lists[level][:take] {
			if leaf {
				leaves++
			}
		}
		counts[most-level] = leaves
		take = 2 * (take - leaves)
	}
	// counts[k] symbols are in k levels or more: the last level has all of them.
	out := make([]int, most+1)
	for k := 1; k <= most; k++ {
		out[k] = counts[k]
		if k < most {
			out[k] -= counts[k+1]
		}
	}
	return out
}
