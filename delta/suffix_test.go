package delta

import (
	"bytes"
	"math/rand/v2"
	"sort"
	"testing"
)

func TestSuffixesAreSorted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 400 {
		b := make([]byte, n)
		alphabet := 1 + r.IntN(4)
		if n%5 == 0 {
			alphabet = 256
		}
		for i := range b {
			b[i] = byte(r.IntN(alphabet))
		}
		got, err := suffixes(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]int32, n)
		for i := range want {
			want[i] = int32(i)
		}
		sort.Slice(want, func(i, j int) bool { return bytes.Compare(b[want[i]:], b[want[j]:]) < 0 })
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("suffix %d of %q starts at %d, want %d", i, b, got[i], want[i])
			}
		}
	}
}
