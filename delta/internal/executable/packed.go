package executable

import (
	"slices"
	"sort"
	"strings"
)

// A Stream is a range of a file that holds other bytes packed: N bytes at Off for Plain bytes.
type Stream struct {
	Off, N, Plain int64
}

// MaxStreams is how many streams of a file are looked at: debugging information has a dozen sections.
const MaxStreams = 64

// Packed returns the streams in an executable's sections of debugging information,
// as its headers promise them, by offset. None of them shares a byte with another.
func Packed(f *Pages) []Stream {
	im := &Image{File: f}
	im.parse()
	sort.SliceStable(im.packed, func(a, b int) bool { return im.packed[a].Off < im.packed[b].Off })
	var out []Stream
	end := int64(0)
	for _, s := range im.packed {
		if s.Off >= end && len(out) < MaxStreams {
			out, end = append(out, s), s.Off+s.N
		}
	}
	return out
}

// A packed section begins with a header of its own: an Elf32_Chdr or Elf64_Chdr where
// the section's flags say so (System V ABI, "Section Compression"), or "ZLIB" and the
// size as 8 bytes, big-endian, in sections called .zdebug_ or __zdebug_.
const (
	packedZlib   = 1
	packedMagic  = "ZLIB"
	packedHeader = 12
)

// addDebug records a section of debugging information or symbols, whose name is given
// without what it begins with everywhere. Of a packed one it is what lies unpacked in
// the file that counts; where it is not unpacked, only that it could be is noted.
func (im *Image) addDebug(name string, c Content, compressed bool, off, size int64) {
	f, header, plain := im.File, int64(0), uint64(0)
	if off < 0 || size < 0 {
		return
	}
	switch at := im.moved(off); {
	case compressed:
		if header = 3 * f.wide; f.u32(at) == packedZlib {
			plain = f.word(at + f.wide)
		}
	case strings.HasPrefix(name, "zdebug_"):
		if header = packedHeader; f.cstring(at, len(packedMagic)) == packedMagic {
			for i := range int64(8) {
				plain = plain<<8 | uint64(f.u8(at+4+i))
			}
		}
	}
	if header > 0 {
		unpacked := slices.ContainsFunc(im.streams, func(s Stream) bool { return s.Off == off+header })
		if size > header && plain > 0 && plain < 1<<31 {
			im.packed = append(im.packed, Stream{off + header, size - header, int64(plain)})
		}
		if !unpacked {
			return
		}
	}
	from, to := im.moved(off+header), im.moved(off+size)
	s := Section{Off: from, FileSize: to - from, MemSize: uint64(max(to-from, 0)), Content: c}
	if im.addSection(s); strings.TrimPrefix(name, "z") == "debug_abbrev" {
		im.abbreviations = s
	}
}

// elfDebug records a section of ELF that is not loaded.
func (im *Image) elfDebug(name string, kind uint32, flags uint64, off, size int64) {
	const flagCompressed, typeSymbols, typeNoBits = 0x800, 2, 8
	c := debugContent(name)
	switch {
	case kind == typeNoBits:
		return
	case kind == typeSymbols:
		c = contentSymbols
	case c == contentDebug && !strings.Contains(name, "debug_"):
		return
	}
	im.addDebug(strings.TrimPrefix(name, "."), c, flags&flagCompressed != 0, off, size)
}

// moved returns where the byte at off of the file lies when its streams are unpacked.
func (im *Image) moved(off int64) int64 {
	shift := int64(0)
	for _, s := range im.streams {
		if off < s.Off+s.N {
			break
		}
		shift += s.Plain - s.N
	}
	return off + shift
}
