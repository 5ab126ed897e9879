package delta

// layoutCoder holds the models of a layout.
type layoutCoder struct {
	count     number
	off, size signed
	addr, mem signed
	content   [4]model
	base      signed
}

// layout codes the new file's layout relative to the old one's: what most often
// changes is where everything from some section on begins.
func (c *coder) layout(l, old *layout, newSize int64) (*layout, error) {
	var m layoutCoder
	out := layout{arch: old.arch}
	if c.encoding {
		out = *l
	}
	n := int(min(c.number(&m.count, uint64(len(out.sections))), maxSections+1))
	if n > maxSections {
		return nil, damaged("too many sections")
	}
	if !c.encoding {
		out.sections = make([]section, n)
	}
	var off, addr, base int64 // shifts so far
	shifted := func(m *signed, v, was int64, shift *int64) int64 {
		*shift += c.signed(m, v-was-*shift)
		return was + *shift
	}
	for i := range out.sections {
		s, was := &out.sections[i], section{}
		if i < len(old.sections) {
			was = old.sections[i]
		}
		s.off = shifted(&m.off, s.off, was.off, &off)
		s.addr = uint64(shifted(&m.addr, int64(s.addr), int64(was.addr), &addr))
		zero := int64(0)
		s.fileSize = shifted(&m.size, s.fileSize, was.fileSize, &zero)
		zero = 0
		s.memSize = uint64(shifted(&m.mem, int64(s.memSize-uint64(s.fileSize)), int64(was.memSize-uint64(was.fileSize)), &zero)) + uint64(s.fileSize)
		s.content = content(c.tree(m.content[:], 2, uint32(s.content)))
		if s.off < 0 || s.fileSize < 0 || s.off > newSize || s.fileSize > newSize-s.off || s.addr > 1<<48 || s.memSize > 1<<48 || s.content >= contents {
			return nil, damaged("section %d lies outside", i)
		}
	}
	for i := range out.base {
		out.base[i] = uint64(shifted(&m.base, int64(out.base[i]), int64(old.base[i]), &base))
	}
	out.settle()
	return &out, c.err()
}
