package executable

// Code for arm64. References are B and BL, and ADRP followed by the
// instruction that uses the low 12 bits: ADD, or a load or store with an
// unsigned offset. (Arm Architecture Reference Manual, C4.1.)

const (
	branchMask, branchBits = 0x7c000000, 0x14000000
	adrpMask, adrpBits     = 0x9f000000, 0x90000000
	addMask, addBits       = 0x7f800000, 0x11000000
	memoryMask, memoryBits = 0x3b000000, 0x39000000
	low12                  = 0xfff << 10

	codeBranch, codePage = 1, 2 // of sites
)

var arm64Forms = []form{branchForm, pageForm}

var branchForm = form{
	width:  4,
	target: func(_ *Layout, b []byte, addr uint64) uint64 { return branchTarget(le.Uint32(b), addr) },
	refer:  func(_ *Layout, b []byte, addr, target uint64) { le.PutUint32(b, branchTo(le.Uint32(b), addr, target)) },
	mask:   func(_ *Layout, dst, src []byte, h uint32) { le.PutUint32(dst, le.Uint32(src)&0xfc000000|h&0x03ffffff) },
}

var pageForm = form{
	width:  8,
	target: func(_ *Layout, b []byte, addr uint64) uint64 { return pageTarget(le.Uint32(b), le.Uint32(b[4:]), addr) },
	refer: func(_ *Layout, b []byte, addr, target uint64) {
		w, w2 := pageTo(le.Uint32(b), le.Uint32(b[4:]), addr, target)
		le.PutUint32(b, w)
		le.PutUint32(b[4:], w2)
	},
	mask: func(_ *Layout, dst, src []byte, h uint32) {
		le.PutUint32(dst, le.Uint32(src)&0x9f00001f|h&0x60ffffe0)
		le.PutUint32(dst[4:], le.Uint32(src[4:])&^low12)
	},
}

// findARM64 marks the references of one section.
func (im *Image) findARM64(s *Section) {
	const block = 16 << 10
	var buf [block + 4]byte // the instruction behind is looked at too
	end := (s.Off + s.FileSize) &^ 3
	for off := (s.Off + 3) &^ 3; off < end; off += block {
		im.File.Read(buf[:], off)
		for at := int64(0); at < min(block, end-off); at += 4 {
			switch w := le.Uint32(buf[at:]); {
			case w&branchMask == branchBits:
				im.Sites.setWord(off+at, codeBranch)
			case w&adrpMask == adrpBits && off+at+8 <= end:
				w2 := le.Uint32(buf[at+4:])
				if w2>>5&31 == w&31 && (w2&addMask == addBits || w2&memoryMask == memoryBits) {
					im.Sites.setWord(off+at, codePage)
				}
			}
		}
	}
}

// extend26 and extend21 widen an immediate with its sign.
func extend26(v uint32) int64 { return int64(int32(v<<6) >> 6) }
func extend21(v uint32) int64 { return int64(int32(v<<11) >> 11) }

func branchTarget(w uint32, addr uint64) uint64 {
	return addr + uint64(extend26(w)<<2)
}

func branchTo(w uint32, addr, target uint64) uint32 {
	return w&0xfc000000 | uint32((target-addr)>>2)&0x03ffffff
}

func pageTarget(w, w2 uint32, addr uint64) uint64 {
	pages := extend21(w>>5&0x7ffff<<2 | w>>29&3)
	return addr&^0xfff + uint64(pages<<12) + uint64(w2>>10&0xfff)<<lowShift(w2)
}

func pageTo(w, w2 uint32, addr, target uint64) (uint32, uint32) {
	pages := uint32((target>>12 - addr>>12))
	w = w&0x9f00001f | pages&3<<29 | pages>>2&0x7ffff<<5
	w2 = w2&^low12 | uint32(target&0xfff)>>lowShift(w2)<<10
	return w, w2
}

// lowShift is the scale of a load's or store's offset: its size.
func lowShift(w2 uint32) uint32 {
	if w2&memoryMask != memoryBits {
		return 0
	}
	if w2&0x04800000 == 0x04800000 {
		return 4 // 128-bit vector
	}
	return w2 >> 30
}
