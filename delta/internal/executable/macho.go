package executable

import "strings"

// machoLinkEdit is where a Mach-O file's code signature is.
type machoLinkEdit struct {
	signature directory
}

// parseMachO reads the sections of a Mach-O file.
// (<mach-o/loader.h>: load commands; <mach-o/fixup-chains.h> is not for
// executables by the Go linker.)
func (im *Image) parseMachO() {
	const (
		cmdSegment       = 0x1
		cmdSymbols       = 0x2
		cmdSegment64     = 0x19
		cmdCodeSignature = 0x1d
		cmdDyldInfo      = 0x22
		cmdRequired      = 0x80000000

		typeMask         = 0xff
		typeZeroFill     = 0x1
		typeBigZeroFill  = 0xc
		typeTLSZeroFill  = 0x12
		instructions     = 0x80000000
		someInstructions = 0x400

		maxCommands = 256
	)
	f := im.File
	if f.u32(0) == 0xfeedface {
		f.wide = 4
	}
	w := f.wide
	cpu := f.u32(4)
	im.Arch = processorOf(func(p *processor) bool { return p.macho == cpu }, ArchNone)
	var segments []Section
	var rebase directory
	at := 24 + w
	for range min(f.u32(16), maxCommands) {
		cmd, size := f.u32(at), int64(f.u32(at+4))
		if size < 8 || at+size > f.size {
			return
		}
		switch cmd {
		case cmdSegment, cmdSegment64:
			seg := Section{
				Addr: f.word(at + 24), MemSize: f.word(at + 24 + w),
				Off: im.moved(int64(f.word(at + 24 + 2*w))), FileSize: int64(f.word(at + 24 + 3*w)),
			}
			segments = append(segments, seg)
			first, length := at+40+4*w, 56+3*w // of the sections' headers
			for i := range int64(min(f.u32(at+32+4*w), MaxSections)) {
				s := first + i*length
				if s+length > at+size {
					break
				}
				flags := f.u32(s + 48 + 2*w)
				sec := Section{
					Addr:    f.word(s + 32),
					MemSize: f.word(s + 32 + w),
					Off:     im.moved(int64(f.u32(s + 32 + 2*w))),
				}
				if f.cstring(s+16, 16) == "__DWARF" {
					name := strings.TrimPrefix(f.cstring(s, 16), "__")
					im.addDebug(name, debugContent(name), false, int64(f.u32(s+32+2*w)), int64(sec.MemSize))
					continue
				}
				if flags&(instructions|someInstructions) != 0 {
					sec.Content = contentCode
				}
				switch flags & typeMask {
				case typeZeroFill, typeBigZeroFill, typeTLSZeroFill:
				default:
					if sec.Off != 0 {
						sec.FileSize = int64(sec.MemSize)
					}
				}
				im.addSection(sec)
			}
		case cmdCodeSignature:
			im.macho.signature = im.within(directory{im.moved(int64(f.u32(at + 8))), int64(f.u32(at + 12))})
		case cmdSymbols:
			size := 8 + w // of a symbol
			im.addDebug("symtab", contentSymbolsMachO, false, int64(f.u32(at+8)), size*int64(f.u32(at+12)))
			im.addDebug("strtab", contentStrings, false, int64(f.u32(at+16)), int64(f.u32(at+20)))
		case cmdDyldInfo, cmdDyldInfo | cmdRequired:
			rebase = im.within(directory{im.moved(int64(f.u32(at + 8))), int64(f.u32(at + 12))})
		}
		at += size
	}
	for i, b := range []Base{baseSegment1, baseSegment2, baseSegment3} {
		if i+1 < len(segments) {
			im.Base[b] = segments[i+1].Addr
		}
	}
	// The opcodes lie in no section, only in the last segment.
	for _, s := range segments {
		if rebase.n > 0 && rebase.off >= s.Off && rebase.off+rebase.n <= s.Off+s.FileSize {
			im.addSection(Section{
				Off: rebase.off, FileSize: rebase.n,
				Addr: s.Addr + uint64(rebase.off-s.Off), MemSize: uint64(rebase.n),
				Content: contentRebase,
			})
		}
	}
}

// The linker writes for every pointer that the loader moves: set segment and
// offset, and rebase once (cmd/link/internal/ld/macho.go, machoDyldInfo).
const (
	rebaseSetSegment = 0x20
	rebaseOnce       = 0x51
	rebaseWidths     = 4
)

// findRebases marks those triples: one byte with the segment, the offset in 2 to
// 5 bytes of 7 bits, one byte to rebase.
func (im *Image) findRebases() {
	f := im.File
	for i := range im.Sections {
		s := &im.Sections[i]
		if s.Content != contentRebase {
			continue
		}
		for off, end := s.Off, s.Off+s.FileSize; off < end; off++ {
			if c := f.u8(off); c&0xf0 != rebaseSetSegment || c&15 == 0 || c&15 > 3 {
				continue
			}
			n := int64(1) // bytes of the offset
			for n < 5 && f.u8(off+n) >= 0x80 {
				n++
			}
			if n >= 2 && n <= 5 && off+n+2 <= end && f.u8(off+n+1) == rebaseOnce {
				im.Sites.setDense(off, int(n-2))
				off += n + 1
			}
		}
	}
}

// rebaseForm is one whose opcodes take width bytes.
func rebaseForm(width int64) form {
	return form{
		width:  width,
		target: func(l *Layout, b []byte, _ uint64) uint64 { return l.rebaseTarget(b[:width]) },
		refer:  func(l *Layout, b []byte, _, target uint64) { l.rebaseTo(b[:width], target) },
		mask: func(_ *Layout, dst, _ []byte, h uint32) {
			for i := int64(1); i < width; i++ {
				dst[i] = byte(h >> (8 * i))
			}
		},
	}
}

// rebaseTarget and rebaseTo read and write the segment and offset in b.
func (l *Layout) rebaseTarget(b []byte) uint64 {
	v := uint64(0)
	for i, c := range b[1:] {
		v |= uint64(c&0x7f) << (7 * i)
	}
	return l.segment(b[0]) + v
}

func (l *Layout) rebaseTo(b []byte, target uint64) {
	v := target - l.segment(b[0])
	for i := range b[1:] {
		b[1+i] = byte(v) | 0x80
		v >>= 7
	}
	b[len(b)-1] &= 0x7f
}

func (l *Layout) segment(c byte) uint64 {
	if n := Base(c & 15); n >= 1 && n <= 3 {
		return l.Base[baseSegment1+n-1]
	}
	return 0
}

// within returns d, or nothing if it reaches outside of the file.
func (im *Image) within(d directory) directory {
	if d.off > im.File.size || d.n > im.File.size-d.off {
		return directory{}
	}
	return d
}
