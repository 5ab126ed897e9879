package executable

// Code for 386. References are the relative 4-byte operands of CALL, JMP and Jcc,
// and every displacement and constant of 4 bytes that is an address of the image:
// code there has addresses in full. The opcodes are those of amd64 but for a few.

const (
	code386Rel = iota // of sites
	code386Address
)

var i386Forms = []form{code386Rel: relForm(0), code386Address: pointer32Form}

// measure386 returns the length of the instruction at the start of b, and where in
// it the displacement, the constant and the relative operand of 4 bytes lie (0:
// none). b has at least 32 bytes.
func measure386(b []byte) (n, disp, constant, rel int) {
	small := false // operand-size prefix
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
	case (c == 0xc4 || c == 0xc5 || c == 0x62) && b[i] < 0xc0: // LES, LDS, BOUND
		o = hasModRM
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
		return i + 4, i, 0, 0
	case c == 0x9a || c == 0xea: // far CALL and JMP
		return i + 6, 0, 0, 0
	case c >= 0xb8 && c <= 0xbf: // MOV of a constant
		o = immZ
	case c == 0xf6 || c == 0xf7: // group 3: only TEST has a constant
		o = hasModRM
		if b[i]>>3&7 < 2 {
			o |= []operand{imm8, immZ}[c&1]
		}
	default:
		o = oneByte[c] &^ special
	}
	if o&relative != 0 {
		return i + 4, 0, 0, i
	}
	if o&hasModRM != 0 {
		m := b[i]
		i++
		length := int(modRMLength[m])
		base := m&0xc7 == 4 && b[i]&7 == 5 // a SIB byte without a base
		if base {
			length += 4
		}
		if m&0xc7 == 5 || m>>6 == 2 || base {
			disp = i + length - 4
		}
		i += length
	}
	if o&imm8 != 0 {
		i++
	}
	if o&imm16 != 0 {
		i += 2
	}
	switch {
	case o&immZ == 0:
	case small:
		i += 2
	default:
		constant = i
		i += 4
	}
	return i, disp, constant, 0
}

// find386 marks the references of one section, measuring its instructions one
// after the other and beginning anew at each function.
func (im *Image) find386(s *Section) {
	entries := im.entries(s)
	end := s.Off + s.FileSize
	entry, more := entries()
	var b [32]byte
	for off := s.Off; off < end; {
		for more && entry <= off {
			entry, more = entries()
		}
		if p := im.File.page(off); len(p) >= len(b) {
			copy(b[:], p)
		} else {
			im.File.Read(b[:], off)
		}
		n, disp, constant, rel := measure386(b[:])
		next := off + int64(n)
		if more && next > entry {
			// An instruction never reaches into a function: what was read was none.
			off = entry
			continue
		}
		for _, at := range [...]int{disp, constant} {
			if at != 0 && next <= end && im.Holds(uint64(le.Uint32(b[at:]))) {
				im.Sites.setDense(off+int64(at), code386Address)
			}
		}
		if rel != 0 && next <= end && im.Holds(s.Addr+uint64(next-s.Off)+uint64(int64(int32(le.Uint32(b[rel:]))))) {
			im.Sites.setDense(off+int64(rel), code386Rel)
		}
		off = next
	}
}
