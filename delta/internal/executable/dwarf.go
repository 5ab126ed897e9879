package executable

// References in DWARF 2 to 5 (dwarfstd.org, "DWARF Debugging Information Format",
// versions 4 and 5, section 7). Units in the 64-bit format are passed over. Whatever the
// bytes say, every section is walked through once, from its start to its end.

// A reader walks through a section. Past the end of it everything is zero.
type reader struct {
	im      *Image
	at, end int64
	address int64 // bytes of an address in the unit
	version uint16
}

func (r *reader) u8() (v byte) {
	if r.at < r.end {
		v = r.im.File.u8(r.at)
	}
	r.at++
	return v
}

func (r *reader) u16() uint16 {
	r.at += 2
	return r.im.File.u16(r.at - 2)
}

func (r *reader) u32() uint32 {
	r.at += 4
	return r.im.File.u32(r.at - 4)
}

// uleb reads a number of 7 bits a byte, and skips a signed one as well.
func (r *reader) uleb() (v uint64) {
	for shift := 0; ; shift += 7 {
		c := r.u8()
		v |= uint64(c&0x7f) << (shift & 63)
		if c < 0x80 || shift > 63 {
			return v
		}
	}
}

func (r *reader) skip(n uint64) {
	r.at += int64(min(n, uint64(max(r.end-r.at, 0))+1))
}

func (r *reader) skipString() {
	for r.at < r.end && r.u8() != 0 {
	}
}

// mark records a reference of that code at off, if it is one into the program or a section.
func (r *reader) mark(off int64, code int) {
	k := kindDebug + Kind(code)
	if off < 0 || off+k.Width() > r.end {
		return
	}
	f := r.im.File
	switch code {
	case debugPointer64:
		if !r.im.Holds(f.u64(off)) {
			return
		}
	case debugPointer32:
		if !r.im.Holds(uint64(f.u32(off))) {
			return
		}
	default:
		if base := r.im.debug[code-debugInfo]; base == 0 || !r.im.Maps(base+uint64(f.u32(off))) {
			return
		}
	}
	r.im.Sites.setDense(off, code)
}

// pointer marks an address of the unit's size and goes past it.
func (r *reader) pointer() {
	switch r.address {
	case 8:
		r.mark(r.at, debugPointer64)
	case 4:
		r.mark(r.at, debugPointer32)
	}
	r.at += max(r.address, 1)
}

// unit begins the next unit: its length and version. It returns where the unit ends,
// false behind the last one. A unit longer than the section ends with it.
func (r *reader) unit() (end int64, ok bool) {
	if r.at+4 > r.end {
		return 0, false
	}
	n := r.u32()
	if n >= 0xfffffff0 {
		return 0, false
	}
	end = min(r.at+int64(n), r.end)
	r.version = r.u16()
	return end, true
}

// sub returns a reader of what is left of the unit that ends at end, and moves r there.
func (r *reader) sub(end int64) *reader {
	s := *r
	s.end = end
	r.at = max(end, r.at)
	return &s
}

// An attribute is one that a reference may be in: which attribute, and how it is written.
type attribute struct{ name, form uint16 }

const (
	attrLocation     = 0x02
	attrLines        = 0x10
	attrRanges       = 0x55
	attrAddrBase     = 0x73
	attrRangesBase   = 0x74
	attrStrOffsets   = 0x72
	attrMacros       = 0x79
	attrMacrosGNU    = 0x2119
	attrLocationBase = 0x8c

	formAddr, formBlock2, formBlock4, formData2, formData4, formData8     = 0x01, 0x03, 0x04, 0x05, 0x06, 0x07
	formString, formBlock, formBlock1, formData1, formFlag, formSData     = 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d
	formStrp, formUData, formRefAddr, formRef1, formRef2, formRef4        = 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13
	formRef8, formRefUData, formIndirect, formSecOffset, formExprLoc      = 0x14, 0x15, 0x16, 0x17, 0x18
	formFlagPresent, formStrX, formAddrX, formRefSup4, formStrpSup        = 0x19, 0x1a, 0x1b, 0x1c, 0x1d
	formData16, formLineStrp, formRefSig8, formImplicitConst, formLocList = 0x1e, 0x1f, 0x20, 0x21, 0x22
	formRngListX, formRefSup8, formStrX1, formAddrX4                      = 0x23, 0x24, 0x25, 0x2c
	formGNUAddrIndex, formGNUStrIndex, formGNURefAlt, formGNUStrpAlt      = 0x1f01, 0x1f02, 0x1f20, 0x1f21

	opAddr = 0x03
)

// abbreviations are what the entries of a unit look like.
type abbreviations struct {
	off  int64 // of those that are read, 0 for none
	list [][]attribute
}

// Bounds of one table of abbreviations; another one is not understood.
const (
	maxAbbreviations = 1 << 14
	maxAttributes    = 64
)

// read reads the table at off. Of units that share one only the first one reads it,
// and all tables together are no longer than the section unless some overlap: then the
// budget ends it.
func (a *abbreviations) read(im *Image, off, end int64) bool {
	if a.off == off && a.list != nil {
		return true
	}
	r := reader{im: im, at: off, end: end}
	a.off, a.list = off, a.list[:0]
	var all []attribute
	for r.at < r.end {
		code := r.uleb()
		if code == 0 {
			return true
		}
		im.budget -= 8 + max(int(min(code, maxAbbreviations))-len(a.list), 0)
		if code > maxAbbreviations || im.budget < 0 {
			break
		}
		r.uleb() // tag
		r.u8()   // children
		from := len(all)
		for {
			name, form := r.uleb(), r.uleb()
			if form == formImplicitConst {
				r.uleb()
			}
			if name == 0 && form == 0 || r.at >= r.end {
				break
			}
			all = append(all, attribute{uint16(name), uint16(form)})
		}
		if im.budget -= len(all) - from; len(all)-from > maxAttributes {
			break
		}
		for uint64(len(a.list)) <= code {
			a.list = append(a.list, nil)
		}
		a.list[code] = all[from:len(all):len(all)]
	}
	a.list = nil
	return false
}

// info reads .debug_info: entries by entries, each as its abbreviation says.
func (r *reader) info(table Section) {
	var a abbreviations
	for {
		end, ok := r.unit()
		if !ok {
			return
		}
		u := r.sub(end)
		kind, at := byte(0), uint32(0)
		if u.version >= 5 {
			kind = u.u8()
			u.address = int64(u.u8())
			at = u.u32()
		} else {
			at = u.u32()
			u.address = int64(u.u8())
		}
		switch kind {
		case 2, 6: // with a type's signature and offset
			u.at += 12
		case 4, 5: // with the unit's own number
			u.at += 8
		}
		if u.version < 2 || u.version > 5 || int64(at) >= table.FileSize ||
			!a.read(r.im, table.Off+int64(at), table.Off+table.FileSize) {
			continue
		}
		for u.at < u.end {
			code := u.uleb()
			if code >= uint64(len(a.list)) {
				break
			}
			for _, at := range a.list[code] {
				u.attribute(at.name, at.form)
			}
		}
	}
}

func (r *reader) attribute(name, form uint16) {
	switch form {
	case formAddr:
		r.pointer()
	case formString:
		r.skipString()
	case formRefAddr:
		if r.version < 3 && r.address == 8 {
			r.at += 8
			break
		}
		r.mark(r.at, debugInfo)
		r.at += 4
	case formSecOffset:
		r.sectionOffset(name)
	case formData4:
		if r.version < 4 {
			r.sectionOffset(name)
		} else {
			r.at += 4
		}
	case formBlock1:
		r.expression(uint64(r.u8()))
	case formBlock2:
		r.expression(uint64(r.u16()))
	case formBlock4:
		r.expression(uint64(r.u32()))
	case formBlock, formExprLoc:
		r.expression(r.uleb())
	case formSData, formUData, formRefUData, formStrX, formAddrX, formLocList, formRngListX, formGNUAddrIndex, formGNUStrIndex:
		r.uleb()
	case formData1, formFlag, formRef1, formStrX1, formStrX1 + 4:
		r.at++
	case formData2, formRef2, formStrX1 + 1, formStrX1 + 5:
		r.at += 2
	case formStrX1 + 2, formStrX1 + 6:
		r.at += 3
	case formStrp, formRef4, formRefSup4, formStrpSup, formLineStrp, formStrX1 + 3, formAddrX4, formGNURefAlt, formGNUStrpAlt:
		r.at += 4
	case formData8, formRef8, formRefSig8, formRefSup8:
		r.at += 8
	case formData16:
		r.at += 16
	case formFlagPresent, formImplicitConst:
	case formIndirect:
		if form := r.uleb(); form != formIndirect && form <= formGNUStrpAlt {
			r.attribute(name, uint16(form))
		}
	default:
		r.at = r.end // not known: nothing behind it is
	}
}

// sectionOffset marks four bytes that count from the start of the section that the
// attribute leads to.
func (r *reader) sectionOffset(name uint16) {
	switch name {
	case attrLines:
		r.mark(r.at, debugLines)
	case attrRanges, attrRangesBase:
		r.mark(r.at, debugRanges)
	case attrAddrBase:
		r.mark(r.at, debugAddresses)
	case attrLocation, 0x40, 0x19, 0x2a, 0x38, 0x46, 0x48, 0x4d, attrLocationBase:
		r.mark(r.at, debugLocations)
	}
	r.at += 4
}

// expression passes over one of n bytes. Where a variable lies is one with an address alone.
func (r *reader) expression(n uint64) {
	if n == uint64(r.address)+1 && r.at < r.end && r.im.File.u8(r.at) == opAddr {
		r.at++
		r.pointer()
		return
	}
	r.skip(n)
}

// lines reads .debug_line: in each program the addresses that it sets.
func (r *reader) lines() {
	for {
		end, ok := r.unit()
		if !ok {
			return
		}
		u := r.sub(end)
		if u.version < 2 || u.version > 5 {
			continue
		}
		u.address = 8
		if u.version >= 5 {
			u.address = int64(u.u8())
			u.u8()
		}
		header := u.u32()
		program := u.at + int64(header)
		u.at += 4 // shortest instruction, whether lines begin statements, base and range of their steps
		if u.version >= 4 {
			u.at++
		}
		base := u.u8()
		operands := [256]byte{}
		for op := 1; op < int(base); op++ {
			operands[op] = u.u8()
		}
		for u.at = program; u.at < u.end; {
			switch op := u.u8(); {
			case op == 0:
				n := u.uleb()
				if n == 0 {
					continue
				}
				if sub := u.u8(); sub == 2 {
					u.address = int64(min(n-1, 16))
					u.pointer()
				} else {
					u.skip(n - 1)
				}
			case op >= base:
			case op == 9:
				u.at += 2
			default:
				for range operands[op] {
					u.uleb()
				}
			}
		}
	}
}

// addresses reads .debug_addr.
func (r *reader) addresses() {
	for {
		end, ok := r.unit()
		if !ok {
			return
		}
		u := r.sub(end)
		u.address = int64(u.u8())
		u.u8()
		for u.at < u.end {
			u.pointer()
		}
	}
}

// frames reads .debug_frame: of each description of a function where that begins.
func (r *reader) frames() {
	for r.at+8 <= r.end {
		n, id := int64(r.u32()), r.u32()
		if n < 4 || n >= 0xfffffff0 {
			return
		}
		u := r.sub(min(r.at-4+n, r.end))
		if id != 1<<32-1 {
			u.address = r.im.File.wide
			u.pointer()
		}
	}
}

// lists reports whether the section has lists of DWARF 5, whose units say so, and not
// those of version 4 without any header.
func (im *Image) lists(s *Section) bool {
	f := im.File
	return int64(f.u32(s.Off)) <= s.FileSize && f.u16(s.Off+4) == 5 && (f.u8(s.Off+6) == 8 || f.u8(s.Off+6) == 4)
}

// listUnits calls f for the lists of every unit.
func (r *reader) listUnits(f func(u *reader)) {
	for {
		end, ok := r.unit()
		if !ok {
			return
		}
		u := r.sub(end)
		u.address = int64(u.u8())
		u.u8()
		n := u.u32()
		u.skip(4 * uint64(n))
		f(u)
	}
}

func (r *reader) rangeLists() {
	r.listUnits(func(u *reader) {
		for u.at < u.end {
			switch u.u8() {
			case 1:
				u.uleb()
			case 2, 3, 4:
				u.uleb()
				u.uleb()
			case 5:
				u.pointer()
			case 6:
				u.pointer()
				u.pointer()
			case 7:
				u.pointer()
				u.uleb()
			}
		}
	})
}

func (r *reader) locationLists() {
	r.listUnits(func(u *reader) {
		for u.at < u.end {
			switch u.u8() {
			case 1:
				u.uleb()
				continue
			case 2, 3, 4:
				u.uleb()
				u.uleb()
			case 5:
			case 6:
				u.pointer()
				continue
			case 7:
				u.pointer()
				u.pointer()
			case 8:
				u.pointer()
				u.uleb()
			case 9: // of GNU: views
				u.uleb()
				u.uleb()
				continue
			default:
				continue
			}
			u.expression(u.uleb())
		}
	})
}

// pairs reads the lists of DWARF 4: two words, and in those of locations an expression
// behind them. What is no address is an offset from one before, and stays.
func (r *reader) pairs(locations bool) {
	f := r.im.File
	for r.address = r.im.File.wide; r.at+2*r.address <= r.end; {
		first, second := f.u64(r.at), f.u64(r.at+r.address)
		if r.address == 4 {
			first, second = uint64(f.u32(r.at)), uint64(f.u32(r.at+4))
		}
		r.pointer()
		r.pointer()
		if base := first == 1<<64-1 || r.address == 4 && first == 1<<32-1; locations && !base && first|second != 0 {
			r.expression(uint64(r.u16()))
		}
	}
}
