package executable

// parseELF reads the sections of an ELF file. Section headers survive -ldflags=-s; a file without any has no references for us.
// (System V ABI, "ELF Header" and "Sections".)
func (im *Image) parseELF() {
	const (
		class32, class64        = 1, 2
		littleEndian, bigEndian = 1, 2

		flagAlloc, flagCode, flagTLS = 2, 4, 0x400

		typeNoBits = 8
	)
	f := im.File
	class, order := f.u8(4), f.u8(5)
	if class != class32 && class != class64 || order != littleEndian && order != bigEndian {
		return
	}
	f.big = order == bigEndian
	// Where the fields of a header are that are as wide as an address.
	headersAt, sizeAt, headerSize := int64(40), int64(58), int64(64)
	if class == class32 {
		f.wide = 4
		headersAt, sizeAt, headerSize = 32, 46, 40
	}
	machine := f.u16(18)
	im.Arch = processorOf(func(p *processor) bool { return p.elf == machine && p.big == f.big }, archOther)
	headers, size, count := int64(f.word(headersAt)), int64(f.u16(sizeAt)), int64(f.u16(sizeAt+2))
	if headers <= 0 || headers > f.size || size < headerSize {
		return
	}
	headers = im.moved(headers)
	names := im.moved(int64(f.word(headers + size*int64(f.u16(sizeAt+4)) + 8 + 2*f.wide)))
	for i := range count {
		h := headers + i*size
		kind, flags := f.u32(h+4), f.word(h+8)
		off, length := int64(f.word(h+8+2*f.wide)), f.word(h+8+3*f.wide)
		if flags&flagAlloc == 0 {
			im.elfDebug(f.cstring(names+int64(f.u32(h)), 24), kind, flags, off, int64(length))
			continue
		}
		if flags&flagTLS != 0 {
			continue
		}
		s := Section{
			Addr:    f.word(h + 8 + f.wide),
			Off:     im.moved(off),
			MemSize: length,
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
