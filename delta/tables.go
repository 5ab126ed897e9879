package delta

import (
	"slices"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// generatedCoder holds the models of the list.
type generatedCoder struct {
	count, kind coding.Number
	field       [6]coding.Signed
	except, gap coding.Number
}

// codeGenerated codes the list, each range relative to the same one of the old file.
func codeGenerated(c *coding.Coder, list, old []executable.Table) ([]executable.Table, error) {
	var m generatedCoder
	n := int(min(c.Number(&m.count, uint64(len(list))), executable.MaxTables+1))
	if n > executable.MaxTables {
		return nil, damaged("too many tables")
	}
	out := make([]executable.Table, n)
	copy(out, list)
	end := int64(0)
	for i := range out {
		g := &out[i]
		g.Kind = c.Number(&m.kind, g.Kind)
		// A file has one of each, and one may take half the size of the file to make.
		if slices.ContainsFunc(out[:i], func(o executable.Table) bool { return o.Kind == g.Kind }) {
			return nil, damaged("two tables of one kind")
		}
		var was executable.Table
		for _, o := range old {
			if o.Kind == g.Kind {
				was = o
			}
		}
		shift := int64(0)
		fields := []*int64{&g.Off, &g.P[0], &g.N, &g.P[1], &g.P[2], &g.P[3]}
		before := []int64{was.Off, was.P[0], was.N, was.P[1], was.P[2], was.P[3]}
		for j, f := range fields {
			if j == 2 {
				shift = 0
			}
			shift += c.Signed(&m.field[j], *f-before[j]-shift)
			*f = before[j] + shift
		}
		if g.Off < end || g.N <= 0 {
			return nil, damaged("a table lies outside")
		}
		end = g.Off + g.N
		excepted := c.Number(&m.except, uint64(len(g.Except)))
		if excepted > executable.MaxExceptions {
			return nil, damaged("too many exceptions")
		}
		if !c.Encoding {
			g.Except = make([]int64, excepted)
		}
		at := int64(0)
		for j := range g.Except {
			at += int64(c.Number(&m.gap, uint64(g.Except[j]-at)) & (1<<40 - 1))
			g.Except[j] = at
		}
	}
	return out, c.Err()
}
