package delta

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/executable"
)

func TestAddressMap(t *testing.T) {
	old := &executable.Layout{Sections: []executable.Section{{Off: 0, FileSize: 0x1000, Addr: 0x1000, MemSize: 0x1000}}}
	new := &executable.Layout{Sections: []executable.Section{{Off: 0, FileSize: 0x2000, Addr: 0x9000, MemSize: 0x2000}}}
	old.Settle()
	new.Settle()
	m := mapOfOps(old, new, []op{
		{0x100, 0x100, 0x100}, // 0x1100… to 0x9100…
		{0x180, 0x400, 0x100}, // the second half is new: 0x1200… to 0x9480…
		{0x400, 0x800, 0x100},
	}).with([]run{{0x1380, 0x1410, 5}, {0x1600, 0x1700, 7}})
	m.seal(old.Lo, old.Hi)
	for _, row := range []struct{ addr, shift uint64 }{
		{0x1000, 0}, {0x10ff, 0},
		{0x1100, 0x8000}, {0x11ff, 0x8000},
		{0x1200, 0x8280}, {0x137f, 0x8280},
		{0x1380, 5}, {0x140f, 5},
		{0x1410, 0x8400}, {0x15ff, 0x8400},
		{0x1600, 7}, {0x16ff, 7},
		{0x1700, 0x8400}, {0x1fff, 0x8400},
	} {
		if got := m.at(row.addr); got != row.shift {
			t.Errorf("%#x moves by %#x, want %#x", row.addr, got, row.shift)
		}
	}
}

func TestSpansByStart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, reach := range []uint64{1, 3, 1 << 11, 1<<11 + 1, 1 << 22, 1 << 52} {
		spans := make([]span, 1000)
		for i := range spans {
			spans[i] = span{from: 1<<40 + random.Uint64N(reach), shift: uint64(i)}
		}
		want := slices.Clone(spans)
		slices.SortStableFunc(want, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		if !slices.Equal(byStart(spans), want) {
			t.Errorf("reach %d: not in order", reach)
		}
	}
	if len(byStart(nil)) != 0 || len(byStart([]span{{from: 7}})) != 1 {
		t.Error("none and one")
	}
}

// Of ops that copy the same, the longest holds, and of those the first.
func TestMapOfEqualStarts(t *testing.T) {
	file := &executable.Layout{Sections: []executable.Section{{Off: 0, FileSize: 0x1000, Addr: 0x1000, MemSize: 0x1000}}}
	file.Settle()
	m := mapOfOps(file, file, []op{{0x100, 0x110, 0x10}, {0x100, 0x220, 0x80}, {0x100, 0x330, 0x80}, {0x100, 0x440, 0x20}, {0x140, 0x500, 0x80}})
	m.seal(file.Lo, file.Hi)
	for addr, shift := range map[uint64]uint64{0x1100: 0x120, 0x117f: 0x120, 0x1180: 0x3c0, 0x11bf: 0x3c0} {
		if got := m.at(addr); got != shift {
			t.Errorf("%#x moves by %#x, want %#x", addr, got, shift)
		}
	}
}

// Where many references agree on a shift that the copies do not tell, a run
// says so; a single one that errs is left to the residue.
func TestRunsFollowTheVotes(t *testing.T) {
	m := &addressMap{}
	m.add(0x1000, 0x10)
	m.seal(0x1000, 0x3000)
	var votes []vote
	for a := uint64(0x1000); a < 0x3000; a += 0x40 {
		shift := uint64(0x10)
		if a >= 0x2000 && a < 0x2800 {
			shift = 0x30
		}
		if a == 0x1400 {
			shift = 0x999
		}
		votes = append(votes, vote{a, shift}, vote{a, shift})
	}
	votes[2*(0x400/0x40)+1].shift = 0x10
	runs := findRuns(m, votes, 0x3000)
	if len(runs) != 1 || runs[0] != (run{0x2000, 0x2800, 0x30}) {
		t.Fatalf("runs %x", runs)
	}
}
