package executable

import "encoding/binary"

// The layout of type descriptors (internal/abi/type.go: Type, UncommonType,
// Method, Imethod; Go 1.20 to 1.27). There is no table of all of them, so they are
// known by their shape: sizes, alignments and a name where the name should be.
const (
	kindMask      = 31
	kindLast      = 26
	kindInterface = 20

	tflagUncommon = 1
	tflagLast     = 63

	imethodSize     = 8 // {name, type}
	uncommonPkg     = 0
	uncommonCount   = 4
	uncommonMethods = 8
	methodSize      = 16 // {name, type, ifn, tfn}
	maxMethods      = 2000
	maxNameLength   = 4000
)

// A descriptor is where the fields of one are, for words of 4 or 8 bytes.
type descriptor struct {
	ptrBytes, hash, tflag, kind, equal, gcData, str, ptrTo int64

	methods int64     // of an interface: a slice
	size    [32]int64 // what lies before the UncommonType, by kind
	most    int64     // and at most, with that
}

var descriptors = map[int64]*descriptor{4: newDescriptor(4), 8: newDescriptor(8)}

func newDescriptor(w int64) *descriptor {
	d := &descriptor{
		ptrBytes: w, hash: 2 * w, tflag: 2*w + 4, kind: 2*w + 7, equal: 2*w + 8, gcData: 3*w + 8, str: 4*w + 8, ptrTo: 4*w + 12,
		methods: 5*w + 16, most: 16 * w,
	}
	for k := range d.size {
		d.size[k] = 4*w + 16
	}
	for k, words := range map[int]int64{
		17: 3, 18: 2, 19: 1, 20: 4, 21: 8, // array, chan, func, interface, map
		22: 1, 23: 1, 25: 4, // pointer, slice, struct
	} {
		d.size[k] += words * w
	}
	return d
}

// findTypes marks the references of type descriptors and of the type links.
func (im *Image) findTypes() {
	for at := im.tab.typeLinks.off; at+4 <= im.tab.typeLinks.off+im.tab.typeLinks.n; at += 4 {
		im.mark(at, offset32(baseTypes))
	}
	im.eachType(func(off int64) { im.markType(off) })
}

func (im *Image) descriptor() *descriptor { return descriptors[im.File.wide] }

// eachType calls f with the file offset of every type descriptor.
func (im *Image) eachType(f func(off int64)) {
	d, wide := im.descriptor(), im.File.wide
	lo, hi := im.tab.typesLo, im.tab.typesHi
	start, ok := im.offset(lo)
	if !ok || hi <= lo {
		return
	}
	end := start + int64(min(hi-lo, uint64(im.File.size-start)))
	for off := start; off+d.most <= end && im.budget > 0; off += wide {
		// Most words begin no descriptor, as four of the bytes behind them tell.
		for b := im.File.page(off); int64(len(b)) > d.kind && off+wide+d.most <= end && !maybeType(le.Uint32(b[d.tflag:])); b = b[wide:] {
			off += wide
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
	f, d := im.File, im.descriptor()
	if !maybeType(f.bytes4(off + d.tflag)) {
		return false
	}
	size := f.word(off)
	if f.u32(off+d.hash) == 0 || size > 1<<40 || f.word(off+d.ptrBytes) > size {
		return false
	}
	if eq := f.word(off + d.equal); eq != 0 && !im.Holds(eq) {
		return false
	}
	if gc := f.word(off + d.gcData); gc != 0 && !im.Holds(gc) {
		return false
	}
	str := int64(f.u32(off + d.str))
	return int64(f.u32(off+d.ptrTo)) < end-start && str != 0 && im.isName(start+str, end)
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
	f, d := im.File, im.descriptor()
	k := f.u8(off+d.kind) & kindMask
	im.mark(off+d.str, offset32(baseTypes))
	if f.u32(off+d.ptrTo) != 0 {
		im.mark(off+d.ptrTo, offset32(baseTypes))
	}
	if k == kindInterface {
		if at, ok := im.offset(f.word(off + d.methods)); ok {
			if n := f.word(off + d.methods + f.wide); n < maxMethods {
				for end := at + int64(n)*imethodSize; at < end && im.budget > 0; at += 4 {
					im.mark(at, offset32(baseTypes))
				}
			}
		}
	}
	if f.u8(off+d.tflag)&tflagUncommon == 0 {
		return
	}
	u := off + d.size[k]
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
