package executable

// A Kind is a way to write an address into a file: its row in forms.
type Kind uint8

// Models are kept apart by kind, so their number and order are part of the format.
const (
	KindNone    Kind = iota
	kindPointer      // 8 bytes: the address
	kindOffset       // 4 bytes: offset from a base; one kind for each base

	kindRebase = kindOffset + Kind(bases) // of Mach-O: a segment and 2 to 5 bytes of 7 bits
	kindRel    = kindRebase + 4           // amd64: 4 bytes relative to the end of an instruction with 0, 1, 2 or 4 more
	kindBranch = kindRel + 4              // arm64: B, BL
	kindPage   = kindBranch + 1           // arm64: ADRP and the instruction after it that adds the low 12 bits
	Kinds      = kindPage + 1
)

// A site of data has four bits for the kind: these do not compile if there are
// more kinds, or if two of different lists have the same number.
const (
	_ = uint(wordCodes - kindRebase)
	_ = uint(kindRel - kindRebase - rebaseWidths)
	_ = uint(kindBranch - kindRel - denseCodes)
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
	mask func(dst, src []byte, h uint32)
}

var forms = func() (f [Kinds]form) {
	f[kindPointer] = form{
		width:  8,
		target: func(_ *Layout, b []byte, _ uint64) uint64 { return le.Uint64(b) },
		refer:  func(_ *Layout, b []byte, _, target uint64) { le.PutUint64(b, target) },
		mask:   func(dst, _ []byte, h uint32) { le.PutUint64(dst, uint64(h)) },
	}
	for b := range bases {
		f[offset32(b)] = offsetForm(b)
	}
	for i := range Kind(rebaseWidths) {
		f[kindRebase+i] = rebaseForm(int64(i) + 3)
	}
	for i := range Kind(denseCodes) {
		f[kindRel+i] = relForm(int(i))
	}
	f[kindBranch], f[kindPage] = branchForm, pageForm
	return f
}()

func offsetForm(b Base) form {
	scale := b.scale()
	return form{
		width:  4,
		target: func(l *Layout, v []byte, _ uint64) uint64 { return l.Base[b] + scale*uint64(le.Uint32(v)) },
		refer:  func(l *Layout, v []byte, _, target uint64) { le.PutUint32(v, uint32((target-l.Base[b])/scale)) },
		mask:   maskWord,
	}
}

func maskWord(dst, _ []byte, h uint32) { le.PutUint32(dst, h) }

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
