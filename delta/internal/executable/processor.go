package executable

// An Arch is the processor that an executable is for: its row in processors.
type Arch byte

const (
	ArchNone Arch = iota // not known: nothing is read
	archAMD64
	archARM64
	arch386
	archARM
	archRISCV64
	archLoong64
	archPPC64LE
	archPPC64
	archMIPS
	archMIPSLE
	archS390X
	archOther // tables and pointers are read, code is not
	archs
)

// A processor says how its executables are recognized and how its code is read.
// A new one takes a row here, its number of kinds in reference.go, and a file that
// finds the references and tells their forms.
type processor struct {
	elf   uint16 // e_machine
	pe    uint16 // Machine
	macho uint32 // cputype
	big   bool   // the byte order

	// The kinds of its references begin with first and are as many as forms.
	// dense says that they may begin at any byte; otherwise they lie at
	// multiples of four.
	first Kind
	forms []form
	dense bool

	find func(im *Image, s *Section) // marks the references of one section of code
}

var processors = [archs]processor{
	archAMD64:   {elf: 62, pe: 0x8664, macho: 0x01000007, first: kindAMD64, forms: amd64Forms, dense: true, find: (*Image).findAMD64},
	archARM64:   {elf: 183, pe: 0xaa64, macho: 0x0100000c, first: kindARM64, forms: arm64Forms, find: (*Image).findARM64},
	arch386:     {elf: 3, pe: 0x14c, macho: 7, first: kind386, forms: i386Forms, dense: true, find: (*Image).find386},
	archARM:     {elf: 40, pe: 0x1c4, macho: 12, first: kindARM, forms: armForms, find: (*Image).findARM},
	archRISCV64: {elf: 243, pe: 0x5064, first: kindRISCV, forms: riscvForms, dense: true, find: (*Image).findRISCV},
	archLoong64: {elf: 258, pe: 0x6264, first: kindLoong, forms: loongForms, find: (*Image).findLoong},
	archPPC64LE: {elf: 21, first: kindPower, forms: powerForms, find: (*Image).findPower},
	archPPC64:   {elf: 21, big: true, first: kindPower, forms: powerForms, find: (*Image).findPower},
	archMIPS:    {elf: 8, big: true, first: kindMIPS, forms: mipsForms, find: (*Image).findMIPS},
	archMIPSLE:  {elf: 8, first: kindMIPS, forms: mipsForms, find: (*Image).findMIPS},
	archS390X:   {elf: 22, big: true, first: kindS390, forms: s390Forms, dense: true, find: (*Image).findS390},
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

// instructions calls f for each word of a section of code, at multiples of four,
// with the word behind it. f returns how many words it has taken.
func (im *Image) instructions(s *Section, f func(off int64, w, next uint32) int64) {
	end := (s.Off + s.FileSize) &^ 3
	for off := (s.Off + 3) &^ 3; off < end; {
		next := uint32(0)
		if off+8 <= end {
			next = im.File.u32(off + 4)
		}
		off += 4 * f(off, im.File.u32(off), next)
	}
}
