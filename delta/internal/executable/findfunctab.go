package executable

import "slices"

// runtime.findfunctab leads from a program counter to a function: for every
// bucket of 4096 bytes of code the first function that reaches into it (4 bytes),
// and for each of its 16 parts how many functions later the part's first one
// is (1 byte). Written by cmd/link/internal/ld/pcln.go, findfunctab; the same in
// Go 1.20 to 1.27.
const (
	bucketSize  = 4096
	partSize    = 256
	bucketParts = bucketSize / partSize
)

// findFuncSize is the size of the table for n bytes of code.
func findFuncSize(n uint64) int64 {
	return int64(4*((n+bucketSize-1)/bucketSize) + (n+partSize-1)/partSize)
}

// Since Go 1.26 it lies behind the function table, from which it follows. Up to Go
// 1.25 it lies before that. There it is made from where the address map says that
// the old functions went; the patch lists the functions that came or went.

// FindFuncTab makes the table from the function table before it.
type FindFuncTab struct {
	Big      bool  // the byte order
	at       int64 // of the function table
	Entries  []uint32
	Min, Max int64 // of the code, from the base of text offsets
}

func (t *FindFuncTab) See(b []byte, off int64) {
	end := t.at + 8*int64(len(t.Entries))
	for i := max(t.at-off, 0); i < min(int64(len(b)), end-off); {
		at := off + i - t.at
		if at&7 == 0 && i+4 <= int64(len(b)) {
			t.Entries[at/8] = order(t.Big).Uint32(b[i:])
			i += 8
			continue
		}
		if at&7 < 4 {
			shift := 8 * (at & 7)
			if t.Big {
				shift = 24 - shift
			}
			t.Entries[at/8] |= uint32(b[i]) << shift
		}
		i++
	}
}

func (t *FindFuncTab) Make() []byte {
	size := t.Max - t.Min
	first := make([]uint32, (size+partSize-1)/partSize)
	for i := range first {
		first[i] = none
	}
	// Functions rise. Where they do not, no part is filled twice: a patch may say that each of millions is all the code.
	next := int64(0) // part
	for i, entry := range t.Entries {
		from, to := int64(entry)-t.Min, size
		if i+1 < len(t.Entries) {
			to = int64(t.Entries[i+1]) - t.Min
		}
		if from < 0 || to > size || from >= to {
			continue
		}
		for next = max(next, from/partSize); next <= (to-1)/partSize; next++ {
			first[next] = uint32(i)
		}
	}
	out := make([]byte, 0, findFuncSize(uint64(size)))
	for i, f := range first {
		if i%bucketParts == 0 {
			out = append(out, 0, 0, 0, 0)
			order(t.Big).PutUint32(out[len(out)-4:], f)
		}
		out = append(out, byte(f-first[i&^(bucketParts-1)]))
	}
	return out
}

// fits reports whether a table of n bytes is one for this range of code.
func (t *FindFuncTab) fits(n int64) bool {
	return t.Min >= 0 && t.Max > t.Min && t.Max <= 1<<32 && findFuncSize(uint64(t.Max-t.Min)) == n
}

// A Mover returns where the places of a list of the old file are in the new one,
// as offsets in [lo, hi) from the list's base there, rising, each once.
type Mover func(list List, lo, hi int64) []uint32

// A List of places in a file.
type List uint8

const (
	functionStarts     List = iota
	relocatedAddresses      // of a PE file
)

// Base is what the offsets of the list's places count from.
func (l List) Base() Base {
	if l == relocatedAddresses {
		return baseImage
	}
	return BaseText
}

// Moved returns the offsets that to gives for the places of a list: those in
// [lo, hi), sorted, each once. to is asked about addresses of the image.
func (im *Image) Moved(list List, lo, hi int64, to func(addr uint64) int64) []uint32 {
	var out []uint32
	move := func(addr uint64) {
		if !im.Holds(addr) {
			return
		}
		if at := to(addr); at >= lo && at < hi {
			out = append(out, uint32(at))
		}
	}
	switch list {
	case functionStarts:
		out = make([]uint32, 0, im.tab.funcs)
		for i := range im.tab.funcs {
			move(im.Base[BaseText] + uint64(im.File.u32(im.tab.funcTab+8*i)))
		}
	case relocatedAddresses:
		im.eachRelocated(func(rva uint64) { move(im.Base[baseImage] + rva) })
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// differ returns what is in one of the lists and not in both. Both are sorted;
// what of except cannot be an offset of code is passed over.
func differ(list []uint32, except []int64) []uint32 {
	out := make([]uint32, 0, len(list)+len(except))
	for _, e := range except {
		for len(list) > 0 && int64(list[0]) < e {
			out, list = append(out, list[0]), list[1:]
		}
		if len(list) > 0 && int64(list[0]) == e {
			list = list[1:]
		} else if e < 1<<32 {
			out = append(out, uint32(e))
		}
	}
	return append(out, list...)
}

// exceptions returns what makes is of moved; false if that is too much.
func exceptions(moved []uint32, is []int64) ([]int64, bool) {
	var except []int64
	for _, e := range differ(moved, is) {
		except = append(except, int64(e))
	}
	return except, len(except) <= MaxExceptions
}

// movedElsewhere returns the functions of which the address map is wrong: those
// that are new, and places where none is; false if they are too many.
func (im *Image) movedElsewhere(moved Mover, g Table) ([]int64, bool) {
	var is []int64
	for i := range im.tab.funcs {
		if e := int64(im.File.u32(im.tab.funcTab + 8*i)); e >= g.P[2] && e < g.P[3] {
			is = append(is, e)
		}
	}
	slices.Sort(is)
	return exceptions(moved(functionStarts, g.P[2], g.P[3]), is)
}
