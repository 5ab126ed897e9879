package coding

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestCoderReturnsWhatWasEncoded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		var values []int64
		for range r.IntN(200) {
			v := int64(r.Uint64() >> r.IntN(64))
			if r.IntN(2) == 0 {
				v = -v
			}
			values = append(values, v)
		}
		skew := r.IntN(1000)
		code := func(c *Coder) []int64 {
			var out []int64
			var num Number
			var sig Signed
			tree := make([]Model, 256)
			var flag Model
			rr := rand.New(rand.NewPCG(uint64(round), 5))
			for _, v := range values {
				f := uint32(0)
				if rr.IntN(1000) < skew {
					f = 1
				}
				if !c.Encoding {
					if c.Bit(&flag, 0) != f {
						t.Fatal("a flag changed")
					}
					v = 0
				} else {
					c.Bit(&flag, f)
				}
				out = append(out, c.Signed(&sig, v), int64(c.Number(&num, uint64(v))), int64(c.Tree(tree, 8, uint32(v)&255)), int64(c.Raw(13, uint64(v)&(1<<13-1))))
			}
			return out
		}
		e := NewEncoder()
		want := code(e)
		d := NewDecoder(bytes.NewReader(e.Finish()))
		got := code(d)
		if err := d.Err(); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("round %d: value %d is %d, want %d", round, i, got[i], want[i])
			}
		}
	}
}
