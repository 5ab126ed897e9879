package delta

// machoLinkEdit is where a Mach-O file's code signature is.
type machoLinkEdit struct {
	signature directory
}

// parseMachO reads the sections of a 64-bit Mach-O file.
// (<mach-o/loader.h>: load commands; <mach-o/fixup-chains.h> is not for
// executables by the Go linker.)
func (im *image) parseMachO() {
	const (
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
	f := im.file
	switch f.u32(4) {
	case 0x01000007:
		im.arch = archAMD64
	case 0x0100000c:
		im.arch = archARM64
	}
	var segments []section
	var rebase directory
	at := int64(32)
	for range min(f.u32(16), maxCommands) {
		cmd, size := f.u32(at), int64(f.u32(at+4))
		if size < 8 || at+size > f.size {
			return
		}
		switch cmd {
		case cmdSegment64:
			seg := section{
				addr: f.u64(at + 24), memSize: f.u64(at + 32),
				off: int64(f.u64(at + 40)), fileSize: int64(f.u64(at + 48)),
			}
			segments = append(segments, seg)
			for i := range int64(min(f.u32(at+64), maxSections)) {
				s := at + 72 + i*80
				if s+80 > at+size {
					break
				}
				flags := f.u32(s + 64)
				sec := section{
					addr:    f.u64(s + 32),
					memSize: f.u64(s + 40),
					off:     int64(f.u32(s + 48)),
				}
				if flags&(instructions|someInstructions) != 0 {
					sec.content = contentCode
				}
				switch flags & typeMask {
				case typeZeroFill, typeBigZeroFill, typeTLSZeroFill:
				default:
					if sec.off != 0 {
						sec.fileSize = int64(sec.memSize)
					}
				}
				im.addSection(sec)
			}
		case cmdCodeSignature:
			im.macho.signature = im.within(directory{int64(f.u32(at + 8)), int64(f.u32(at + 12))})
		case cmdDyldInfo, cmdDyldInfo | cmdRequired:
			rebase = im.within(directory{int64(f.u32(at + 8)), int64(f.u32(at + 12))})
		}
		at += size
	}
	for i, b := range []base{baseSegment1, baseSegment2, baseSegment3} {
		if i+1 < len(segments) {
			im.base[b] = segments[i+1].addr
		}
	}
	// The opcodes lie in no section, only in the last segment.
	for _, s := range segments {
		if rebase.n > 0 && rebase.off >= s.off && rebase.off+rebase.n <= s.off+s.fileSize {
			im.addSection(section{
				off: rebase.off, fileSize: rebase.n,
				addr: s.addr + uint64(rebase.off-s.off), memSize: uint64(rebase.n),
				content: contentRebase,
			})
		}
	}
}

// The linker writes for every pointer that the loader moves: set segment and
// offset, and rebase once (cmd/link/internal/ld/macho.go, machoDyldInfo).
const (
	rebaseSetSegment = 0x20
	rebaseOnce       = 0x51
)

// findRebases marks those triples: one byte with the segment, the offset in 2 to
// 5 bytes of 7 bits, one byte to rebase.
func (im *image) findRebases() {
	f := im.file
	for i := range im.sections {
		s := &im.sections[i]
		if s.content != contentRebase {
			continue
		}
		for off, end := s.off, s.off+s.fileSize; off < end; off++ {
			if c := f.u8(off); c&0xf0 != rebaseSetSegment || c&15 == 0 || c&15 > 3 {
				continue
			}
			n := int64(1) // bytes of the offset
			for n < 5 && f.u8(off+n) >= 0x80 {
				n++
			}
			if n >= 2 && n <= 5 && off+n+2 <= end && f.u8(off+n+1) == rebaseOnce {
				im.sites.setDense(off, int(n-2))
				off += n + 1
			}
		}
	}
}

// rebaseTarget and rebaseTo read and write the segment and offset in b.
func (l *layout) rebaseTarget(b []byte) uint64 {
	v := uint64(0)
	for i, c := range b[1:] {
		v |= uint64(c&0x7f) << (7 * i)
	}
	return l.segment(b[0]) + v
}

func (l *layout) rebaseTo(b []byte, target uint64) {
	v := target - l.segment(b[0])
	for i := range b[1:] {
		b[1+i] = byte(v) | 0x80
		v >>= 7
	}
	b[len(b)-1] &= 0x7f
}

func (l *layout) segment(c byte) uint64 {
	if n := base(c & 15); n >= 1 && n <= 3 {
		return l.base[baseSegment1+n-1]
	}
	return 0
}

// within returns d, or nothing if it reaches outside of the file.
func (im *image) within(d directory) directory {
	if d.off > im.file.size || d.n > im.file.size-d.off {
		return directory{}
	}
	return d
}
