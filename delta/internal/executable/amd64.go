package executable

import (
	"math"
	"math/bits"
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
	special                      // See measureRare
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

// relTail is how far the end of the instruction is from the start of the operand,
// by the site's variant; tailVariant is the variant for the bytes in between.
var (
	relTail     = [4]uint64{4, 5, 6, 8}
	tailVariant = [5]int{1: 1, 2: 2, 4: 3}
)

var amd64Forms = []form{relForm(0), relForm(1), relForm(2), relForm(3)}

// relForm is a 4-byte operand relative to the end of the instruction.
func relForm(variant int) form {
	tail := relTail[variant]
	return form{
		width:  4,
		target: func(_ *Layout, b []byte, addr uint64) uint64 { return addr + tail + uint64(int64(int32(le.Uint32(b)))) },
		refer:  func(_ *Layout, b []byte, addr, target uint64) { le.PutUint32(b, uint32(target-addr-tail)) },
		mask:   maskWord,
	}
}

// refers is what is remembered of an instruction's relative operand: its variant
// plus one, or 0 if there is none.
func refers(rel, tail int) uint32 {
	if rel == 0 {
		return 0
	}
	return uint32(tailVariant[tail] + 1)
}

// An outline is the length of an instruction and, shifted left by 4, what it
// refers to.
type outline uint8

// plain[b] is the outline of the instructions that begin with the two bytes of b,
// high byte first, if they have one in common whatever follows and, but for one
// byte of length, also behind a REX prefix. Otherwise it is 0. Most instructions
// are plain.
var plain = sync.OnceValue(func() *[1 << 16]outline {
	var t [1 << 16]outline
	var b [32]byte
	measured := func() outline {
		n, rel, tail := measure(b[:])
		return outline(uint32(n) | refers(rel, tail)<<4)
	}
	for i := range t {
		switch c, c2 := byte(i>>8), byte(i); {
		case c == 0x0f && c2 != 0x38 && c2 != 0x3a, c == 0xf6, c == 0xf7, oneByte[c]&special == 0:
		default:
			continue
		}
		b[0], b[1], b[2] = byte(i>>8), byte(i), 0
		o := measured()
		b[2] = 5 // as SIB without a base, or as ModRM with a displacement
		if o == measured() {
			t[i] = o
		}
	}
	return &t
})

// findAMD64 marks the references of one section.
//
// Which instruction has a reference cannot be foreseen, so the loop that measures
// them does not branch on it: it writes down where each one ends, and goes on to
// the next line only if it was worth it.
func (im *Image) findAMD64(s *Section) {
	entries := im.entries(s) // File offsets of its functions in rising order
	const (
		block = 16 << 10
		ahead = 64 // more than measure looks at
	)
	var (
		plain = plain()
		buf   [block + ahead]byte
		found [block / 4]uint32 // an instruction with a reference has 5 bytes or more
		end   = s.Off + s.FileSize
	)
	// entry is where the next function begins.
	entry := s.Off
	pass := func(off int64) {
		for more := true; entry <= off; {
			if entry, more = entries(); !more {
				entry = math.MaxInt64
			}
		}
	}
	pass(s.Off)
	for off := s.Off; off < end; {
		im.File.Read(buf[:], off)
		stop := int(min(block, end-off))
		next := int(min(entry-off, 2*block))
		n := uint32(0)
		at := 0
		for at < stop {
			w := le.Uint32(buf[at:])
			rex := ((w&0xf0 ^ 0x40) - 1) >> 31
			o := uint32(plain[bits.ReverseBytes16(uint16(w>>(8*rex&31)))])
			length, refer := o&15+rex, o>>4
			if o == 0 {
				n, rel, tail := measure(buf[at:])
				length, refer = uint32(n), refers(rel, tail)
			}
			at += int(length)
			if at >= next {
				if at > next {
					// An instruction never reaches into a function: what was read was none.
					at, refer = next, 0
				}
				pass(off + int64(at))
				next = int(min(entry-off, 2*block))
			}
			found[n%uint32(len(found))] = uint32(at)<<4 | refer
			n += (refer + 7) >> 3 // 1 for a reference, 0 for none
		}
		for _, f := range found[:n] {
			past, variant := int(f>>4), int(f&15)-1
			if off+int64(past) > end {
				break
			}
			p := past - int(relTail[variant])
			if im.Holds(s.Addr + uint64(off-s.Off) + uint64(past) + uint64(int64(int32(le.Uint32(buf[p:]))))) {
				im.Sites.setDense(off+int64(p), variant)
			}
		}
		off += int64(at)
	}
}
