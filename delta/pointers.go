package delta

// findPointers marks every aligned word of data that is an address within the
// image. The pclntab has none.
func (im *image) findPointers() {
	pointer := func(off int64) bool {
		if im.sites.word(off) == kindNone && im.sites.word(off+4) == kindNone {
			im.mark(off, kindPointer)
		}
		return true
	}
	for i := range im.sections {
		s := &im.sections[i]
		end := s.addr + uint64(s.fileSize)
		im.words(s, s.addr, min(end, im.tab.pclnLo), im.lo, im.hi, pointer)
		im.words(s, max(s.addr, im.tab.pclnHi), end, im.lo, im.hi, pointer)
	}
}

// words calls f for the words in [lo, hi) that lie at the multiples of 8 of a
// section of data, between two of its addresses, while f returns true.
func (im *image) words(s *section, from, to, lo, hi uint64, f func(off int64) bool) {
	if s.content != contentData || from >= to {
		return
	}
	off, end := s.off+int64(from-s.addr), s.off+int64(to-s.addr)
	for off = (off + 7) &^ 7; off+8 <= end; {
		b := im.file.page(off) // of a multiple of 8 bytes
		n := min(len(b), int(end-off)) &^ 7
		for i := 0; i < n; i += 8 {
			if le.Uint64(b[i:])-lo < hi-lo && !f(off+int64(i)) {
				return
			}
		}
		off += int64(n)
	}
}

// findCode marks the references in instructions.
func (im *image) findCode() {
	for i := range im.sections {
		s := &im.sections[i]
		if s.content != contentCode {
			continue
		}
		switch im.arch {
		case archAMD64:
			im.findAMD64(s, im.entries(s))
		case archARM64:
			im.findARM64(s)
		}
	}
}
