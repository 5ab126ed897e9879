package executable

import "slices"

// The base relocations of a PE file list every pointer in it, page by page
// (Microsoft, "PE Format", "The .reloc Section"; cmd/link/internal/ld/pe.go,
// peBaseRelocTable): the page's address and the block's size, 4 bytes each, then
// 2 bytes a pointer with its place in the page and the type in the top 4 bits;
// an odd count is padded.
const (
	relocPage  = 4096
	relocDir64 = 10 << 12
	relocHigh  = 3 << 12 // and low: the same for 4 bytes
)

// relocMaker lists the words that look like pointers. except holds the offsets
// where looks deceive, in rising order.
type relocMaker struct {
	l            *Layout
	skip, skipTo int64 // the range of the pclntab, which has none
	except       []int64
	size         int64 // of the table; what grows larger is none

	out   []byte
	block int    // where the block under way begins in out
	page  uint64 // its page
	word  uint64 // bytes of a word that the chunks cut
}

func (m *relocMaker) See(b []byte, off int64) {
	for i := 0; i < len(b); {
		at := off + int64(i)
		s := m.l.At(at)
		switch {
		case s == nil:
			i++
			continue
		case s.Content != contentData:
			i += int(s.Off + s.FileSize - at)
			continue
		case at >= m.skip && at < m.skipTo:
			i += int(m.skipTo - at)
			continue
		}
		end := min(int64(len(b)), s.Off+s.FileSize-off)
		if at < m.skip {
			end = min(end, m.skip-off)
		}
		for ; int64(i) < end; i++ {
			if at := off + int64(i); at&7 == 0 && int64(i)+8 <= end && !m.l.Narrow {
				m.pointer(at, le.Uint64(b[i:]), s)
				i += 7
			} else {
				m.word = m.word>>8 | uint64(b[i])<<56
				if m.l.Narrow && at&3 == 3 {
					m.pointer(at-3, m.word>>32, s)
				} else if !m.l.Narrow && at&7 == 7 {
					m.pointer(at-7, m.word, s)
				}
			}
		}
	}
}

// pointer records the word v at off if it is, or is listed as, a pointer.
func (m *relocMaker) pointer(off int64, v uint64, s *Section) {
	is := m.l.Holds(v)
	if len(m.except) > 0 && m.except[0] <= off {
		if m.except[0] == off {
			is = !is
		}
		m.except = m.except[1:]
	}
	if !is || off < s.Off {
		return
	}
	m.add(s.Addr + uint64(off-s.Off) - m.l.Base[baseImage])
}

// add records the place at an address relative to the image.
func (m *relocMaker) add(addr uint64) {
	if int64(len(m.out)) > m.size {
		return
	}
	if page := addr &^ (relocPage - 1); len(m.out) == 0 || page != m.page {
		m.finish()
		m.page, m.block = page, len(m.out)
		m.out = le.AppendUint32(m.out, uint32(page))
		m.out = le.AppendUint32(m.out, 0)
	}
	m.out = le.AppendUint16(m.out, m.l.relocType()|uint16(addr&(relocPage-1)))
}

// relocType is the type of a pointer in the table.
func (l *Layout) relocType() uint16 {
	if l.Narrow {
		return relocHigh
	}
	return relocDir64
}

func (m *relocMaker) finish() {
	if len(m.out) == 0 {
		return
	}
	if len(m.out)%4 != 0 {
		m.out = le.AppendUint16(m.out, 0)
	}
	le.PutUint32(m.out[m.block+4:], uint32(len(m.out)-m.block))
}

// relocations returns the table's range.
func (im *Image) relocations() (Table, bool) {
	f, d := im.File, im.pe.relocations
	if d.n == 0 {
		return Table{}, false
	}
	lo, ok := im.offset(im.tab.pclnLo)
	if !ok {
		return Table{}, false
	}
	if im.Narrow {
		return Table{Kind: madeRelocationsMoved, Off: d.off, N: d.n}, true
	}
	g := Table{Kind: madeRelocations, Off: d.off, N: d.n, P: [4]int64{lo &^ 7, (lo + int64(im.tab.pclnHi-im.tab.pclnLo) + 7) &^ 7}}
	return g, g.P[1] >= lo && g.P[1] <= f.size
}

// exceptions returns the words that the table lists although they do not look
// like pointers, or does not although they do; false if they are too many.
func (im *Image) exceptions(g Table) ([]int64, bool) {
	f, d, wide := im.File, im.pe.relocations, im.File.wide
	var except []int64
	listed := make(map[int64]bool)
	im.eachRelocated(func(rva uint64) {
		if off, ok := im.offset(im.Base[baseImage] + rva); ok {
			listed[off] = true
		}
	})
	for i := range im.Sections {
		s := &im.Sections[i]
		if s.Content != contentData {
			continue
		}
		for off := (s.Off + wide - 1) &^ (wide - 1); off+wide <= min(s.Off+s.FileSize, d.off); off += wide {
			if off >= g.P[0] && off < g.P[1] {
				continue
			}
			if im.Holds(f.word(off)) != listed[off] {
				if except = append(except, off); len(except) > MaxExceptions {
					return nil, false
				}
			}
		}
	}
	return except, true
}

func (m *relocMaker) Make() []byte {
	m.finish()
	return m.out
}

// eachRelocated calls f for each place in the table, with its address relative to
// the image.
func (im *Image) eachRelocated(f func(rva uint64)) {
	file, d := im.File, im.pe.relocations
	for at := d.off; at+8 <= d.off+d.n; {
		page, size := uint64(file.u32(at)), int64(file.u32(at+4))
		for e := at + 8; e+2 <= min(at+size, d.off+d.n); e += 2 {
			if w := file.u16(e); w&0xf000 == im.relocType() {
				f(page + uint64(w&0xfff))
			}
		}
		at += max(size, 8)
	}
}

// relocatedElsewhere returns the places of which the address map is wrong: those
// that are new, and places that are in the table no longer.
func (im *Image) relocatedElsewhere(moved Mover) ([]int64, bool) {
	var is []int64
	im.eachRelocated(func(rva uint64) { is = append(is, int64(rva)) })
	slices.Sort(is)
	return exceptions(moved(relocatedAddresses, 0, 1<<32), is)
}
