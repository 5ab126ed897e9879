package delta

// A kind is a way to write an address into a file.
type kind uint8

const (
	kindNone kind = iota

	kindPointer // 8 bytes: the address
	kindBranch  // arm64 B, BL: 26 bits, in words, relative to itself
	kindPage    // arm64 ADRP and the instruction after it that adds the low 12 bits

	kindOffset // 4 bytes: offset from a base, one kind for each base, up to 15

	// 4 bytes relative to the end of an amd64 instruction, which has 0, 1, 2
	// or 4 more bytes after them.
	kindRel = 16

	// Rebase opcodes of Mach-O: a segment and 2 to 5 bytes of 7 bits.
	kindRebase = 20

	kinds = 24
)

func offset32(b base) kind { return kindOffset + kind(b) }

func (k kind) width() int64 {
	switch {
	case k == kindPointer || k == kindPage:
		return 8
	case k >= kindRebase:
		return int64(k-kindRebase) + 3
	}
	return 4
}

// scale is what an offset counts in.
func (b base) scale() uint64 {
	if b == baseCUTab {
		return 4
	}
	return 1
}

var relTail = [4]uint64{4, 5, 6, 8}

// target returns the address that the reference of kind k in b, itself at
// addr, means.
func (l *layout) target(k kind, b []byte, addr uint64) uint64 {
	switch {
	case k >= kindRebase:
		return l.rebaseTarget(b[:k.width()])
	case k >= kindRel:
		return addr + relTail[k-kindRel] + uint64(int64(int32(le.Uint32(b))))
	case k >= kindOffset:
		b0 := base(k - kindOffset)
		return l.base[b0] + b0.scale()*uint64(le.Uint32(b))
	case k == kindPointer:
		return le.Uint64(b)
	case k == kindBranch:
		return branchTarget(le.Uint32(b), addr)
	case k == kindPage:
		return pageTarget(le.Uint32(b), le.Uint32(b[4:]), addr)
	}
	return 0
}

// refer writes the reference of kind k at addr so that it means target. b holds
// the old one, which gives the bits that are no address.
func (l *layout) refer(k kind, b []byte, addr, target uint64) {
	switch {
	case k >= kindRebase:
		l.rebaseTo(b[:k.width()], target)
	case k >= kindRel:
		le.PutUint32(b, uint32(target-addr-relTail[k-kindRel]))
	case k >= kindOffset:
		b0 := base(k - kindOffset)
		le.PutUint32(b, uint32((target-l.base[b0])/b0.scale()))
	case k == kindPointer:
		le.PutUint64(b, target)
	case k == kindBranch:
		le.PutUint32(b, branchTo(le.Uint32(b), addr, target))
	case k == kindPage:
		w, w2 := pageTo(le.Uint32(b), le.Uint32(b[4:]), addr, target)
		le.PutUint32(b, w)
		le.PutUint32(b[4:], w2)
	}
}
