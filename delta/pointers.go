package delta

// findPointers marks every aligned word of data that is an address within the
// image. The pclntab has none.
func (im *image) findPointers() {
	f := im.file
	for i := range im.sections {
		s := &im.sections[i]
		if s.content != contentData || s.fileSize < 8 {
			continue
		}
		var b []byte // the page from at on
		var at int64
		for off := (s.off + 7) &^ 7; off+8 <= s.off+s.fileSize; off += 8 {
			if len(b) < 8 || off != at {
				b, at = f.page(off), off
			}
			v := le.Uint64(b)
			b, at = b[8:], at+8
			if !im.holds(v) || im.sites.word(off) != kindNone || im.sites.word(off+4) != kindNone {
				continue
			}
			if addr := s.addr + uint64(off-s.off); addr >= im.tab.pclnLo && addr < im.tab.pclnHi {
				// On behind it; rounded up, so that off always grows.
				off += int64(min(im.tab.pclnHi-addr, uint64(s.fileSize))+7)&^7 - 8
				continue
			}
			im.mark(off, kindPointer)
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
