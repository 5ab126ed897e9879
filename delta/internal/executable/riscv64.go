package executable

// Code for riscv64. References are JAL, and AUIPC followed by the instruction that
// adds the low 12 bits: of the I type (ADDI, loads, JALR) or the S type (stores).
// Instructions have 2 or 4 bytes and lie at multiples of 2. (The RISC-V Instruction
// Set Manual, volume I, 2.3 and 34.)

const (
	codeRISCVJump = iota // of sites
	codeRISCVLoad
	codeRISCVStore

	riscvLoad, riscvFloatLoad, riscvAddImmediate, riscvAUIPC = 0x03, 0x07, 0x13, 0x17
	riscvStore, riscvFloatStore, riscvJALR, riscvJAL         = 0x23, 0x27, 0x67, 0x6f
)

var riscvForms = []form{
	codeRISCVJump: {
		width: 4,
		target: func(_ *Layout, b []byte, addr uint64) uint64 {
			w := le.Uint32(b)
			v := w>>21&0x3ff<<1 | w>>20&1<<11 | w&0xff000 | w>>31<<20
			return addr + uint64(int64(int32(v<<11)>>11))
		},
		refer: func(_ *Layout, b []byte, addr, target uint64) {
			v := uint32(target - addr)
			le.PutUint32(b, le.Uint32(b)&0xfff|v>>1&0x3ff<<21|v>>11&1<<20|v&0xff000|v>>20<<31)
		},
		mask: func(_ *Layout, dst, src []byte, h uint32) { le.PutUint32(dst, le.Uint32(src)&0xfff|h<<12) },
	},
	codeRISCVLoad: riscvPair(
		func(w uint32) uint32 { return w >> 20 },
		func(w, low uint32) uint32 { return w&0xfffff | low<<20 },
	),
	codeRISCVStore: riscvPair(
		func(w uint32) uint32 { return w>>25<<5 | w>>7&31 },
		func(w, low uint32) uint32 { return w&0x1fff07f | low>>5<<25 | low&31<<7 },
	),
}

// riscvPair is AUIPC and an instruction in which get and set read and write the
// low 12 bits.
func riscvPair(get func(w uint32) uint32, set func(w, low uint32) uint32) form {
	return form{
		width: 8,
		target: func(_ *Layout, b []byte, addr uint64) uint64 {
			high, low := int32(le.Uint32(b)&^0xfff), int32(get(le.Uint32(b[4:]))<<20)>>20
			return addr + uint64(int64(high)+int64(low))
		},
		refer: func(_ *Layout, b []byte, addr, target uint64) {
			v := uint32(target - addr)
			le.PutUint32(b, le.Uint32(b)&0xfff|(v+0x800)&^0xfff)
			le.PutUint32(b[4:], set(le.Uint32(b[4:]), v&0xfff))
		},
		mask: func(_ *Layout, dst, src []byte, h uint32) {
			le.PutUint32(dst, le.Uint32(src)&0xfff|h<<12)
			le.PutUint32(dst[4:], set(le.Uint32(src[4:]), 0))
		},
	}
}

// findRISCV marks the references of one section.
func (im *Image) findRISCV(s *Section) {
	f := im.File
	end := s.Off + s.FileSize
	for off := (s.Off + 1) &^ 1; off+4 <= end; {
		w := f.bytes4(off)
		if w&3 != 3 {
			off += 2
			continue
		}
		switch w & 0x7f {
		case riscvJAL:
			im.Sites.setDense(off, codeRISCVJump)
		case riscvAUIPC:
			if off+8 > end {
				break
			}
			next := f.bytes4(off + 4)
			if next>>15&31 != w>>7&31 {
				break
			}
			switch next & 0x7f {
			case riscvLoad, riscvFloatLoad, riscvAddImmediate, riscvJALR:
				im.Sites.setDense(off, codeRISCVLoad)
				off += 4
			case riscvStore, riscvFloatStore:
				im.Sites.setDense(off, codeRISCVStore)
				off += 4
			}
		}
		off += 4
	}
}
