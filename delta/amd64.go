package delta

import (
	"math"
	"sync"
)

// Code for amd64. References are relative 4-byte operands: of CALL, JMP and
// Jcc, and of memory operands relative to the instruction pointer. To find
// exactly those, instructions are measured one after the other, beginning anew
// at each function. (Intel SDM volume 2, chapter 2 and appendix A.)

// An operand says what follows an opcode.
type operand uint8

const (
	hasModRM operand = 1 << iota // a ModRM byte with its SIB and displacement
	imm8                         // 1 byte
	imm16                        // 2 bytes
	immZ                         // 4 bytes, or 2 with an operand-size prefix
	relative                     // 4 bytes relative to the next instruction
	special                      // see measureRare
)

// oneByte and twoByte describe the opcode maps; what is not listed has no
// operand bytes.
var oneByte, twoByte = opcodes()

func opcodes() (one, two [256]operand) {
	set := func(m *[256]operand, o operand, ranges ...int) {
		for i := 0; i < len(ranges); i += 2 {
			for c := ranges[i]; c <= ranges[i+1]; c++ {
				m[c] = o
			}
		}
	}
	for c := 0; c < 0x40; c += 8 { // ADD OR ADC SBB AND SUB XOR CMP
		set(&one, hasModRM, c, c+3)
		one[c+4], one[c+5] = imm8, immZ
	}
	set(&one, hasModRM, 0x63, 0x63, 0x84, 0x8f, 0xd0, 0xd3, 0xd8, 0xdf, 0xfe, 0xff)
	set(&one, immZ, 0x68, 0x68, 0xa9, 0xa9)
	set(&one, hasModRM|immZ, 0x69, 0x69, 0x81, 0x81, 0xc7, 0xc7)
	set(&one, hasModRM|imm8, 0x6b, 0x6b, 0x80, 0x80, 0x82, 0x83, 0xc0, 0xc1, 0xc6, 0xc6)
	set(&one, imm8, 0x6a, 0x6a, 0x70, 0x7f, 0xa8, 0xa8, 0xb0, 0xb7, 0xcd, 0xcd, 0xe0, 0xe7, 0xeb, 0xeb)
	set(&one, imm16, 0xc2, 0xc2, 0xca, 0xca)
	set(&one, imm16|imm8, 0xc8, 0xc8)
	set(&one, relative, 0xe8, 0xe9)
	set(&one, special, 0x0f, 0x0f, 0xcc, 0xcc, 0x26, 0x26, 0x2e, 0x2e, 0x36, 0x36, 0x3e, 0x3e, 0x40, 0x4f, 0x62, 0x62, 0x64, 0x67,
		0xa0, 0xa3, 0xb8, 0xbf, 0xc4, 0xc5, 0xf0, 0xf0, 0xf2, 0xf3, 0xf6, 0xf7)

	set(&two, hasModRM, 0x00, 0xff)
	set(&two, 0, 0x05, 0x0b, 0x0e, 0x0e, 0x30, 0x37, 0x77, 0x77, 0xa0, 0xa2, 0xa8, 0xaa, 0xc8, 0xcf)
	set(&two, relative, 0x80, 0x8f)
	set(&two, hasModRM|imm8, 0x70, 0x73, 0xa4, 0xa4, 0xac, 0xac, 0xba, 0xba, 0xc2, 0xc2, 0xc4, 0xc6)
	return one, two
}

// maxInstruction is what the processor allows; measure may look further.
const maxInstruction = 15

// modRMLength is how many bytes a ModRM byte has behind it for SIB and
// displacement, but for a SIB byte without a base.
var modRMLength = func() (length [256]uint8) {
	for c := range length {
		mod, rm := c>>6, c&7
		if mod != 3 && rm == 4 {
			length[c] = 1
		}
		switch {
		case mod == 1:
			length[c]++
		case mod == 2, mod == 0 && rm == 5:
			length[c] += 4
		}
	}
	return length
}()

// measure returns the length of the instruction at the start of b, and where in
// it a relative 4-byte operand lies (0: none) and how many bytes follow that.
// Bytes that are no instruction have some length too; up to 8 INT3 count as one.
// b has at least 32 bytes.
func measure(b []byte) (n, rel, tail int) {
	b = b[:32]
	c, i := b[0], 1
	if c&0xf0 == 0x40 { // REX
		c, i = b[1], 2
	}
	o := oneByte[c]
	switch {
	case o&special == 0:
	case c == 0x0f && b[i] != 0x38 && b[i] != 0x3a:
		o = twoByte[b[i]]
		i++
	default:
		return measureRare(b)
	}
	return operands(b, i, o, false)
}

// operands goes on behind the opcode.
func operands(b []byte, i int, o operand, small bool) (n, rel, tail int) {
	if o&relative != 0 {
		return i + 4, i, 0
	}
	if o&hasModRM != 0 {
		m := b[i]
		i++
		switch {
		case m&0xc7 == 5:
			rel = i
		case m&0xc7 == 4 && b[i]&7 == 5:
			i += 4
		}
		i += int(modRMLength[m])
	}
	at := i
	if o&imm8 != 0 {
		i++
	}
	if o&imm16 != 0 {
		i += 2
	}
	if o&immZ != 0 {
		if i += 4; small {
			i -= 2
		}
	}
	return i, rel, i - at
}

// measureRare measures any instruction: with prefixes, of other opcode maps, or
// with operands of its own kind.
func measureRare(b []byte) (n, rel, tail int) {
	wide, small := false, false // REX.W, operand-size prefix
	i := 0
prefixes:
	for ; i < maxInstruction; i++ {
		switch b[i] {
		case 0x66:
			small = true
		case 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65:
		default:
			break prefixes
		}
	}
	if b[i]&0xf0 == 0x40 {
		wide = b[i]&8 != 0
		i++
	}
	var o operand
	c := b[i]
	i++
	switch {
	case c == 0x0f:
		c = b[i]
		i++
		switch c {
		case 0x38:
			i++
			o = hasModRM
		case 0x3a:
			i++
			o = hasModRM | imm8
		default:
			o = twoByte[c]
		}
	case c == 0xc5: // VEX, map 1
		o = twoByte[b[i+1]]
		i += 2
	case c == 0xc4 || c == 0x62: // VEX and EVEX with a map
		table := b[i] & 7
		if i += 2; c == 0x62 {
			i++
		}
		switch table {
		case 1:
			o = twoByte[b[i]]
		case 3:
			o = hasModRM | imm8
		default:
			o = hasModRM
		}
		i++
	case c >= 0xa0 && c <= 0xa3: // MOV with a full address
		return i + 8, 0, 0
	case c >= 0xb8 && c <= 0xbf: // MOV of a constant
		if o = immZ; wide {
			return i + 8, 0, 0
		}
	case c == 0xf6 || c == 0xf7: // group 3: only TEST has a constant
		o = hasModRM
		if b[i]>>3&7 < 2 {
			o |= []operand{imm8, immZ}[c&1]
		}
	case c == 0xcc && i == 1: // INT3 fills the room between functions
		for i < 8 && b[i] == 0xcc {
			i++
		}
		return i, 0, 0
	default:
		o = oneByte[c] &^ special
	}
	return operands(b, i, o, small)
}

// tailVariant is the site's variant for the bytes after the operand; relTail in
// reference.go is its inverse.
var tailVariant = [5]int{1: 1, 2: 2, 4: 3}

// plain[b] is the length of an instruction that begins with the two bytes of b,
// low byte first, if that is all one needs to know of it: it has no relative
// operand. Otherwise 0. Most instructions are plain, but for a REX prefix.
var plain = sync.OnceValue(func() *[1 << 16]uint8 {
	var t [1 << 16]uint8
	var b [32]byte
	for i := range t {
		le.PutUint16(b[:], uint16(i))
		b[2] = 0
		n, rel, _ := measure(b[:])
		b[2] = 5 // as SIB without a base
		if n2, _, _ := measure(b[:]); n == n2 && rel == 0 && b[0]&0xf0 != 0x40 && oneByte[b[0]]&special == 0 {
			t[i] = uint8(n)
		}
	}
	return &t
})

// findAMD64 marks the references of one section. entries yields the file
// offsets of its functions in rising order.
func (im *image) findAMD64(s *section, entries func() (int64, bool)) {
	const ahead = 64 // more than measure looks at
	var (
		plain = plain()
		buf   [16<<10 + ahead]byte
		at    = len(buf) // of off in buf
		end   = s.off + s.fileSize
	)
	// entry is where the next function begins.
	entry := s.off
	pass := func(off int64) {
		for more := true; entry <= off; {
			if entry, more = entries(); !more {
				entry = math.MaxInt64
			}
		}
	}
	pass(s.off)
	for off := s.off; off < end; {
		if at > len(buf)-ahead {
			at = 0
			im.file.read(buf[:], off)
		}
		b := buf[at:]
		w := le.Uint32(b)
		rex := ((w&0xf0 ^ 0x40) - 1) >> 31
		n, rel, tail := int(plain[w>>(8*rex&31)&0xffff]), 0, 0
		if n != 0 {
			n += int(rex)
		} else {
			n, rel, tail = measure(b)
		}
		if next := off + int64(n); next >= entry {
			if next > entry {
				// An instruction never reaches into a function: what was read was none.
				n, rel = int(entry-off), 0
			}
			pass(off + int64(n))
		}
		if rel > 0 && off+int64(n) <= end {
			addr := s.addr + uint64(off-s.off) + uint64(rel)
			if im.holds(addr + uint64(4+tail) + uint64(int64(int32(le.Uint32(b[rel:]))))) {
				im.sites.setDense(off+int64(rel), tailVariant[tail])
			}
		}
		off, at = off+int64(n), at+n
	}
}
