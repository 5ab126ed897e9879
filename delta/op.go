package delta

// An op says that n bytes at new come from the n bytes at old. Ops are sorted
// by new and do not overlap there; what lies between them is new data.
type op struct{ old, new, n int64 }

// opCoder holds the models of the list of ops.
type opCoder struct {
	gap   [2]number // bytes between the op before and this one, in the new file
	step  [3]signed // from the end of the op before to this one, in the old file
	same  [3]model  // step equals gap: the old file is where it was
	n     [2]number
	count number
}

// maxOps bounds what a patch can make its reader allocate: 24 bytes an op.
func maxOps(newSize int64) uint64 { return uint64(newSize)/128 + 256 }

// ops codes the list. Decoding, it checks that every op lies within both files.
func (c *coder) ops(ops []op, oldSize, newSize int64) ([]op, error) {
	var m opCoder
	count := c.number(&m.count, uint64(len(ops)))
	if count > maxOps(newSize) {
		return nil, damaged("%d copies for %d bytes", count, newSize)
	}
	if !c.encoding {
		ops = nil
	}
	var prev op
	ctx := 0
	for i := range int(count) {
		var o op
		if c.encoding {
			o = ops[i]
		}
		oldEnd, newEnd := prev.old+prev.n, prev.new+prev.n
		g := int64(c.number(&m.gap[min(ctx, 1)], uint64(o.new-newEnd)))
		if g < 0 || g > newSize-newEnd {
			return nil, damaged("copy %d lies outside", i)
		}
		var s int64
		same := uint32(0)
		if o.old-oldEnd == g {
			same = 1
		}
		if g == 0 {
			s = c.signed(&m.step[0], o.old-oldEnd)
		} else if c.bit(&m.same[ctx], same) != 0 {
			s = g
		} else {
			s = c.signed(&m.step[1+min(ctx, 1)], o.old-oldEnd)
		}
		if s < -oldSize || s > oldSize {
			return nil, damaged("copy %d lies outside", i)
		}
		n := int64(c.number(&m.n[min(ctx, 1)], uint64(o.n)))
		o = op{oldEnd + s, newEnd + g, n}
		if n <= 0 || n > newSize-o.new || o.old < 0 || o.old > oldSize || n > oldSize-o.old {
			return nil, damaged("copy %d lies outside", i)
		}
		if !c.encoding {
			if err := c.err(); err != nil {
				return nil, err
			}
			ops = append(ops, o)
		}
		ctx = 0
		if g > 0 {
			ctx = 1
			if s == g {
				ctx = 2
			}
		}
		prev = o
	}
	return ops, nil
}
