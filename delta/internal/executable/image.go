// Package executable finds every place in an executable that refers to another.
//
// [Parse] reads ELF, PE and Mach-O files, and in them the tables of the Go linker
// and the instructions of those processors that have a row in processors. What it
// finds follows from the file alone, so that both sides of a patch see the same
// image of the old file. It is safe on any bytes: whatever they say, its work and
// memory are bounded by the size of the file.
package executable

import (
	"encoding/binary"
	"io"
	"sort"
)

var le = binary.LittleEndian

// A Section is a range of the file that has a range of addresses. One without
// bytes in the file (.bss) has a FileSize of 0.
type Section struct {
	Off, FileSize int64
	Addr, MemSize uint64
	Content       Content
}

// A Content decides how a section's references are found.
type Content uint8

const (
	contentData Content = iota
	contentCode
	contentRebase // of Mach-O: which pointers the loader moves
	contentDebugs // the first of those in debug.go

	Contents = contentsEnd
)

// Dense reports whether references may begin at any byte of the section.
func (l *Layout) Dense(s *Section) bool {
	return s.Content == contentCode && processors[l.Arch].dense || s.Content == contentRebase || s.unloaded()
}

// FirstKind is the kind of the references that the section's sites mark with a
// code of 0. In data and in code that is not dense no site has it.
func (l *Layout) FirstKind(s *Section) Kind {
	switch {
	case s.Content == contentRebase:
		return kindRebase
	case s.unloaded():
		return kindDebug
	case s.Content == contentData:
		return KindNone
	case processors[l.Arch].dense:
		return processors[l.Arch].first
	}
	return processors[l.Arch].first - 1
}

// A Base is what an offset in one of the linker's tables counts from.
type Base uint8

const (
	BaseText Base = iota
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

// A Layout says where things are in an executable. The old file's is found by
// parsing; the new one's travels in the patch.
type Layout struct {
	Arch     Arch
	Big      bool      // the byte order
	Narrow   bool      // addresses have 4 bytes instead of 8
	Sections []Section // by file offset
	Base     [bases]uint64
	Lo, Hi   uint64 // addresses of the image
	Top      uint64 // the end of all addresses: debugging information has some behind Hi

	debug [debugBases]uint64 // where the sections begin that debugging information refers to

	last *Section // that at found; the next question is mostly about it too
}

const MaxSections = 256

// Settle sorts the sections and finds the image's bounds.
func (l *Layout) Settle() {
	l.last = nil
	sort.SliceStable(l.Sections, func(a, b int) bool { return l.Sections[a].Off < l.Sections[b].Off })
	l.Lo, l.Hi, l.Top = 1<<64-1, 0, 0
	l.debug = [debugBases]uint64{}
	for _, s := range l.Sections {
		if l.Top = max(l.Top, s.Addr+s.MemSize); !s.unloaded() {
			l.Lo, l.Hi = min(l.Lo, s.Addr), max(l.Hi, s.Addr+s.MemSize)
		} else if i := int(s.Content) - int(contentInfo); i >= 0 && l.debug[i] == 0 {
			l.debug[i] = s.Addr
		}
	}
	if l.Hi < l.Lo {
		l.Lo, l.Hi, l.Top = 0, 0, 0
	}
}

// At returns the section that holds the file offset.
func (l *Layout) At(off int64) *Section {
	if s := l.last; s != nil && uint64(off-s.Off) < uint64(s.FileSize) {
		return s
	}
	lo, hi := 0, len(l.Sections)
	for lo < hi {
		if mid := (lo + hi) / 2; l.Sections[mid].Off <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	// The last one that begins here or before and is not empty.
	for i := lo - 1; i >= 0; i-- {
		if s := &l.Sections[i]; s.FileSize > 0 {
			if off < s.Off+s.FileSize {
				l.last = s
				return s
			}
			return nil
		}
	}
	return nil
}

// offset returns where in the file the address lies.
func (l *Layout) offset(addr uint64) (int64, bool) {
	for i := range l.Sections {
		if s := &l.Sections[i]; addr >= s.Addr && addr-s.Addr < uint64(s.FileSize) {
			return s.Off + int64(addr-s.Addr), true
		}
	}
	return 0, false
}

func (l *Layout) Address(off int64) (uint64, bool) {
	if s := l.At(off); s != nil {
		return s.Addr + uint64(off-s.Off), true
	}
	return 0, false
}

// Holds reports whether the address is one of the program's.
func (l *Layout) Holds(addr uint64) bool { return addr >= l.Lo && addr < l.Hi }

// Maps reports whether something of the file has the address.
func (l *Layout) Maps(addr uint64) bool { return addr >= l.Lo && addr < l.Top }

// An Image is a parsed executable: its layout and every place in it that
// refers to another. Parsing reads only the file, so that both sides of a
// patch see the same image of the old file.
type Image struct {
	Layout
	File  *Pages
	Sites Sites
	tab   tables
	pe    peDirectories
	macho machoLinkEdit

	streams       []Stream // unpacked in File
	packed        []Stream // seen by parse
	abbreviations Section

	budget int // what may still be looked at, in words; see mark
}

// Parse reads an executable. One that it does not know has no sections, and so
// no references. r has the streams of the file unpacked, its headers as they were.
// The error is one of reading.
func Parse(r io.ReaderAt, size int64, streams []Stream) (*Image, error) {
	im := &Image{File: NewPages(r, size), streams: streams}
	im.parse()
	im.placeDebug()
	if im.Arch == ArchNone || len(im.Sections) == 0 {
		im.Layout = Layout{}
		return im, im.File.Err
	}
	im.Sites = newSites(size)
	// Every 4 bytes hold one site at most; what marks more is no table.
	im.budget = int(size/2) + 1024
	im.findTables()
	im.findPclntab()
	im.findTypes()
	im.findExceptions()
	im.findPointers()
	im.findRebases()
	im.findCode()
	im.findDebug()
	return im, im.File.Err
}

// parse reads the headers.
func (im *Image) parse() {
	switch f := im.File; {
	case f.u32(0) == 0x464c457f:
		im.parseELF()
	case f.u16(0) == 0x5a4d:
		im.parsePE()
	case f.u32(0) == 0xfeedfacf || f.u32(0) == 0xfeedface:
		im.parseMachO()
	}
	im.Big, im.Narrow = im.File.big, im.File.wide == 4
}

// A Place is what is known of a byte from where it lies; models are kept apart
// by it.
type Place uint8

const (
	placeWord0 Place = iota // data, by its place in a word
	placeWord1
	placeWord2
	placeWord3
	placeCode
	placeText  // names of functions and files
	placePCTab // tables of program counters, in bytes
	placeDebug // of debugging information: entries
	placeLists // lines and lists
	Places
)

func (l *Layout) Place(off int64) Place {
	s := l.At(off)
	if s == nil || s.Content == contentRebase {
		return placeWord0
	}
	if s.Content == contentCode {
		return placeCode
	}
	if s.unloaded() {
		return debugPlace(s.Content, off)
	}
	switch addr := s.Addr + uint64(off-s.Off); {
	case addr < l.Base[baseFuncName] || addr >= l.Base[baseFuncTab]:
	case addr >= l.Base[basePCTab]:
		return placePCTab
	case addr >= l.Base[baseFileTab] || addr < l.Base[baseCUTab]:
		return placeText
	}
	return placeWord0 + Place(off&3)
}

// addSection records one section if it lies within the file and shares no byte
// of it with one before.
func (im *Image) addSection(s Section) {
	const top = 1 << 48
	if len(im.Sections) >= MaxSections || s.Off < 0 || s.FileSize < 0 || s.Off > im.File.size || s.FileSize > im.File.size-s.Off ||
		s.Addr >= top || s.MemSize >= top || s.MemSize < uint64(s.FileSize) || s.MemSize == 0 {
		return
	}
	for _, o := range im.Sections {
		if s.Off < o.Off+o.FileSize && o.Off < s.Off+s.FileSize {
			return
		}
	}
	im.Sections = append(im.Sections, s)
}
