package delta

// A predictor of copies: what the bytes of an op will be in the new file when
// the references in them are moved by the address map.
type mover struct {
	old *image
	new *layout
	to  *addressMap
}

// references calls f for every reference that lies whole in [from, to), in
// order; s is the section of old that holds them.
func (im *image) references(from, to int64, s *section, f func(off int64, k kind)) {
	to = min(to, s.off+s.fileSize)
	if im.dense(s) {
		first := firstKind(s)
		for off := im.sites.nextDense(from, to); off < to; {
			k := first + im.sites.variant(off)
			w := k.width()
			if off+w > to {
				return
			}
			f(off, k)
			off = im.sites.nextDense(off+w, to)
		}
		return
	}
	for off := im.sites.nextWord((from+3)&^3, to); off < to; {
		k := im.sites.word(off)
		w := k.width()
		if off+w > to {
			return
		}
		f(off, k)
		off = im.sites.nextWord(off+w, to)
	}
}

// firstKind is the kind of variant 0 in a dense section.
func firstKind(s *section) kind {
	if s.content == contentRebase {
		return kindRebase
	}
	return kindRel
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
	reference(b []byte, off int64, k kind, l *layout, addr, target uint64) error
}

// predict turns b, which holds the bytes of old at src, into what lies at dst in
// the new file. It returns how many bytes of b are done: all, unless a
// reference straddles its end and more of the op follows.
func (m *mover) predict(b []byte, src, dst int64, more bool, c corrector) (int, error) {
	var from, to *section
	if m != nil {
		from, to = m.old.at(src), m.new.at(dst)
	}
	if from == nil || to == nil {
		if c.due() < dst+int64(len(b)) {
			return len(b), c.bytes(b, dst)
		}
		return len(b), nil
	}
	old, sites := m.old, m.old.sites
	dense, first := old.dense(from), firstKind(from)
	end := min(src+int64(len(b)), from.off+from.fileSize)
	addr := from.addr + uint64(src-from.off)
	newAddr := to.addr + uint64(dst-to.off)
	done := int64(0) // bytes of b that are final
	due := c.due()
	for off := src; ; {
		var k kind
		if dense {
			off = sites.nextDense(off, end)
		} else {
			off = sites.nextWord((off+3)&^3, end)
		}
		if off >= end {
			break
		}
		if dense {
			k = first + sites.variant(off)
		} else {
			k = sites.word(off)
		}
		w := k.width()
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
		target := old.target(k, ref, addr+uint64(p))
		if !old.holds(target) {
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
			m.new.refer(k, ref, newAddr+uint64(p), target)
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
