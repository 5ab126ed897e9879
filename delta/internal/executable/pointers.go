package executable

// findPointers marks every aligned word of data that is an address within the
// image. The pclntab has none.
func (im *Image) findPointers() {
	kind := kindPointer
	if im.Narrow {
		kind = kindPointer32
	}
	pointer := func(off int64) bool {
		if im.Sites.Word(off) == KindNone && (im.Narrow || im.Sites.Word(off+4) == KindNone) {
			im.mark(off, kind)
		}
		return true
	}
	for i := range im.Sections {
		s := &im.Sections[i]
		end := s.Addr + uint64(s.FileSize)
		im.words(s, s.Addr, min(end, im.tab.pclnLo), im.Lo, im.Hi, pointer)
		im.words(s, max(s.Addr, im.tab.pclnHi), end, im.Lo, im.Hi, pointer)
	}
}

// words calls f for the words in [lo, hi) that lie at the multiples of their size
// of a section of data, between two of its addresses, while f returns true.
func (im *Image) words(s *Section, from, to, lo, hi uint64, f func(off int64) bool) {
	if s.Content != contentData || from >= to {
		return
	}
	wide := im.File.wide
	off, end := s.Off+int64(from-s.Addr), s.Off+int64(to-s.Addr)
	for off = (off + wide - 1) &^ (wide - 1); off+wide <= end; {
		b := im.File.page(off) // of a multiple of 8 bytes
		n := min(len(b), int(end-off)) &^ int(wide-1)
		if wide == 8 && !im.File.big {
			for i := 0; i < n; i += 8 {
				if le.Uint64(b[i:])-lo < hi-lo && !f(off+int64(i)) {
					return
				}
			}
		} else {
			for i := int64(0); i < int64(n); i += wide {
				if im.File.word(off+i)-lo < hi-lo && !f(off+i) {
					return
				}
			}
		}
		off += int64(n)
	}
}
