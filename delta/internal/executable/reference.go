package executable

import (
	"encoding/binary"
	"math/bits"
)

// A Kind is a way to write an address into a file: its row in forms.
type Kind uint8

// Models are kept apart by kind, so their number and order are part of the format.
const (
	KindNone      Kind = iota
	kindPointer        // 8 bytes: the address
	kindPointer32      // 4 bytes: the address
	kindOffset         // 4 bytes: offset from a base; one kind for each base

	kindRebase = kindOffset + Kind(bases)  // of Mach-O: a segment and 2 to 5 bytes of 7 bits
	kindAMD64  = kindRebase + rebaseWidths // and so on: the kinds of each processor's row
	kindARM64  = kindAMD64 + 4
	kind386    = kindARM64 + 2
	kindARM    = kind386 + 2
	kindRISCV  = kindARM + 2
	kindLoong  = kindRISCV + 3
	kindPower  = kindLoong + 2
	kindMIPS   = kindPower + 2
	kindS390   = kindMIPS + 2
	kindDebug  = kindS390 + 1 // in debugging information: its codes, one kind each
	Kinds      = kindDebug + debugCodes
)

// A site has four bits for a kind of data or code, or two: these do not compile
// if there are more.
const (
	_ = uint(wordCodes - kindRebase)
	_ = uint(denseCodes - rebaseWidths)
	_ = uint(denseCodes - (kindARM64 - kindAMD64))
	_ = uint(denseCodes - (kindARM - kind386))
	_ = uint(denseCodes - (kindLoong - kindRISCV))
	_ = uint(denseCodes - (kindDebug - kindS390))
)

func offset32(b Base) Kind { return kindOffset + Kind(b) }

// A form is how the references of one kind are written. The functions are given
// the bytes of the reference, and the address at which it lies.
type form struct {
	width int64

	// target returns the address that it means.
	target func(l *Layout, b []byte, addr uint64) uint64

	// refer makes it mean target. b holds another reference of the kind, which
	// gives the bits that are no address.
	refer func(l *Layout, b []byte, addr, target uint64)

	// mask writes h in place of the address that src means, for mask.go.
	mask func(l *Layout, dst, src []byte, h uint32)
}

var forms = func() (f [Kinds]form) {
	f[kindPointer], f[kindPointer32] = pointerForm, pointer32Form
	for b := range bases {
		f[offset32(b)] = offsetForm(b)
	}
	for i := range Kind(rebaseWidths) {
		f[kindRebase+i] = rebaseForm(int64(i) + 3)
	}
	for i := range processors {
		copy(f[processors[i].first:], processors[i].forms)
	}
	for i := range debugCodes {
		f[kindDebug+Kind(i)] = debugForm(i)
	}
	return f
}()

func order(big bool) binary.ByteOrder {
	if big {
		return binary.BigEndian
	}
	return le
}

// u32 and the like read and write numbers in the file's byte order.
func (l *Layout) u32(b []byte) uint32 {
	v := le.Uint32(b)
	if l.Big {
		return bits.ReverseBytes32(v)
	}
	return v
}

func (l *Layout) put32(b []byte, v uint32) {
	if l.Big {
		v = bits.ReverseBytes32(v)
	}
	le.PutUint32(b, v)
}

func (l *Layout) u64(b []byte) uint64 {
	v := le.Uint64(b)
	if l.Big {
		return bits.ReverseBytes64(v)
	}
	return v
}

func (l *Layout) put64(b []byte, v uint64) {
	if l.Big {
		v = bits.ReverseBytes64(v)
	}
	le.PutUint64(b, v)
}

var pointerForm = form{
	width:  8,
	target: func(l *Layout, b []byte, _ uint64) uint64 { return l.u64(b) },
	refer:  func(l *Layout, b []byte, _, target uint64) { l.put64(b, target) },
	mask:   func(_ *Layout, dst, _ []byte, h uint32) { le.PutUint64(dst, uint64(h)) },
}

var pointer32Form = form{
	width:  4,
	target: func(l *Layout, b []byte, _ uint64) uint64 { return uint64(l.u32(b)) },
	refer:  func(l *Layout, b []byte, _, target uint64) { l.put32(b, uint32(target)) },
	mask:   maskWord,
}

func offsetForm(b Base) form {
	scale := b.scale()
	return form{
		width:  4,
		target: func(l *Layout, v []byte, _ uint64) uint64 { return l.Base[b] + scale*uint64(l.u32(v)) },
		refer:  func(l *Layout, v []byte, _, target uint64) { l.put32(v, uint32((target-l.Base[b])/scale)) },
		mask:   maskWord,
	}
}

func maskWord(_ *Layout, dst, _ []byte, h uint32) { le.PutUint32(dst, h) }

func (k Kind) Width() int64 { return forms[k].width }

// scale is what an offset counts in.
func (b Base) scale() uint64 {
	if b == baseCUTab {
		return 4
	}
	return 1
}

// Target returns the address that the reference of kind k in b, itself at
// addr, means.
func (l *Layout) Target(k Kind, b []byte, addr uint64) uint64 { return forms[k].target(l, b, addr) }

// Refer writes the reference of kind k at addr so that it means target. b holds
// the old one, which gives the bits that are no address.
func (l *Layout) Refer(k Kind, b []byte, addr, target uint64) { forms[k].refer(l, b, addr, target) }

// References calls f for every reference that lies whole in [from, to), in
// order; s is the section of old that holds them.
func (im *Image) References(from, to int64, s *Section, f func(off int64, k Kind)) {
	to = min(to, s.Off+s.FileSize)
	first := im.FirstKind(s)
	if im.Dense(s) {
		for off := im.Sites.NextDense(from, to); off < to; {
			k := first + im.Sites.Variant(off)
			w := k.Width()
			if off+w > to {
				return
			}
			f(off, k)
			off = im.Sites.NextDense(off+w, to)
		}
		return
	}
	for off := im.Sites.NextWord((from+3)&^3, to); off < to; {
		k := first + im.Sites.Word(off)
		w := k.Width()
		if off+w > to {
			return
		}
		f(off, k)
		off = im.Sites.NextWord(off+w, to)
	}
}
