package executable

// Code for loong64. References are B and BL, and PCALAU12I followed by the ADDI.D,
// load or store that adds the low 12 bits. (LoongArch Reference Manual, volume 1.)

const (
	codeLoongBranch = iota + 1 // of sites
	codeLoongPage
)

var loongForms = []form{
	{
		width: 4,
		target: func(_ *Layout, b []byte, addr uint64) uint64 {
			w := le.Uint32(b)
			return addr + uint64(extend26(w>>10&0xffff|w&0x3ff<<16)<<2)
		},
		refer: func(_ *Layout, b []byte, addr, target uint64) {
			v := uint32((target - addr) >> 2)
			le.PutUint32(b, le.Uint32(b)&0xfc000000|v&0xffff<<10|v>>16&0x3ff)
		},
		mask: func(_ *Layout, dst, src []byte, h uint32) { le.PutUint32(dst, le.Uint32(src)&0xfc000000|h&0x03ffffff) },
	},
	{
		width: 8,
		target: func(_ *Layout, b []byte, addr uint64) uint64 {
			pages := int64(int32(le.Uint32(b)<<7) >> 12)
			low := int64(int32(le.Uint32(b[4:])<<10) >> 20)
			return addr&^0xfff + uint64(pages<<12+low)
		},
		refer: func(_ *Layout, b []byte, addr, target uint64) {
			pages := uint32((target+0x800)>>12 - addr>>12)
			le.PutUint32(b, le.Uint32(b)&0xfe00001f|pages&0xfffff<<5)
			le.PutUint32(b[4:], le.Uint32(b[4:])&^(0xfff<<10)|uint32(target)&0xfff<<10)
		},
		mask: func(_ *Layout, dst, src []byte, h uint32) {
			le.PutUint32(dst, le.Uint32(src)&0xfe00001f|h&0xfffff<<5)
			le.PutUint32(dst[4:], le.Uint32(src[4:])&^(0xfff<<10))
		},
	},
}

// findLoong marks the references of one section.
func (im *Image) findLoong(s *Section) {
	im.instructions(s, func(off int64, w, next uint32) int64 {
		switch {
		case w&0xf8000000 == 0x50000000:
			im.Sites.setWord(off, codeLoongBranch)
		case w&0xfe000000 == 0x1a000000 && next>>5&31 == w&31 && (next&0xffc00000 == 0x02c00000 || next&0xfc000000 == 0x28000000):
			im.Sites.setWord(off, codeLoongPage)
			return 2
		}
		return 1
	})
}
