package delta

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// An addressMap says where what was at an old address is now: a list of
// starts, each with the shift of what follows up to the next.
//
// Most of it costs nothing, because every op that copies addressed bytes says
// where they went. Runs override it where an op cannot say or says the wrong
// thing: memory without bytes in the file, and names that other code took over.
type addressMap struct {
	parts []segment

	// index[i] is the segment in force at lo + i<<grain.
	lo    uint64
	grain int
	index []int32
}

// A segment says how far what lies from start to the next one has moved.
type segment struct{ start, shift uint64 }

// A run overrides the map from one old address to before another.
type run struct {
	from, to uint64
	shift    uint64
}

func (m *addressMap) add(start, shift uint64) {
	if n := len(m.parts); n > 0 {
		switch last := &m.parts[n-1]; {
		case last.start == start:
			last.shift = shift
			return
		case last.shift == shift:
			return
		}
	}
	m.parts = append(m.parts, segment{start, shift})
}

// seal makes the map ready for lookups between lo and hi.
func (m *addressMap) seal(lo, hi uint64) {
	const maxIndex = 1 << 16
	m.lo = lo
	m.grain = max(bits.Len64((hi-lo)/maxIndex), 4)
	m.index = make([]int32, (hi-lo)>>m.grain+2)
	at := 0
	for i := range m.index {
		addr := lo + uint64(i)<<m.grain
		for at < len(m.parts) && m.parts[at].start <= addr {
			at++
		}
		m.index[i] = int32(at - 1)
	}
}

// at returns the shift of an address between the bounds given to seal.
func (m *addressMap) at(addr uint64) uint64 {
	i := (addr - m.lo) >> m.grain
	a, b := int(m.index[i]), int(m.index[i+1])
	for a < b {
		mid := (a + b + 1) / 2
		if m.parts[mid].start <= addr {
			a = mid
		} else {
			b = mid - 1
		}
	}
	if a < 0 {
		return 0
	}
	return m.parts[a].shift
}

// A span is what one op says: what lay between two old addresses has moved by shift.
type span struct{ from, to, shift uint64 }

// mapOfOps returns the map that the ops imply. Where several ops copy the same
// address, the one that begins first holds, and of those the longest.
func mapOfOps(old, new *executable.Layout, ops []op) *addressMap {
	spans := make([]span, 0, len(ops))
	for _, o := range ops {
		from, ok := old.Address(o.old)
		to, ok2 := new.Address(o.new)
		if ok && ok2 {
			spans = append(spans, span{from, from + uint64(o.n), to - from})
		}
	}
	spans = byStart(spans)
	m := &addressMap{parts: make([]segment, 0, len(spans))}
	end := uint64(0)
	for i := 0; i < len(spans); {
		s := spans[i]
		for i++; i < len(spans) && spans[i].from == s.from; i++ {
			if spans[i].to > s.to {
				s = spans[i]
			}
		}
		if from := max(s.from, end); from < s.to {
			m.add(from, s.shift)
			end = s.to
		}
	}
	return m
}

// byStart sorts spans by from; of equals the first stays first. Sorting digit by
// digit takes a fifth of the time of comparing: a program has 10⁴ to 10⁵ spans.
func byStart(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	lo, hi := spans[0].from, spans[0].from
	for _, s := range spans {
		lo, hi = min(lo, s.from), max(hi, s.from)
	}
	const digit = 11
	out := make([]span, len(spans))
	for done := 0; (hi-lo)>>done != 0; done += digit {
		var at [1 << digit]int // counts, then where the next one of each digit goes
		for _, s := range spans {
			at[(s.from-lo)>>done%(1<<digit)]++
		}
		sum := 0
		for d, n := range at {
			at[d] = sum
			sum += n
		}
		for _, s := range spans {
			d := (s.from - lo) >> done % (1 << digit)
			out[at[d]] = s
			at[d]++
		}
		spans, out = out, spans
	}
	return spans
}

// with returns the map overridden by runs, which are sorted and disjoint.
func (m *addressMap) with(runs []run) *addressMap {
	out := &addressMap{parts: make([]segment, 0, len(m.parts)+2*len(runs))}
	i := 0
	for _, r := range runs {
		for ; i < len(m.parts) && m.parts[i].start < r.from; i++ {
			out.add(m.parts[i].start, m.parts[i].shift)
		}
		out.add(r.from, r.shift)
		for i < len(m.parts) && m.parts[i].start < r.to {
			i++
		}
		after := uint64(0)
		if i > 0 {
			after = m.parts[i-1].shift
		}
		out.add(r.to, after)
	}
	for ; i < len(m.parts); i++ {
		out.add(m.parts[i].start, m.parts[i].shift)
	}
	return out
}

// runCoder holds the models of the list of runs.
type runCoder struct {
	count  coding.Number
	gap, n coding.Number
	shift  [2]coding.Signed
	again  coding.Model // the shift of the run before the last one
}

// codeRuns codes the list.
func codeRuns(c *coding.Coder, runs []run, newSize int64) ([]run, error) {
	var m runCoder
	count := c.Number(&m.count, uint64(len(runs)))
	if count > maxOps(newSize) {
		return nil, damaged("%d runs for %d bytes", count, newSize)
	}
	if !c.Encoding {
		runs = make([]run, 0, count)
	}
	var prev, before run
	for i := range int(count) {
		var r run
		if c.Encoding {
			r = runs[i]
		}
		gap := c.Number(&m.gap, r.from-prev.to)
		n := c.Number(&m.n, r.to-r.from)
		if gap > 1<<48 || n == 0 || n > 1<<48 {
			return nil, damaged("run %d lies outside", i)
		}
		r.from = prev.to + gap
		r.to = r.from + n
		if i > 1 && c.Bit(&m.again, bit(r.shift == before.shift)) != 0 {
			r.shift = before.shift
		} else {
			r.shift = prev.shift + uint64(c.Signed(&m.shift[min(gap, 1)], int64(r.shift-prev.shift)))
		}
		if r.to > 1<<52 {
			return nil, damaged("run %d lies outside", i)
		}
		if !c.Encoding {
			if err := c.Err(); err != nil {
				return nil, err
			}
			runs = append(runs, r)
		}
		before, prev = prev, r
	}
	return runs, nil
}

// A vote is one reference in the new file: what it refers to was at target and
// has moved by shift.
type vote struct{ target, shift uint64 }

// Costs of the search for runs, in bytes: of one more run, and of one
// reference predicted wrongly.
const (
	runCost  = 3.0
	missCost = 1.3
)

// Of how many shifts of one target the search takes account, the most frequent ones, and how many paths it follows.
// Programs have a few of each; without an end to them the search of an odd one would take hours.
const (
	maxShifts = 64
	maxPaths  = 512
)

// findRuns returns the runs that make the votes cheapest to explain, on top of
// what m says: the shortest path through the targets, where staying with a
// shift is free and changing it costs a run (Viterbi).
func findRuns(m *addressMap, votes []vote, hi uint64) []run {
	slices.SortFunc(votes, func(a, b vote) int {
		return cmp.Or(cmp.Compare(a.target, b.target), cmp.Compare(a.shift, b.shift))
	})
	type step struct { // the path, linked from its end
		prev  *step
		at    uint64
		shift uint64
		own   bool // false: what m says
	}
	type state struct {
		shift uint64
		own   bool
		cost  float64
		path  *step
	}
	less := func(a, b *state) bool {
		if a.cost != b.cost {
			return a.cost < b.cost
		}
		if a.own != b.own {
			return !a.own
		}
		return a.shift < b.shift
	}
	active := []state{{}}
	var next []state
	type count struct {
		shift uint64
		n     int
	}
	var counts []count
	for i := 0; i < len(votes); {
		target := votes[i].target
		counts = counts[:0]
		total := 0
		for ; i < len(votes) && votes[i].target == target; i++ {
			if k := len(counts); k > 0 && counts[k-1].shift == votes[i].shift {
				counts[k-1].n++
			} else {
				counts = append(counts, count{votes[i].shift, 1})
			}
			total++
		}
		best := active[0]
		for j := range active {
			if less(&active[j], &best) {
				best = active[j]
			}
		}
		said := m.at(target)
		cost := func(own bool, shift uint64) float64 {
			if !own {
				shift = said
			}
			for _, c := range counts {
				if c.shift == shift {
					return missCost * float64(total-c.n)
				}
			}
			return missCost * float64(total)
		}
		if len(counts) > maxShifts {
			slices.SortStableFunc(counts, func(a, b count) int { return cmp.Compare(b.n, a.n) })
			counts = counts[:maxShifts]
		}
		if len(active) > maxPaths {
			slices.SortStableFunc(active, func(a, b state) int { return cmp.Compare(a.cost, b.cost) })
			active = active[:maxPaths/2]
		}
		next = next[:0]
		for _, s := range active {
			if s.cost < best.cost+runCost {
				s.cost += cost(s.own, s.shift)
				next = append(next, s)
			}
		}
		try := func(own bool, shift uint64) {
			s := state{shift, own, best.cost + runCost + cost(own, shift), nil}
			for j := range next {
				if next[j].own == own && next[j].shift == shift {
					if next[j].cost > s.cost {
						s.path = &step{best.path, target, shift, own}
						next[j] = s
					}
					return
				}
			}
			s.path = &step{best.path, target, shift, own}
			next = append(next, s)
		}
		for _, c := range counts {
			if c.shift != said || total > 1 {
				try(true, c.shift)
			}
		}
		try(false, 0)
		active, next = next, active
	}
	best := active[0]
	for j := range active {
		if less(&active[j], &best) {
			best = active[j]
		}
	}
	var runs []run
	to := hi
	for p := best.path; p != nil; p = p.prev {
		if p.own && p.at < to {
			runs = append(runs, run{p.at, to, p.shift})
		}
		to = p.at
	}
	slices.Reverse(runs)
	return runs
}
