package executable

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sort"
)

// Some tables of an executable follow from the rest of it. They are made again
// instead of being shipped.

// A Maker makes one range of the new file from what was written before it.
type Maker interface {
	// See is shown every byte of the new file before the range, in order.
	See(b []byte, off int64)
	// Make returns the range.
	Make() []byte
}

// made is a range that needs nothing of what is written before it.
type made []byte

func (made) See([]byte, int64) {}

func (b made) Make() []byte { return b }

// What a generated range holds.
const (
	madeFindFunc         = iota // runtime.findfunctab
	madePageHashes              // of a Mach-O code signature
	madeRelocations             // of a PE file
	MadeFindFuncAhead           // runtime.findfunctab before the function table
	madeRelocationsMoved        // of a PE file of 32 bits, in whose code there are addresses too
)

// A Table is a range of the new file that can be made: N bytes at Off. P are the
// parameters of its kind.
type Table struct {
	Kind   uint64
	Off, N int64
	P      [4]int64
	Except []int64 // offsets, for madeRelocations and madeFindFuncAhead
}

// OfPacked reports whether the table follows from the file as it is, and not from
// what its packed sections hold.
func (g Table) OfPacked() bool { return g.Kind == madePageHashes }

// Bounds of what a patch may say: how many tables there are, and exceptions of each.
const (
	MaxTables     = 8
	MaxExceptions = 4096
)

// Tables returns the ranges that may follow from the rest.
func (im *Image) Tables() []Table {
	var out []Table
	if t := &im.tab; t.findFuncN > 0 {
		g := Table{Kind: madeFindFunc, Off: t.findFunc, N: t.findFuncN, P: [4]int64{
			t.funcTab, t.funcs, int64(t.minPC - im.Base[BaseText]), int64(t.maxPC - im.Base[BaseText]),
		}}
		if t.findFunc < t.funcTab {
			g.Kind, g.P[0], g.P[1] = MadeFindFuncAhead, 0, 0
		}
		out = append(out, g)
	}
	if g, ok := im.relocations(); ok {
		out = append(out, g)
	}
	if g, ok := im.pageHashes(); ok {
		out = append(out, g)
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Off < out[b].Off })
	return out
}

// Maker checks the range's parameters against the new file's size: they may
// come from a damaged patch. l is the layout of the new file, moved where the places
// of the old one are there; nil if that is not known.
func (g Table) Maker(l *Layout, moved Mover, newSize int64) (Maker, error) {
	within := func(off, n int64) bool { return off >= 0 && n >= 0 && off <= newSize && n <= newSize-off }
	if !within(g.Off, g.N) {
		return nil, errors.New("a table lies outside")
	}
	switch g.Kind {
	case madeFindFunc:
		t := &FindFuncTab{Big: l.Big, at: g.P[0], Min: g.P[2], Max: g.P[3]}
		if !within(g.P[0], 0) || g.P[1] < 0 || g.P[1] > (newSize-g.P[0])/8 || !t.fits(g.N) {
			return nil, errors.New("a function table lies outside")
		}
		t.Entries = make([]uint32, g.P[1])
		return t, nil
	case MadeFindFuncAhead:
		t := &FindFuncTab{Big: l.Big, Min: g.P[2], Max: g.P[3]}
		if moved == nil || !t.fits(g.N) {
			return nil, errors.New("a function table lies outside")
		}
		t.Entries = differ(moved(functionStarts, t.Min, t.Max), g.Except)
		return made(t.Make()), nil
	case madePageHashes:
		limit, page := g.P[0], g.P[1]
		if !within(0, limit) || page < 256 || page > 1<<30 || limit > g.Off || (limit+page-1)/page*sha256.Size != g.N {
			return nil, errors.New("page hashes of what is not there")
		}
		return newPageHashMaker(limit, page, g.N), nil
	case madeRelocations:
		return &relocMaker{l: l, skip: g.P[0], skipTo: g.P[1], except: g.Except, size: g.N}, nil
	case madeRelocationsMoved:
		if moved == nil {
			return nil, errors.New("relocations of what is not known")
		}
		m := &relocMaker{l: l, size: g.N}
		for _, rva := range differ(moved(relocatedAddresses, 0, 1<<32), g.Except) {
			m.add(uint64(rva))
		}
		return made(m.Make()), nil
	}
	return nil, fmt.Errorf("unknown table %d", g.Kind)
}

// Verified returns those ranges that really follow from the rest of the file, or
// may do so: what follows from where functions moved is left alone while moved is nil.
// packed is the file as it is, file the same with its packed sections unpacked.
func (im *Image) Verified(file, packed []byte, list []Table, moved Mover) []Table {
	var out []Table
	for _, g := range list {
		ok := true
		switch g.Kind {
		case madeRelocations:
			g.Except, ok = im.exceptions(g)
		case MadeFindFuncAhead, madeRelocationsMoved:
			if moved == nil {
				out = append(out, g)
				continue
			}
			if g.Kind == MadeFindFuncAhead {
				g.Except, ok = im.movedElsewhere(moved, g)
			} else {
				g.Except, ok = im.relocatedElsewhere(moved)
			}
		}
		if !ok {
			continue
		}
		maker, err := g.Maker(&im.Layout, moved, int64(len(file)))
		if err != nil {
			continue
		}
		if g.OfPacked() {
			maker.See(packed[:min(g.P[0], int64(len(packed)))], 0)
		} else {
			maker.See(file[:g.Off], 0)
		}
		if bytes.Equal(maker.Make(), file[g.Off:g.Off+g.N]) {
			out = append(out, g)
		}
	}
	return out
}
