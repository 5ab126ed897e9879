package executable

import "encoding/binary"

// The layout of type descriptors (internal/abi/type.go: Type, UncommonType,
// Method, Imethod; Go 1.20 to 1.27). There is no table of all of them, so they are
// known by their shape: sizes, alignments and a name where the name should be.
const (
	typeSize     = 0
	typePtrBytes = 8
	typeHash     = 16
	typeTFlag    = 20
	typeAlign    = 21
	typeField    = 22
	typeKind     = 23
	typeEqual    = 24
	typeGCData   = 32
	typeStr      = 40
	typePtrTo    = 44
	typeLength   = 48

	kindMask      = 31
	kindLast      = 26
	kindInterface = 20

	tflagUncommon = 1
	tflagLast     = 63

	interfaceMethods  = 56 // a slice of {name, type}
	imethodSize       = 8
	uncommonPkg       = 0
	uncommonCount     = 4
	uncommonMethods   = 8
	methodSize        = 16 // {name, type, ifn, tfn}
	maxMethods        = 2000
	maxNameLength     = 4000
	maxDescriptorSize = 128
)

// descriptorSize is what lies before the UncommonType, by kind.
var descriptorSize = [32]int64{17: 72, 18: 64, 19: 56, 20: 80, 21: 112, 22: 56, 23: 56, 25: 80}

// findTypes marks the references of type descriptors and of the type links.
func (im *Image) findTypes() {
	for at := im.tab.typeLinks.off; at+4 <= im.tab.typeLinks.off+im.tab.typeLinks.n; at += 4 {
		im.mark(at, offset32(baseTypes))
	}
	im.eachType(func(off int64) { im.markType(off) })
}

// eachType calls f with the file offset of every type descriptor.
func (im *Image) eachType(f func(off int64)) {
	lo, hi := im.tab.typesLo, im.tab.typesHi
	start, ok := im.offset(lo)
	if !ok || hi <= lo {
		return
	}
	end := start + int64(min(hi-lo, uint64(im.File.size-start)))
	for off := start; off+maxDescriptorSize <= end && im.budget > 0; off += 8 {
		// Most words begin no descriptor, as four of the bytes behind them tell.
		for b := im.File.page(off); len(b) >= typeKind+1 && off+8+maxDescriptorSize <= end && !maybeType(le.Uint32(b[typeTFlag:])); b = b[8:] {
			off += 8
		}
		if im.isType(off, start, end) {
			f(off)
		}
	}
}

// maybeType judges by the four bytes after the hash: tflag, align, fieldAlign, kind.
func maybeType(w uint32) bool {
	k := w >> 24 & kindMask
	return k != 0 && k <= kindLast && w>>8&0xff-1 <= 7 && w>>16&0xff-1 <= 7 && w&0xff <= tflagLast
}

func (im *Image) isType(off, start, end int64) bool {
	f := im.File
	if !maybeType(f.u32(off + typeTFlag)) {
		return false
	}
	size := f.u64(off + typeSize)
	if f.u32(off+typeHash) == 0 || size > 1<<40 || f.u64(off+typePtrBytes) > size {
		return false
	}
	if eq := f.u64(off + typeEqual); eq != 0 && !im.Holds(eq) {
		return false
	}
	if gc := f.u64(off + typeGCData); gc != 0 && !im.Holds(gc) {
		return false
	}
	str := int64(f.u32(off + typeStr))
	return int64(f.u32(off+typePtrTo)) < end-start && str != 0 && im.isName(start+str, end)
}

// isName reports whether a name lies at off: flags, a varint length and as many
// printable bytes (internal/abi/type.go, type Name).
func (im *Image) isName(off, end int64) bool {
	var b [5]byte
	if off+8 >= end || im.File.u8(off) > 0x0f {
		return false
	}
	im.File.Read(b[:], off+1)
	length, n := binary.Uvarint(b[:])
	if n <= 0 || length == 0 || length > maxNameLength || off+int64(length)+6 > end {
		return false
	}
	im.budget -= int(length) / 16
	for at, last := off+1+int64(n), off+1+int64(n)+int64(length); at < last; {
		name := im.File.page(at)
		name = name[:min(int64(len(name)), last-at)]
		for _, c := range name {
			if c < 0x20 || c == 0x7f {
				return false
			}
		}
		at += int64(len(name))
	}
	return true
}

func (im *Image) markType(off int64) {
	f := im.File
	k := f.u8(off+typeKind) & kindMask
	im.mark(off+typeStr, offset32(baseTypes))
	if f.u32(off+typePtrTo) != 0 {
		im.mark(off+typePtrTo, offset32(baseTypes))
	}
	if k == kindInterface {
		if at, ok := im.offset(f.u64(off + interfaceMethods)); ok {
			if n := f.u64(off + interfaceMethods + 8); n < maxMethods {
				for end := at + int64(n)*imethodSize; at < end && im.budget > 0; at += 4 {
					im.mark(at, offset32(baseTypes))
				}
			}
		}
	}
	if f.u8(off+typeTFlag)&tflagUncommon == 0 {
		return
	}
	size := descriptorSize[k]
	if size == 0 {
		size = typeLength
	}
	u := off + size
	if f.u32(u+uncommonPkg) != 0 {
		im.mark(u+uncommonPkg, offset32(baseTypes))
	}
	at := u + int64(f.u32(u+uncommonMethods))
	for range f.u16(u + uncommonCount) {
		if at+methodSize > f.size || im.budget <= 0 {
			break
		}
		im.mark(at, offset32(baseTypes))
		im.mark(at+4, offset32(baseTypes))
		for x := at + 8; x <= at+12; x += 4 {
			if v := f.u32(x); v != 0 && v != none {
				im.mark(x, offset32(BaseText))
			}
		}
		at += methodSize
	}
}
