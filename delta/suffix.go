package delta

import (
	"context"

	"github.com/theseus-go/theseus/delta/internal/bitset"
)

// suffixes returns the suffix array of b: the start of every suffix, in
// lexical order. It is SA-IS (Nong, Zhang, Chan 2009): linear time, 4 bytes an
// entry and one bit a byte besides.
func suffixes(ctx context.Context, b []byte) ([]int32, error) {
	sa := make([]int32, len(b))
	if len(b) > 0 {
		induceSort(b, sa, 256)
	}
	return sa, ctx.Err()
}

// induceSort sorts the suffixes of t, whose symbols are below k. The end of t
// counts as a symbol smaller than all.
func induceSort[S byte | int32](t []S, sa []int32, k int) {
	n := len(t)
	if n == 1 {
		sa[0] = 0
		return
	}
	// A suffix is of type S when it sorts before its right neighbour.
	// small marks those; an LMS position is an S whose left one is not.
	small := bitset.NewBitset(n)
	for i := n - 2; i >= 0; i-- {
		if t[i] < t[i+1] || t[i] == t[i+1] && small.Has(i+1) {
			small.Set(i)
		}
	}
	lms := func(i int) bool { return i > 0 && small.Has(i) && !small.Has(i-1) }

	count := make([]int32, k)
	for _, c := range t {
		count[c]++
	}
	at := make([]int32, k)
	heads := func() {
		sum := int32(0)
		for c, m := range count {
			at[c] = sum
			sum += m
		}
	}
	tails := func() {
		sum := int32(0)
		for c, m := range count {
			sum += m
			at[c] = sum
		}
	}
	// induce fills sa from the LMS suffixes in it: first the L types from the
	// left, then the S types from the right.
	induce := func() {
		heads()
		last := t[n-1]
		sa[at[last]] = int32(n - 1) // the suffix before the end symbol
		at[last]++
		for i := 0; i < n; i++ {
			if j := int(sa[i]) - 1; j >= 0 && !small.Has(j) {
				c := t[j]
				sa[at[c]] = int32(j)
				at[c]++
			}
		}
		tails()
		for i := n - 1; i >= 0; i-- {
			if j := int(sa[i]) - 1; j >= 0 && small.Has(j) {
				c := t[j]
				at[c]--
				sa[at[c]] = int32(j)
			}
		}
	}

	for i := range sa {
		sa[i] = -1
	}
	tails()
	m := 0
	for i := n - 1; i > 0; i-- {
		if lms(i) {
			at[t[i]]--
			sa[at[t[i]]] = int32(i)
			m++
		}
	}
	induce()

	// Gather the sorted LMS substrings and name them; equal ones share a name.
	j := 0
	for _, p := range sa {
		if lms(int(p)) {
			sa[j] = p
			j++
		}
	}
	names := sa[m:]
	for i := range names {
		names[i] = -1
	}
	name, prev := int32(0), -1
	for _, p32 := range sa[:m] {
		p := int(p32)
		same := prev >= 0
		for d := 0; same; d++ {
			if p+d >= n || prev+d >= n {
				same = false
				break
			}
			if t[p+d] != t[prev+d] || small.Has(p+d) != small.Has(prev+d) {
				same = false
				break
			}
			if d > 0 && (lms(p+d) || lms(prev+d)) {
				same = lms(p+d) && lms(prev+d)
				break
			}
		}
		if !same {
			name++
			prev = p
		}
		names[p/2] = name - 1
	}
	// Sort the LMS suffixes: by recursion unless the names already differ.
	reduced := sa[n-m:]
	for i, j := len(names)-1, m-1; i >= 0; i-- {
		if names[i] >= 0 {
			reduced[j] = names[i]
			j--
		}
	}
	if int(name) < m {
		induceSort(reduced, sa[:m], int(name))
	} else {
		for i, c := range reduced {
			sa[c] = int32(i)
		}
	}
	for i, j := 1, 0; i < n; i++ {
		if lms(i) {
			reduced[j] = int32(i)
			j++
		}
	}
	for i := range m {
		sa[i] = reduced[sa[i]]
	}
	for i := m; i < n; i++ {
		sa[i] = -1
	}
	tails()
	for i := m - 1; i >= 0; i-- {
		p := sa[i]
		sa[i] = -1
		at[t[p]]--
		sa[at[t[p]]] = p
	}
	induce()
}
