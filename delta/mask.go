package delta

import (
	"bytes"
	"hash/fnv"
	"slices"
	"sort"
)

// mask returns the file with every reference replaced by a hash of what it
// refers to: a function's name, a type's hash, the bytes of a datum. Two builds
// agree in these images wherever only addresses changed, and disagree where
// they refer to different things. So the alignment of the two images is clean,
// and with it the address map. Plain zeros would make every table look alike.
func (im *image) mask(data []byte) []byte {
	out := bytes.Clone(data)
	type ref struct {
		off int64
		k   kind
	}
	each := func(f func(r ref, addr uint64)) {
		for i := range im.sections {
			s := &im.sections[i]
			im.references(s.off, s.off+s.fileSize, s, func(off int64, k kind) {
				f(ref{off, k}, s.addr+uint64(off-s.off))
			})
		}
	}
	each(func(r ref, _ uint64) { maskReference(out[r.off:], data[r.off:], r.k, 0) })
	for _, g := range im.generated() {
		clear(out[g.off : g.off+g.n])
	}
	zeros := bytes.Clone(out)

	fns := im.functions()
	slices.SortStableFunc(fns, func(a, b function) int {
		if a.addr < b.addr {
			return -1
		}
		return int(min(a.addr-b.addr, 1))
	})
	types := map[uint64]uint32{}
	im.eachType(func(off int64) {
		addr, _ := im.address(off)
		types[addr] = le.Uint32(data[off+typeHash:]) ^ uint32(data[off+typeKind]&kindMask)
	})
	hash := func(b []byte) uint32 {
		h := fnv.New32a()
		h.Write(b)
		return h.Sum32()
	}
	const (
		inner   = 0x01010101 // a branch within a function
		context = 24         // bytes that name a datum
	)
	// The functions' hashes once, not for every call.
	named := make(map[uint64]uint32, len(fns))
	for _, f := range fns {
		named[f.addr] = hash([]byte(f.name)) | 1
	}
	each(func(r ref, addr uint64) {
		target := im.target(r.k, data[r.off:], addr)
		h := uint32(0)
		if f := functionAt(fns, target); f != nil {
			if h = named[f.addr]; addr >= f.addr && addr < f.end && target != f.addr {
				h = inner
			}
		} else if t, ok := types[target]; ok {
			h = t
		} else if o, ok := im.offset(target); ok && r.k >= kindRebase && o+8 <= int64(len(out)) {
			h = hash(out[o : o+8]) // what the pointer there refers to
		} else if ok && o+context <= int64(len(zeros)) {
			h = hash(zeros[o : o+context])
		}
		maskReference(out[r.off:], data[r.off:], r.k, h)
	})
	return out
}

// maskReference writes h where the address was and leaves the instruction.
func maskReference(dst, src []byte, k kind, h uint32) {
	switch k {
	case kindPointer:
		le.PutUint64(dst, uint64(h))
	case kindBranch:
		le.PutUint32(dst, le.Uint32(src)&0xfc000000|h&0x03ffffff)
	case kindPage:
		le.PutUint32(dst, le.Uint32(src)&0x9f00001f|h&0x60ffffe0)
		le.PutUint32(dst[4:], le.Uint32(src[4:])&^low12)
	default:
		if k >= kindRebase {
			for i := int64(1); i < k.width(); i++ {
				dst[i] = byte(h >> (8 * i))
			}
			return
		}
		le.PutUint32(dst, h)
	}
}

// functionAt returns the function that holds an address; fns are sorted.
func functionAt(fns []function, addr uint64) *function {
	i := sort.Search(len(fns), func(i int) bool { return fns[i].addr > addr }) - 1
	if i < 0 || addr >= fns[i].end {
		return nil
	}
	return &fns[i]
}
