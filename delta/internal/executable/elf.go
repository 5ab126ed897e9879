package executable

// parseELF reads the sections of a 64-bit little-endian ELF file. Section
// headers survive -ldflags=-s; a file without any has no references for us.
// (System V ABI, "ELF Header" and "Sections".)
func (im *Image) parseELF() {
	const (
		class64, littleEndian = 2, 1

		flagAlloc, flagCode, flagTLS = 2, 4, 0x400

		typeNoBits = 8
	)
	f := im.File
	if f.u8(4) != class64 || f.u8(5) != littleEndian {
		return
	}
	machine := f.u16(18)
	im.Arch = processorOf(func(p *processor) bool { return p.elf == machine }, archOther)
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
		s := Section{
			Addr:    f.u64(h + 16),
			Off:     int64(f.u64(h + 24)),
			MemSize: f.u64(h + 32),
		}
		if flags&flagCode != 0 {
			s.Content = contentCode
		}
		if kind != typeNoBits {
			s.FileSize = int64(s.MemSize)
		} else {
			s.Off = min(max(s.Off, 0), f.size)
		}
		im.addSection(s)
	}
}
