package delta

// parseELF reads the sections of a 64-bit little-endian ELF file. Section
// headers survive -ldflags=-s; a file without any has no references for us.
// (System V ABI, "ELF Header" and "Sections".)
func (im *image) parseELF() {
	const (
		class64, littleEndian = 2, 1

		flagAlloc, flagCode, flagTLS = 2, 4, 0x400

		typeNoBits = 8
	)
	f := im.file
	if f.u8(4) != class64 || f.u8(5) != littleEndian {
		return
	}
	switch f.u16(18) {
	case 62:
		im.arch = archAMD64
	case 183:
		im.arch = archARM64
	default:
		im.arch = archOther
	}
	headers, size, count := int64(f.u64(40)), int64(f.u16(58)), int64(f.u16(60))
	if headers <= 0 || headers > f.size || size < 64 {
		return
	}
	for i := range count {
		h := headers + i*size
		kind, flags := f.u32(h+4), f.u64(h+8)
		if flags&flagAlloc == 0 || flags&flagTLS != 0 {
			continue
		}
		s := section{
			addr:    f.u64(h + 16),
			off:     int64(f.u64(h + 24)),
			memSize: f.u64(h + 32),
		}
		if flags&flagCode != 0 {
			s.content = contentCode
		}
		if kind != typeNoBits {
			s.fileSize = int64(s.memSize)
		} else {
			s.off = min(max(s.off, 0), f.size)
		}
		im.addSection(s)
	}
}
