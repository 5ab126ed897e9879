package executable

// Code for ppc64 and mips. Both have pairs of instructions for the upper and the
// lower half of an address, which is what the second one adds, with its sign.

const (
	codeBranch32 = iota + 1 // of sites: a branch
	codeHighLow
)

// highLowForm is such a pair. Both halves are the low 16 bits of an instruction.
var highLowForm = form{
	width: 8,
	target: func(l *Layout, b []byte, _ uint64) uint64 {
		return uint64(int64(int32(l.u32(b)<<16)) + int64(int16(l.u32(b[4:]))))
	},
	refer: func(l *Layout, b []byte, _, target uint64) {
		l.put32(b, l.u32(b)&^0xffff|uint32((target+0x8000)>>16)&0xffff)
		l.put32(b[4:], l.u32(b[4:])&^0xffff|uint32(target)&0xffff)
	},
	mask: func(l *Layout, dst, src []byte, h uint32) {
		l.put32(dst, l.u32(src)&^0xffff|h&0xffff)
		l.put32(dst[4:], l.u32(src[4:])&^0xffff)
	},
}

// Code for ppc64 of both byte orders: B and BL, and ADDIS of nothing followed by ADDI, a load or a
// store. (Power ISA, book I, 1.6.)
var powerForms = []form{
	{
		width:  4,
		target: func(l *Layout, b []byte, addr uint64) uint64 { return addr + uint64(extend26(l.u32(b)>>2&0xffffff<<2)) },
		refer: func(l *Layout, b []byte, addr, target uint64) {
			l.put32(b, l.u32(b)&0xfc000003|uint32(target-addr)&0x03fffffc)
		},
		mask: maskBranch,
	},
	highLowForm,
}

// findPower marks the references of one section.
func (im *Image) findPower(s *Section) {
	im.instructions(s, func(off int64, w, next uint32) int64 {
		switch {
		case w>>26 == 18 && w&2 == 0:
			im.Sites.setWord(off, codeBranch32)
		case w&0xfc1f0000 == 15<<26 && next>>16&31 == w>>21&31 && (next>>26 == 14 || next>>26 >= 32):
			im.Sites.setWord(off, codeHighLow)
			return 2
		}
		return 1
	})
}

// Code for mips of 32 and 64 bits and both byte orders: J and JAL, which replace
// the low 28 bits of their own address, and LUI followed by ADDIU, DADDIU, a load or
// a store. (MIPS Architecture for Programmers, volume II.)
var mipsForms = []form{
	{
		width: 4,
		target: func(l *Layout, b []byte, addr uint64) uint64 {
			return addr&^0x0fffffff | uint64(l.u32(b)&0x03ffffff)<<2
		},
		refer: func(l *Layout, b []byte, _, target uint64) {
			l.put32(b, l.u32(b)&0xfc000000|uint32(target>>2)&0x03ffffff)
		},
		mask: maskBranch,
	},
	highLowForm,
}

// findMIPS marks the references of one section.
func (im *Image) findMIPS(s *Section) {
	im.instructions(s, func(off int64, w, next uint32) int64 {
		op := next >> 26
		switch {
		case w>>27 == 1:
			im.Sites.setWord(off, codeBranch32)
		case w>>21 == 15<<5 && next>>21&31 == w>>16&31 && (op == 9 || op == 25 || op >= 32):
			im.Sites.setWord(off, codeHighLow)
			return 2
		}
		return 1
	})
}

func maskBranch(l *Layout, dst, src []byte, h uint32) {
	l.put32(dst, l.u32(src)&0xfc000003|h&0x03fffffc)
}
