package executable

// Code for arm. References are B and BL, and the words of the pools behind
// functions from which code loads addresses. (Arm Architecture Reference Manual,
// ARMv7-A, A8.8.)

const (
	codeARMBranch = iota + 1 // of sites
	codeARMWord
)

var armForms = []form{
	{
		width: 4,
		target: func(_ *Layout, b []byte, addr uint64) uint64 {
			return addr + 8 + uint64(int64(int32(le.Uint32(b)<<8)>>6))
		},
		refer: func(_ *Layout, b []byte, addr, target uint64) {
			le.PutUint32(b, le.Uint32(b)&0xff000000|uint32(target-addr-8)>>2&0xffffff)
		},
		mask: func(_ *Layout, dst, src []byte, h uint32) { le.PutUint32(dst, le.Uint32(src)&0xff000000|h&0xffffff) },
	},
	pointer32Form,
}

// findARM marks the references of one section.
func (im *Image) findARM(s *Section) {
	im.instructions(s, func(off int64, w, _ uint32) int64 {
		switch {
		case w>>28 != 15 && w>>25&7 == 5:
			im.Sites.setWord(off, codeARMBranch)
		case im.Holds(uint64(w)):
			im.Sites.setWord(off, codeARMWord)
		}
		return 1
	})
}
