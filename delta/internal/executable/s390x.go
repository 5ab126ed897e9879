package executable

import "encoding/binary"

// Code for s390x. References are the 4-byte operands of the instructions that are
// relative to themselves, in halfwords: LARL, BRASL, BRCL and the loads and stores
// of C4 and C6. Instructions have 2, 4 or 6 bytes, as their first two bits say.
// (z/Architecture Principles of Operation, RIL formats.)

var s390Forms = []form{{
	width: 4,
	target: func(_ *Layout, b []byte, addr uint64) uint64 {
		return addr - 2 + uint64(int64(int32(binary.BigEndian.Uint32(b)))*2)
	},
	refer: func(_ *Layout, b []byte, addr, target uint64) {
		binary.BigEndian.PutUint32(b, uint32(int64(target-addr+2)>>1))
	},
	mask: maskWord,
}}

// findS390 marks the references of one section.
func (im *Image) findS390(s *Section) {
	f := im.File
	end := s.Off + s.FileSize
	for off := (s.Off + 1) &^ 1; off+6 <= end; {
		c, c2 := f.u8(off), f.u8(off+1)&15
		switch {
		case c < 0x40:
			off += 2
			continue
		case c < 0xc0:
			off += 4
			continue
		case c == 0xc0 && (c2 == 0 || c2 == 4 || c2 == 5), c == 0xc4, c == 0xc6:
			if im.Holds(s.Addr + uint64(off-s.Off) + uint64(int64(int32(f.u32(off+2)))*2)) {
				im.Sites.setDense(off+2, 0)
			}
		}
		off += 6
	}
}
