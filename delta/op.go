package delta

import (
	"math/bits"

	"github.com/theseus-go/theseus/delta/internal/coding"
)

// An op says that n bytes at new come from the n bytes at old. Ops are sorted
// by new and do not overlap there; what lies between them is new data.
type op struct{ old, new, n int64 }

// opCoder holds the models of the list of ops. An op's place in the old file is
// coded as a step from where one of the ops before would go on: a detour most
// often returns close to an alignment that was in force.
type opCoder struct {
	count coding.Number
	gap   [opRecent]coding.Number // new bytes since the op before
	from  [2][8]coding.Model      // which op before: tree of 3 bits
	step  [2][opRecent]coding.Signed
	n     [opRecent]coding.Number

	recent [opRecent]int64 // alignments: old - new of the ops before, the last first
}

const opRecent = 8

// nearest returns which recent alignment the one given is cheapest to reach from.
func (m *opCoder) nearest(shift int64) int {
	best, cost := 0, 99
	for i, s := range m.recent {
		d := shift - s
		if c := bits.Len64(uint64(max(d, -d))) + min(i, 2); c < cost {
			best, cost = i, c
		}
	}
	return best
}

func (m *opCoder) use(shift int64, from int) {
	// What was near is replaced, what was far joins.
	copy(m.recent[1:from+1], m.recent[:from])
	m.recent[0] = shift
}

// maxOps bounds what a patch can make its reader allocate: 24 bytes an op.
func maxOps(newSize int64) uint64 { return uint64(newSize)/128 + 256 }

// codeOps codes the list. Decoding, it checks that every op lies within both files.
func codeOps(c *coding.Coder, ops []op, oldSize, newSize int64) ([]op, error) {
	var m opCoder
	count := c.Number(&m.count, uint64(len(ops)))
	if count > maxOps(newSize) {
		return nil, damaged("%d copies for %d bytes", count, newSize)
	}
	if !c.Encoding {
		ops = make([]op, 0, count)
	}
	var prev op
	from := 0
	for i := range int(count) {
		var o op
		if c.Encoding {
			o = ops[i]
		}
		end := prev.new + prev.n
		gap := int64(c.Number(&m.gap[from], uint64(o.new-end)))
		if gap < 0 || gap > newSize-end {
			return nil, damaged("copy %d lies outside", i)
		}
		o.new = end + gap
		shift := o.old - o.new
		ctx := bit(gap > 0)
		if c.Encoding {
			from = m.nearest(shift)
		}
		from = int(c.Tree(m.from[ctx][:], 3, uint32(from)))
		step := c.Signed(&m.step[ctx][from], shift-m.recent[from])
		if step < -maxFile || step > maxFile {
			return nil, damaged("copy %d lies outside", i)
		}
		shift = m.recent[from] + step
		if far := step < -farStep || step > farStep; far {
			m.use(shift, opRecent-1)
		} else {
			m.use(shift, from)
		}
		o.old = o.new + shift
		o.n = int64(c.Number(&m.n[from], uint64(o.n)))
		if o.n <= 0 || o.n > newSize-o.new || o.old < 0 || o.old > oldSize || o.n > oldSize-o.old {
			return nil, damaged("copy %d lies outside", i)
		}
		if !c.Encoding {
			if err := c.Err(); err != nil {
				return nil, err
			}
			ops = append(ops, o)
		}
		prev = o
	}
	return ops, nil
}

// farStep is how far an alignment may move and still count as the same one.
const farStep = 1 << 12
