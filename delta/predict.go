package delta

import "github.com/theseus-go/theseus/delta/internal/executable"

// A predictor of copies: what the bytes of an op will be in the new file when
// the references in them are moved by the address map.
type predictor struct {
	old *executable.Image
	new *executable.Layout
	to  *addressMap
}

// mover returns the executable.Mover of m, nil if there is no map yet.
func (m *predictor) mover() executable.Mover {
	if m == nil {
		return nil
	}
	return func(list executable.List, lo, hi int64) []uint32 {
		base := m.new.Base[list.Base()]
		return m.old.Moved(list, lo, hi, func(addr uint64) int64 { return int64(addr + m.to.at(addr) - base) })
	}
}

// A corrector knows where a prediction is wrong.
type corrector interface {
	// due is the offset in the new file of the next wrong byte.
	due() int64
	// bytes corrects b, which holds no reference and lies at off. It is called
	// only when due lies within.
	bytes(b []byte, off int64) error
	// reference corrects the reference of kind k in b at off; target is what
	// was predicted and not yet written.
	reference(b []byte, off int64, k executable.Kind, l *executable.Layout, addr, target uint64) error
}

// predict turns b, which holds the bytes of old at src, into what lies at dst in
// the new file. It returns how many bytes of b are done: all, unless a
// reference straddles its end and more of the op follows.
func (m *predictor) predict(b []byte, src, dst int64, more bool, c corrector) (int, error) {
	var from, to *executable.Section
	if m != nil {
		from, to = m.old.At(src), m.new.At(dst)
	}
	if from == nil || to == nil {
		if c.due() < dst+int64(len(b)) {
			return len(b), c.bytes(b, dst)
		}
		return len(b), nil
	}
	old, sites := m.old, m.old.Sites
	dense, first := old.Dense(from), old.FirstKind(from)
	end := min(src+int64(len(b)), from.Off+from.FileSize)
	addr := from.Addr + uint64(src-from.Off)
	newAddr := to.Addr + uint64(dst-to.Off)
	done := int64(0) // bytes of b that are final
	due := c.due()
	for off := src; ; {
		var k executable.Kind
		if dense {
			off = sites.NextDense(off, end)
		} else {
			off = sites.NextWord((off+3)&^3, end)
		}
		if off >= end {
			break
		}
		if dense {
			k = first + sites.Variant(off)
		} else {
			k = first + sites.Word(off)
		}
		w := k.Width()
		p := off - src
		if p+w > int64(len(b)) {
			if more && p > 0 {
				b = b[:p]
			}
			break
		}
		off += w
		if off > end {
			break
		}
		ref := b[p : p+w]
		target := old.Target(k, ref, addr+uint64(p))
		if !old.Maps(target) {
			continue
		}
		target += m.to.at(target)
		if due < dst+p {
			if err := c.bytes(b[done:p], dst+done); err != nil {
				return 0, err
			}
			due = c.due()
		}
		if done = p + w; due >= dst+done {
			m.new.Refer(k, ref, newAddr+uint64(p), target)
			continue
		}
		if err := c.reference(ref, dst+p, k, m.new, newAddr+uint64(p), target); err != nil {
			return 0, err
		}
		due = c.due()
	}
	if due < dst+int64(len(b)) {
		return len(b), c.bytes(b[done:], dst+done)
	}
	return len(b), nil
}
