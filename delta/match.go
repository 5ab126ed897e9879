package delta

import (
	"context"
	"slices"

	"github.com/theseus-go/theseus/delta/internal/executable"
)

// align finds the ops that make the bytes of new out of those of old. The two
// are the files themselves or their masked images (see [executable.Image.Mask]).
//
// It is the scan of bsdiff (Percival, "Naive differences of executable code",
// 2003): walk through new, look the longest match up in old, and go on with the
// old alignment for as long as it explains the bytes nearly as well.
//
// To look a long match up takes long, and where the old alignment explains it but for a few bytes, the next byte has
// the same match less one byte, and so on: the work would grow with the square of its length. So a match is believed
// for a small part of its length before it is looked up again.
func align(ctx context.Context, old, new []byte, slack int) ([]op, error) {
	if len(old) == 0 || len(new) == 0 {
		return nil, ctx.Err()
	}
	sa, err := suffixes(ctx, old)
	if err != nil {
		return nil, err
	}
	a := aligner{old: old, new: new, sa: sa}
	return a.align(ctx, slack)
}

func (a *aligner) align(ctx context.Context, slack int) ([]op, error) {
	old, new := a.old, a.new
	a.index()
	var (
		ops              []op
		scan, n, pos     int // current match: new[scan:scan+n] == old[pos:pos+n]
		lastNew, lastOld int // where the alignment in force began
	)
	for scan < len(new) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		shift := lastOld - lastNew
		agrees := func(i int) bool {
			j := i + shift
			return j >= 0 && j < len(old) && old[j] == new[i]
		}
		// Go on until a match beats what the alignment in force explains.
		kept := 0 // bytes of the match that the alignment explains as well
		scan += n
		better := func() bool { return n == kept && n != 0 || n > kept+slack }
		known := scan // before it, the match is still the one found last
		for counted := scan; scan < len(new); scan++ {
			for search := scan >= known; ; search = true {
				if search {
					if (n >= 1<<16 || scan&0xffff == 0) && ctx.Err() != nil {
						return nil, ctx.Err()
					}
					pos, n = a.longest(scan)
					a.read += n
					known = scan + n/trust
				} else {
					pos, n = pos+1, n-1
				}
				for ; counted < scan+n; counted++ {
					if agrees(counted) {
						kept++
					}
				}
				if search || !better() {
					break
				}
			}
			if better() {
				break
			}
			if agrees(scan) {
				kept--
			}
		}
		if n == kept && scan < len(new) {
			continue // the same alignment still
		}
		if scan < len(new) {
			pos = a.nearest(scan, n)
		}
		// Extend the old alignment forward and the new one backward, each for as
		// long as at least half of the bytes agree.
		fwd := extend(min(scan-lastNew, len(old)-lastOld), func(i int) bool {
			return old[lastOld+i] == new[lastNew+i]
		})
		back := 0
		if scan < len(new) {
			back = extend(min(scan-lastNew, pos), func(i int) bool {
				return old[pos-1-i] == new[scan-1-i]
			})
		}
		// Where the two overlap, cut at the best place.
		if over := lastNew + fwd - (scan - back); over > 0 {
			score, best, cut := 0, 0, 0
			for i := range over {
				if new[lastNew+fwd-over+i] == old[lastOld+fwd-over+i] {
					score++
				}
				if new[scan-back+i] == old[pos-back+i] {
					score--
				}
				if score > best {
					best, cut = score, i+1
				}
			}
			fwd += cut - over
			back -= cut
		}
		if fwd > 0 {
			ops = append(ops, op{int64(lastOld), int64(lastNew), int64(fwd)})
		}
		lastNew, lastOld = scan-back, pos-back
		a.use(lastOld - lastNew)
	}
	return ops, nil
}

// trust is the part of a match's length for which it is believed.
const trust = 256

// extend returns the length up to limit at which agreements most outweigh the
// rest.
func extend(limit int, agree func(i int) bool) int {
	score, best, length := 0, 0, 0
	for i := range limit {
		if agree(i) {
			score++
		}
		if score*2-(i+1) > best*2-length {
			best, length = score, i+1
		}
	}
	return length
}

// aligner looks up longest matches. first narrows the binary search by the
// first two bytes.
type aligner struct {
	old, new []byte
	sa       []int32
	first    []int32
	rank     int // in sa, of the match that longest found
	recent   [4]int
	read     int // bytes of all matches found
}

func (a *aligner) index() {
	a.first = make([]int32, 1<<16+1)
	for i := range a.old {
		a.first[a.key(a.old[i:])+1]++
	}
	for i := range 1 << 16 {
		a.first[i+1] += a.first[i]
	}
}

func (a *aligner) key(b []byte) int {
	if len(b) < 2 {
		return int(b[0]) << 8
	}
	return int(b[0])<<8 | int(b[1])
}

// longest returns the longest match of new[at:] anywhere in old.
func (a *aligner) longest(at int) (pos, n int) {
	want := a.new[at:]
	lo, hi := 0, len(a.sa)-1
	if len(want) >= 2 {
		// Only within the suffixes that share two bytes is a match worth having,
		// but their neighbours are needed as ends of the search.
		k := a.key(want)
		lo, hi = max(int(a.first[k])-1, 0), min(int(a.first[k+1]), len(a.sa)-1)
	}
	nlo, nhi := matchLength(a.old[a.sa[lo]:], want), matchLength(a.old[a.sa[hi]:], want)
	for hi-lo >= 2 {
		mid := lo + (hi-lo)/2
		s := a.old[a.sa[mid]:]
		// Both ends share this much with want, so everything between does.
		m := min(nlo, nhi)
		m += matchLength(s[m:], want[m:])
		if m < len(want) && (m >= len(s) || s[m] < want[m]) {
			lo, nlo = mid, m
		} else {
			hi, nhi = mid, m
		}
	}
	if nlo > nhi {
		a.rank = lo
		return int(a.sa[lo]), nlo
	}
	a.rank = hi
	return int(a.sa[hi]), nhi
}

// nearest returns, of the places in old that match new[at:at+n] as well as the
// one that longest found last, the one nearest to a recent alignment: it is the
// likelier origin and the cheaper one to write down.
func (a *aligner) nearest(at, n int) int {
	const look = 200 // neighbours looked at on either side
	want := a.new[at : at+n]
	best, cost := 0, maxFile
	try := func(rank int) bool {
		pos := int(a.sa[rank])
		if matchLength(a.old[pos:], want) < n {
			return false
		}
		for _, shift := range a.recent {
			d := pos - at - shift
			if d = max(d, -d); d < cost {
				best, cost = pos, d
			}
		}
		return true
	}
	for i := a.rank; i >= max(a.rank-look, 0) && try(i); i-- {
	}
	for i := a.rank + 1; i < min(a.rank+look, len(a.sa)) && try(i); i++ {
	}
	return best
}

func (a *aligner) use(shift int) {
	copy(a.recent[1:], a.recent[:])
	a.recent[0] = shift
}

// prune joins ops that continue each other and drops those that explain too
// little to be worth their place. least is the worth of an op in bytes.
func prune(old, new []byte, ops []op, least int64) []op {
	equal := func(o, n, count int64) int64 {
		if o < 0 || o+count > int64(len(old)) || n+count > int64(len(new)) {
			return 0
		}
		k := int64(0)
		for i := range count {
			if old[o+i] == new[n+i] {
				k++
			}
		}
		return k
	}
	for range 4 {
		var out []op
		for i := 0; i < len(ops); i++ {
			o := ops[i]
			if len(out) > 0 {
				p := &out[len(out)-1]
				shift := p.old - p.new
				end := p.new + p.n
				// The same alignment again: bridge the gap.
				if gap := o.new - end; shift == o.old-o.new && gap < 1<<16 {
					if gap <= least || 2*equal(end+shift, end, gap) >= gap {
						p.n = o.new + o.n - p.new
						continue
					}
				}
				// The one after has it: is the detour worth it?
				if i+1 < len(ops) && ops[i+1].old-ops[i+1].new == shift {
					next := ops[i+1]
					if span := next.new - end; span < 4096 {
						if equal(o.old, o.new, o.n)-equal(end+shift, end, span) <= 2*least {
							p.n = next.new + next.n - p.new
							i++
							continue
						}
					}
				}
			}
			if equal(o.old, o.new, o.n) >= least {
				out = append(out, o)
			}
		}
		settled := len(out) == len(ops)
		ops = out
		if settled {
			break
		}
	}
	return ops
}

// split cuts ops at the given offsets of either file, and drops the parts that
// lie in the ranges of the new file that are made outright.
func split(ops []op, oldCuts, newCuts []int64, made []executable.Table) []op {
	slices.Sort(oldCuts)
	slices.Sort(newCuts)
	next := func(cuts []int64, at int64) int64 {
		i, _ := slices.BinarySearch(cuts, at+1)
		if i == len(cuts) {
			return 1 << 62
		}
		return cuts[i]
	}
	within := func(at int64) bool {
		for _, g := range made {
			if at >= g.Off && at < g.Off+g.N {
				return true
			}
		}
		return false
	}
	var out []op
	for _, o := range ops {
		for o.n > 0 {
			n := min(o.n, next(oldCuts, o.old)-o.old, next(newCuts, o.new)-o.new)
			if !within(o.new) {
				out = append(out, op{o.old, o.new, n})
			}
			o.old, o.new, o.n = o.old+n, o.new+n, o.n-n
		}
	}
	return out
}
