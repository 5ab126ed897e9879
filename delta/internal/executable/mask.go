package executable

import (
	"bytes"
	"hash/fnv"
	"slices"
	"sort"
)

// Mask returns the file with every reference replaced by a hash of what it
// refers to: a function's name, a type's hash, the bytes of a datum. Two builds
// agree in these images wherever only addresses changed, and disagree where
// they refer to different things. So the alignment of the two images is clean,
// and with it the address map. Plain zeros would make every table look alike.
func (im *Image) Mask(data []byte) []byte {
	out := bytes.Clone(data)
	type ref struct {
		off int64
		k   Kind
	}
	each := func(f func(s *Section, r ref, addr uint64)) {
		for i := range im.Sections {
			s := &im.Sections[i]
			im.References(s.Off, s.Off+s.FileSize, s, func(off int64, k Kind) {
				f(s, ref{off, k}, s.Addr+uint64(off-s.Off))
			})
		}
	}
	each(func(_ *Section, r ref, _ uint64) { forms[r.k].mask(&im.Layout, out[r.off:], data[r.off:], 0) })
	for _, g := range im.Tables() {
		clear(out[g.Off : g.Off+g.N])
	}
	zeros := bytes.Clone(out)

	fns := im.functions()
	slices.SortStableFunc(fns, func(a, b function) int {
		if a.addr < b.addr {
			return -1
		}
		return int(min(a.addr-b.addr, 1))
	})
	types, d := map[uint64]uint32{}, im.descriptor()
	im.eachType(func(off int64) {
		addr, _ := im.Address(off)
		types[addr] = le.Uint32(data[off+d.hash:]) ^ uint32(data[off+d.kind]&kindMask)
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
	each(func(s *Section, r ref, addr uint64) {
		target := im.Target(r.k, data[r.off:], addr)
		h := uint32(0)
		if f := functionAt(fns, target); f != nil {
			if h = named[f.addr]; addr >= f.addr && addr < f.end && target != f.addr {
				h = inner
			}
		} else if t, ok := types[target]; ok {
			h = t
		} else if o, ok := im.offset(target); ok && s.Content == contentRebase && o+8 <= int64(len(out)) {
			h = hash(out[o : o+8]) // what the pointer there refers to
		} else if ok && o+context <= int64(len(zeros)) {
			h = hash(zeros[o : o+context])
		}
		forms[r.k].mask(&im.Layout, out[r.off:], data[r.off:], h)
	})
	return out
}

// functionAt returns the function that holds an address; fns are sorted.
func functionAt(fns []function, addr uint64) *function {
	i := sort.Search(len(fns), func(i int) bool { return fns[i].addr > addr }) - 1
	if i < 0 || addr >= fns[i].end {
		return nil
	}
	return &fns[i]
}
