package delta

// runtime.findfunctab leads from a program counter to a function: for every
// bucket of 4096 bytes of code the first function that reaches into it (4 bytes),
// and for each of its 16 parts how many functions later the part's first one
// is (1 byte). Written by cmd/link/internal/ld/pcln.go, findfunctab; the same in
// Go 1.20 to 1.26.
const (
	bucketSize  = 4096
	partSize    = 256
	bucketParts = bucketSize / partSize
)

// findFuncSize is the size of the table for n bytes of code.
func findFuncSize(n uint64) int64 {
	return int64(4*((n+bucketSize-1)/bucketSize) + (n+partSize-1)/partSize)
}

// findFuncTab makes the table from the function table before it.
type findFuncTab struct {
	at       int64 // of the function table
	entries  []uint32
	min, max int64 // of the code, from the base of text offsets
}

func (t *findFuncTab) see(b []byte, off int64) {
	end := t.at + 8*int64(len(t.entries))
	for i := max(t.at-off, 0); i < min(int64(len(b)), end-off); {
		at := off + i - t.at
		if at&7 == 0 && i+4 <= int64(len(b)) {
			t.entries[at/8] = le.Uint32(b[i:])
			i += 8
			continue
		}
		if at&7 < 4 {
			t.entries[at/8] |= uint32(b[i]) << (8 * (at & 7))
		}
		i++
	}
}

func (t *findFuncTab) make() []byte {
	size := t.max - t.min
	first := make([]uint32, (size+partSize-1)/partSize)
	for i := range first {
		first[i] = none
	}
	for i, entry := range t.entries {
		from, to := int64(entry)-t.min, size
		if i+1 < len(t.entries) {
			to = int64(t.entries[i+1]) - t.min
		}
		if from < 0 || to > size || from >= to {
			continue
		}
		for p := from / partSize; p <= (to-1)/partSize; p++ {
			first[p] = min(first[p], uint32(i))
		}
	}
	out := make([]byte, 0, findFuncSize(uint64(size)))
	for i, f := range first {
		if i%bucketParts == 0 {
			out = le.AppendUint32(out, f)
		}
		out = append(out, byte(f-first[i&^(bucketParts-1)]))
	}
	return out
}
