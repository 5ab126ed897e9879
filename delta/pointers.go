package delta

// findPointers marks every aligned word of data that is an address within the
// image. The pclntab has none.
func (im *image) findPointers() {
	for i := range im.sections {
		s := &im.sections[i]
		im.words(s, func(off int64, v uint64) bool {
			if im.holds(v) && im.sites.word(off) == kindNone && im.sites.word(off+4) == kindNone {
				if addr := s.addr + uint64(off-s.off); addr < im.tab.pclnLo || addr >= im.tab.pclnHi {
					im.mark(off, kindPointer)
				}
			}
			return true
		})
	}
}

// words calls f for the aligned words of a section of data, while it returns true.
func (im *image) words(s *section, f func(off int64, v uint64) bool) {
	if s.content != contentData {
		return
	}
	end := s.off + s.fileSize
	for off := (s.off + 7) &^ 7; off+8 <= end; {
		b := im.file.page(off) // of a multiple of 8 bytes
		for ; len(b) >= 8 && off+8 <= end; b, off = b[8:], off+8 {
			if !f(off, le.Uint64(b)) {
				return
			}
		}
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
