package delta

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// Some tables of an executable follow from the rest of it. They are made again
// instead of being shipped.

// A maker makes one range of the new file from what was written before it.
type maker interface {
	// see is shown every byte of the new file before the range, in order.
	see(b []byte, off int64)
	// make returns the range.
	make() []byte
}

// made is a range that needs nothing of what is written before it.
type made []byte

func (made) see([]byte, int64) {}

func (b made) make() []byte { return b }

// What a generated range holds.
const (
	madeFindFunc      = iota // runtime.findfunctab
	madePageHashes           // of a Mach-O code signature
	madeRelocations          // of a PE file
	madeFindFuncAhead        // runtime.findfunctab before the function table
)

// A generated range lies in [off, off+n) of the new file; p are the parameters
// of its kind.
type generated struct {
	kind   uint64
	off, n int64
	p      [4]int64
	except []int64 // offsets, for madeRelocations and madeFindFuncAhead
}

// maxGenerated bounds how many ranges a patch may have.
const (
	maxGenerated  = 8
	maxExceptions = 4096
)

// generated returns the ranges that may follow from the rest.
func (im *image) generated() []generated {
	var out []generated
	if t := &im.tab; t.findFuncN > 0 {
		g := generated{kind: madeFindFunc, off: t.findFunc, n: t.findFuncN, p: [4]int64{
			t.funcTab, t.funcs, int64(t.minPC - im.base[baseText]), int64(t.maxPC - im.base[baseText]),
		}}
		if t.findFunc < t.funcTab {
			g.kind, g.p[0], g.p[1] = madeFindFuncAhead, 0, 0
		}
		out = append(out, g)
	}
	if g, ok := im.relocations(); ok {
		out = append(out, g)
	}
	if g, ok := im.pageHashes(); ok {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b generated) int { return cmp.Compare(a.off, b.off) })
	return out
}

// maker checks the range's parameters against the new file's size: they may
// come from a damaged patch. m is what predicts copies into a file of layout l.
func (g generated) maker(l *layout, m *mover, newSize int64) (maker, error) {
	within := func(off, n int64) bool { return off >= 0 && n >= 0 && off <= newSize && n <= newSize-off }
	if !within(g.off, g.n) {
		return nil, damaged("a table lies outside")
	}
	switch g.kind {
	case madeFindFunc:
		t := &findFuncTab{at: g.p[0], min: g.p[2], max: g.p[3]}
		if !within(g.p[0], 0) || g.p[1] < 0 || g.p[1] > (newSize-g.p[0])/8 || !t.fits(g.n) {
			return nil, damaged("a function table lies outside")
		}
		t.entries = make([]uint32, g.p[1])
		return t, nil
	case madeFindFuncAhead:
		t := &findFuncTab{min: g.p[2], max: g.p[3]}
		if m == nil || !t.fits(g.n) {
			return nil, damaged("a function table lies outside")
		}
		t.entries = differ(m.functions(t.min, t.max), g.except)
		return made(t.make()), nil
	case madePageHashes:
		limit, page := g.p[0], g.p[1]
		if !within(0, limit) || page < 256 || page > 1<<30 || limit > g.off || (limit+page-1)/page*sha256.Size != g.n {
			return nil, damaged("page hashes of what is not there")
		}
		return newPageHashMaker(limit, page, g.n), nil
	case madeRelocations:
		return &relocMaker{l: l, skip: g.p[0], skipTo: g.p[1], except: g.except, size: g.n}, nil
	}
	return nil, damaged("unknown table %d", g.kind)
}

// generatedCoder holds the models of the list.
type generatedCoder struct {
	count, kind number
	field       [6]signed
	except, gap number
}

// generated codes the list, each range relative to the same one of the old file.
func (c *coder) generated(list, old []generated) ([]generated, error) {
	var m generatedCoder
	n := int(min(c.number(&m.count, uint64(len(list))), maxGenerated+1))
	if n > maxGenerated {
		return nil, damaged("too many tables")
	}
	out := make([]generated, n)
	copy(out, list)
	end := int64(0)
	for i := range out {
		g := &out[i]
		g.kind = c.number(&m.kind, g.kind)
		var was generated
		for _, o := range old {
			if o.kind == g.kind {
				was = o
			}
		}
		shift := int64(0)
		fields := []*int64{&g.off, &g.p[0], &g.n, &g.p[1], &g.p[2], &g.p[3]}
		before := []int64{was.off, was.p[0], was.n, was.p[1], was.p[2], was.p[3]}
		for j, f := range fields {
			if j == 2 {
				shift = 0
			}
			shift += c.signed(&m.field[j], *f-before[j]-shift)
			*f = before[j] + shift
		}
		if g.off < end || g.n <= 0 {
			return nil, damaged("a table lies outside")
		}
		end = g.off + g.n
		excepted := c.number(&m.except, uint64(len(g.except)))
		if excepted > maxExceptions {
			return nil, damaged("too many exceptions")
		}
		if !c.encoding {
			g.except = make([]int64, excepted)
		}
		at := int64(0)
		for j := range g.except {
			at += int64(c.number(&m.gap, uint64(g.except[j]-at)) & (1<<40 - 1))
			g.except[j] = at
		}
	}
	return out, c.err()
}
