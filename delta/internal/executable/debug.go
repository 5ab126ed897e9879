package executable

import "strings"

// Sections that no program loads: debugging information and symbols. Their names say
// what they are, and each gets addresses of its own behind those of the program, so
// that what refers into one is predicted by the same address map as everything else.

// The contents of such sections. A reference into one counts from its first byte.
const (
	contentDebug   Content = iota + contentDebugs // what has no references and gets none: abbreviations, strings
	contentFrames                                 // .debug_frame
	contentSymbols                                // of ELF
	contentSymbolsMachO
	contentInfo // from here on references lead here
	contentLines
	contentLocations
	contentRanges
	contentAddresses
	contentStrings // names of symbols
	contentsEnd
)

// A reference in such a section may begin at any byte, and has three bits of code: its
// place among these kinds.
const (
	debugPointer64 = iota
	debugPointer32
	debugInfo // 4 bytes from the start of that section; the others follow as contents do
	debugLines
	debugLocations
	debugRanges
	debugAddresses
	debugStrings
	debugCodes
)

const debugBases = int(contentsEnd - contentInfo)

// These do not compile unless there is one code for each base.
const (
	_ = uint(debugBases - (debugCodes - debugInfo))
	_ = uint((debugCodes - debugInfo) - debugBases)
)

// unloaded reports whether the section is no part of the running program.
func (s *Section) unloaded() bool { return s.Content >= contentDebugs }

// debugContent returns what a section holds by its name.
func debugContent(name string) Content {
	switch name = strings.TrimLeft(name, "._"); strings.TrimPrefix(strings.TrimPrefix(name, "z"), "debug_") {
	case "info", "types":
		return contentInfo
	case "line":
		return contentLines
	case "loc", "loclists":
		return contentLocations
	case "ranges", "rnglists":
		return contentRanges
	case "addr":
		return contentAddresses
	case "frame":
		return contentFrames
	case "strtab":
		return contentStrings
	}
	return contentDebug
}

// placeDebug gives those sections addresses, one after the other behind the image.
func (im *Image) placeDebug() {
	const align = 1 << 12
	im.Settle()
	top := (im.Hi + 2*align - 1) &^ (align - 1)
	for i := range im.Sections {
		if s := &im.Sections[i]; s.unloaded() {
			s.Addr = top
			top += (s.MemSize + align - 1) &^ (align - 1)
		}
	}
	im.Settle()
}

func debugForm(code int) form {
	switch code {
	case debugPointer64:
		return pointerForm
	case debugPointer32:
		return pointer32Form
	}
	i := code - debugInfo
	return form{
		width:  4,
		target: func(l *Layout, b []byte, _ uint64) uint64 { return l.debug[i] + uint64(l.u32(b)) },
		refer:  func(l *Layout, b []byte, _, target uint64) { l.put32(b, uint32(target-l.debug[i])) },
		mask:   maskWord,
	}
}

// debugPlace is Place in such a section.
func debugPlace(c Content, off int64) Place {
	switch c {
	case contentInfo:
		return placeDebug
	case contentLines, contentLocations, contentRanges:
		return placeLists
	case contentStrings:
		return placeText
	}
	return placeWord0 + Place(off&3)
}

// findDebug marks the references in these sections.
func (im *Image) findDebug() {
	for i := range im.Sections {
		s := &im.Sections[i]
		r := reader{im: im, at: s.Off, end: s.Off + s.FileSize}
		switch s.Content {
		case contentInfo:
			r.info(im.abbreviations)
		case contentLines:
			r.lines()
		case contentAddresses:
			r.addresses()
		case contentFrames:
			r.frames()
		case contentRanges:
			if im.lists(s) {
				r.rangeLists()
			} else {
				r.pairs(false)
			}
		case contentLocations:
			if im.lists(s) {
				r.locationLists()
			} else {
				r.pairs(true)
			}
		case contentSymbols:
			if r.address = im.File.wide; r.address == 8 {
				r.symbols(24, 8)
			} else {
				r.symbols(16, 4)
			}
		case contentSymbolsMachO:
			r.address = im.File.wide
			r.symbols(8+r.address, 8)
		}
	}
}

// symbols reads a table of symbols: the first four bytes of each are where its name
// begins, and its address is at value.
func (r *reader) symbols(size, value int64) {
	for end := r.at + size; end <= r.end; end += size {
		if r.im.File.u32(r.at) != 0 {
			r.mark(r.at, debugStrings)
		}
		r.at += value
		r.pointer()
		r.at = end
	}
}
