package delta

import (
	"cmp"
	"io"
	"slices"
)

// An arch decides how code is read.
type arch byte

const (
	archNone arch = iota // nothing is read
	archAMD64
	archARM64
	archOther // tables and pointers are read, code is not
)

// A section is a range of the file that has a range of addresses. One without
// bytes in the file (.bss) has fileSize 0.
type section struct {
	off, fileSize int64
	addr, memSize uint64
	content       content
}

// A content decides how a section's references are found.
type content uint8

const (
	contentData content = iota
	contentCode
	contentRebase // of Mach-O: which pointers the loader moves
	contents
)

// dense reports whether references may begin at any byte of the section.
func (l *layout) dense(s *section) bool {
	return s.content == contentCode && l.arch == archAMD64 || s.content == contentRebase
}

// A base is what an offset in one of the linker's tables counts from.
type base uint8

const (
	baseText base = iota
	baseFuncName
	basePCTab
	baseFuncTab
	baseCUTab
	baseFileTab
	baseGoFunc
	baseTypes
	baseImage    // of PE: relative virtual addresses
	baseSegment1 // of Mach-O: what rebase opcodes count from
	baseSegment2
	baseSegment3
	bases
)

// A layout says where things are in an executable. The old file's is found by
// parsing; the new one's travels in the patch.
type layout struct {
	arch     arch
	sections []section // by file offset
	base     [bases]uint64
	lo, hi   uint64 // addresses of the image

	last *section // that at found; the next question is mostly about it too
}

const maxSections = 256

// settle sorts the sections and finds the image's bounds.
func (l *layout) settle() {
	l.last = nil
	slices.SortStableFunc(l.sections, func(a, b section) int { return cmp.Compare(a.off, b.off) })
	l.lo, l.hi = 1<<64-1, 0
	for _, s := range l.sections {
		l.lo, l.hi = min(l.lo, s.addr), max(l.hi, s.addr+s.memSize)
	}
	if l.hi < l.lo {
		l.lo, l.hi = 0, 0
	}
}

// at returns the section that holds the file offset.
func (l *layout) at(off int64) *section {
	if s := l.last; s != nil && uint64(off-s.off) < uint64(s.fileSize) {
		return s
	}
	lo, hi := 0, len(l.sections)
	for lo < hi {
		if mid := (lo + hi) / 2; l.sections[mid].off <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	// The last one that begins here or before and is not empty.
	for i := lo - 1; i >= 0; i-- {
		if s := &l.sections[i]; s.fileSize > 0 {
			if off < s.off+s.fileSize {
				l.last = s
				return s
			}
			return nil
		}
	}
	return nil
}

// offset returns where in the file the address lies.
func (l *layout) offset(addr uint64) (int64, bool) {
	for i := range l.sections {
		if s := &l.sections[i]; addr >= s.addr && addr-s.addr < uint64(s.fileSize) {
			return s.off + int64(addr-s.addr), true
		}
	}
	return 0, false
}

func (l *layout) address(off int64) (uint64, bool) {
	if s := l.at(off); s != nil {
		return s.addr + uint64(off-s.off), true
	}
	return 0, false
}

func (l *layout) holds(addr uint64) bool { return addr >= l.lo && addr < l.hi }

// An image is a parsed executable: its layout and every place in it that
// refers to another. Parsing reads only the file, so that both sides of a
// patch see the same image of the old file.
type image struct {
	layout
	file  *pages
	sites sites
	tab   tables
	pe    peDirectories
	macho machoLinkEdit

	budget int // what may still be looked at, in words; see mark
}

// parse reads an executable. One that it does not know has no sections, and so
// no references. The error is one of reading.
func parse(r io.ReaderAt, size int64) (*image, error) {
	im := &image{file: newPages(r, size)}
	switch f := im.file; {
	case f.u32(0) == 0x464c457f:
		im.parseELF()
	case f.u16(0) == 0x5a4d:
		im.parsePE()
	case f.u32(0) == 0xfeedfacf:
		im.parseMachO()
	}
	im.settle()
	if im.arch == archNone || len(im.sections) == 0 {
		im.layout = layout{}
		return im, im.file.err
	}
	im.sites = newSites(size)
	// Every 4 bytes hold one site at most; what marks more is no table.
	im.budget = int(size/2) + 1024
	im.findTables()
	im.findPclntab()
	im.findTypes()
	im.findExceptions()
	im.findPointers()
	im.findRebases()
	im.findCode()
	return im, im.file.err
}

// A place is what is known of a byte from where it lies; models are kept apart
// by it.
type place uint8

const (
	placeWord0 place = iota // data, by its place in a word
	placeWord1
	placeWord2
	placeWord3
	placeCode
	placeText  // names of functions and files
	placePCTab // tables of program counters, in bytes
	places
)

func (l *layout) place(off int64) place {
	s := l.at(off)
	if s == nil || s.content == contentRebase {
		return placeWord0
	}
	if s.content == contentCode {
		return placeCode
	}
	switch addr := s.addr + uint64(off-s.off); {
	case addr < l.base[baseFuncName] || addr >= l.base[baseFuncTab]:
	case addr >= l.base[basePCTab]:
		return placePCTab
	case addr >= l.base[baseFileTab] || addr < l.base[baseCUTab]:
		return placeText
	}
	return placeWord0 + place(off&3)
}

// addSection records one section if it lies within the file and shares no byte
// of it with one before.
func (im *image) addSection(s section) {
	const top = 1 << 48
	if len(im.sections) >= maxSections || s.off < 0 || s.fileSize < 0 || s.off > im.file.size || s.fileSize > im.file.size-s.off ||
		s.addr >= top || s.memSize >= top || s.memSize < uint64(s.fileSize) || s.memSize == 0 {
		return
	}
	for _, o := range im.sections {
		if s.off < o.off+o.fileSize && o.off < s.off+s.fileSize {
			return
		}
	}
	im.sections = append(im.sections, s)
}
