package delta

import (
	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
)

// layoutCoder holds the models of a layout.
type layoutCoder struct {
	count     coding.Number
	off, size coding.Signed
	addr, mem coding.Signed
	content   [16]coding.Model
	base      coding.Signed
}

// codeLayout codes the new file's layout relative to the old one's: what most often
// changes is where everything from some section on begins.
func codeLayout(c *coding.Coder, l, old *executable.Layout, newSize int64) (*executable.Layout, error) {
	var m layoutCoder
	out := executable.Layout{Arch: old.Arch, Big: old.Big, Narrow: old.Narrow}
	if c.Encoding {
		out = *l
	}
	n := int(min(c.Number(&m.count, uint64(len(out.Sections))), executable.MaxSections+1))
	if n > executable.MaxSections {
		return nil, damaged("too many sections")
	}
	if !c.Encoding {
		out.Sections = make([]executable.Section, n)
	}
	var off, addr, base int64 // shifts so far
	shifted := func(m *coding.Signed, v, was int64, shift *int64) int64 {
		*shift += c.Signed(m, v-was-*shift)
		return was + *shift
	}
	for i := range out.Sections {
		s, was := &out.Sections[i], executable.Section{}
		if i < len(old.Sections) {
			was = old.Sections[i]
		}
		s.Off = shifted(&m.off, s.Off, was.Off, &off)
		s.Addr = uint64(shifted(&m.addr, int64(s.Addr), int64(was.Addr), &addr))
		zero := int64(0)
		s.FileSize = shifted(&m.size, s.FileSize, was.FileSize, &zero)
		zero = 0
		s.MemSize = uint64(shifted(&m.mem, int64(s.MemSize-uint64(s.FileSize)), int64(was.MemSize-uint64(was.FileSize)), &zero)) + uint64(s.FileSize)
		s.Content = executable.Content(c.Tree(m.content[:], 4, uint32(s.Content)))
		if s.Off < 0 || s.FileSize < 0 || s.Off > newSize || s.FileSize > newSize-s.Off || s.Addr > 1<<48 || s.MemSize > 1<<48 || s.Content >= executable.Contents {
			return nil, damaged("section %d lies outside", i)
		}
	}
	for i := range out.Base {
		out.Base[i] = uint64(shifted(&m.base, int64(out.Base[i]), int64(old.Base[i]), &base))
	}
	out.Settle()
	return &out, c.Err()
}
