package executable

// An Arch is the processor that an executable is for: its row in processors.
type Arch byte

const (
	ArchNone Arch = iota // not known: nothing is read
	archAMD64
	archARM64
	archOther // tables and pointers are read, code is not
	archs
)

// A processor says how its executables are recognized and how its code is read.
// A new one takes a row here, its kinds of references in reference.go, and a
// file that finds and writes them.
type processor struct {
	elf   uint16 // e_machine
	pe    uint16 // Machine
	macho uint32 // cputype

	// first is the first of its kinds of references, and dense says that they
	// may begin at any byte: then there are four of them. Otherwise they lie at
	// multiples of four.
	first Kind
	dense bool

	find func(im *Image, s *Section) // marks the references of one section of code
}

var processors = [archs]processor{
	archAMD64: {elf: 62, pe: 0x8664, macho: 0x01000007, first: kindRel, dense: true, find: (*Image).findAMD64},
	archARM64: {elf: 183, pe: 0xaa64, macho: 0x0100000c, first: kindBranch, find: (*Image).findARM64},
}

// processorOf returns the row that f is true of, or otherwise.
func processorOf(f func(p *processor) bool, otherwise Arch) Arch {
	for a := range processors {
		if p := &processors[a]; p.find != nil && f(p) {
			return Arch(a)
		}
	}
	return otherwise
}

// findCode marks the references in instructions.
func (im *Image) findCode() {
	find := processors[im.Arch].find
	if find == nil {
		return
	}
	for i := range im.Sections {
		if s := &im.Sections[i]; s.Content == contentCode {
			find(im, s)
		}
	}
}
