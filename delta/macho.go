package delta

// machoLinkEdit is what a Mach-O file's __LINKEDIT segment holds that follows
// from the rest of the file.
type machoLinkEdit struct {
	rebase, signature directory
	segments          []segment
}

// A segment is a range of addresses that rebase opcodes count from.
type segment struct {
	addr, memSize uint64
	off, fileSize int64
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
	at := int64(32)
	for range min(f.u32(16), maxCommands) {
		cmd, size := f.u32(at), int64(f.u32(at+4))
		if size < 8 || at+size > f.size {
			return
		}
		switch cmd {
		case cmdSegment64:
			im.macho.segments = append(im.macho.segments, segment{
				addr: f.u64(at + 24), memSize: f.u64(at + 32),
				off: int64(f.u64(at + 40)), fileSize: int64(f.u64(at + 48)),
			})
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
					code:    flags&(instructions|someInstructions) != 0,
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
			im.macho.rebase = im.within(directory{int64(f.u32(at + 8)), int64(f.u32(at + 12))})
		}
		at += size
	}
}

// within returns d, or nothing if it reaches outside of the file.
func (im *image) within(d directory) directory {
	if d.off > im.file.size || d.n > im.file.size-d.off {
		return directory{}
	}
	return d
}
