// Package program says what a file is, by its own bytes: whether a machine could run it at all, for which platforms it was
// built, and which version it says that it is. Publishing asks it, so that a mix-up is found before it is signed.
package program

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Formats of programs.
const (
	ELF    = "ELF"
	MachO  = "Mach-O"
	PE     = "PE"
	Wasm   = "WebAssembly"
	Script = "script"
)

// A Program is what a file says of itself.
type Program struct {
	Format string  // one of the above; "" if it is none of them
	Other  string  // what it is instead, for people; "" if that is not known either
	Builds []Build // what it was built for: one, or one for each architecture of a universal binary; none for a script
}

// A Build is one architecture that a program was built for.
type Build struct {
	OS    string // GOOS; "" where the file does not tell
	Arch  string // GOARCH; "" where the file does not tell
	Level Level  // of a Go program
}

// Read looks at a file of size bytes. The error says that the file is damaged, or that it cannot be read.
func Read(r io.ReaderAt, size int64) (*Program, error) {
	head := make([]byte, min(size, 8<<10))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, f := range formats {
		if !slices.ContainsFunc(f.magic, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) }) {
			continue
		}
		p := &Program{Format: f.name}
		var err error
		if f.read != nil {
			p.Builds, err = f.read(r, size)
		}
		return p, err
	}
	return &Program{Other: otherwise(head)}, nil
}

var formats = []struct {
	name  string
	magic []string
	read  func(io.ReaderAt, int64) ([]Build, error)
}{
	{ELF, []string{"\x7fELF"}, readELF},
	{MachO, []string{"\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe"}, readMachO},
	{MachO, []string{"\xca\xfe\xba\xbe\x00\x00\x00"}, readUniversal}, // a Java class has its version where the count is here
	{PE, []string{"MZ"}, readPE},
	{Wasm, []string{"\x00asm"}, func(io.ReaderAt, int64) ([]Build, error) { return []Build{{Arch: "wasm"}}, nil }},
	{Script, []string{"#!"}, nil},
}

// RunsOn reports whether an operating system runs programs of this format. Of systems that are not known here everything
// is believed that is not known to be something else.
func (p *Program) RunsOn(os string) bool {
	switch os {
	case "linux", "android", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "illumos":
		return p.Format == ELF || p.Format == Script
	case "darwin", "ios":
		return p.Format == MachO || p.Format == Script
	case "windows":
		return p.Format == PE
	case "js", "wasip1":
		return p.Format == Wasm
	}
	return p.Other == ""
}

// String says what it is, for people.
func (p *Program) String() string {
	switch {
	case p.Format == Script:
		return "a script"
	case p.Format != "":
		return "a program in the format " + p.Format
	case p.Other != "":
		return p.Other
	}
	return "no program of a kind that is known"
}

func readELF(r io.ReaderAt, size int64) ([]Build, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, damaged(err)
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, errors.New("is an object file, not a program")
	}
	for _, p := range f.Progs {
		if err := within(size, p.Off, p.Filesz); err != nil {
			return nil, err
		}
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL {
			continue
		}
		if err := within(size, s.Offset, s.FileSize); err != nil {
			return nil, err
		}
	}
	little, wide := f.Data == elf.ELFDATA2LSB, f.Class == elf.ELFCLASS64
	b := Build{Arch: map[elf.Machine]string{
		elf.EM_X86_64: "amd64", elf.EM_386: "386", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm", elf.EM_S390: "s390x",
		elf.EM_RISCV: "riscv64", elf.EM_LOONGARCH: "loong64", elf.EM_MIPS: "mips", elf.EM_PPC64: "ppc64",
	}[f.Machine]}
	if b.Arch == "mips" && wide {
		b.Arch = "mips64"
	}
	if little && (f.Machine == elf.EM_MIPS || f.Machine == elf.EM_PPC64) {
		b.Arch += "le"
	}
	switch f.OSABI {
	case elf.ELFOSABI_FREEBSD:
		b.OS = "freebsd"
	case elf.ELFOSABI_NETBSD:
		b.OS = "netbsd"
	case elf.ELFOSABI_OPENBSD:
		b.OS = "openbsd"
	}
	return []Build{b.fromGo(r)}, nil
}

func readMachO(r io.ReaderAt, size int64) ([]Build, error) {
	f, err := macho.NewFile(r)
	if err != nil {
		return nil, damaged(err)
	}
	if f.Type != macho.TypeExec {
		return nil, errors.New("is an object file or a library, not a program")
	}
	for _, l := range f.Loads {
		if s, ok := l.(*macho.Segment); ok {
			if err := within(size, s.Offset, s.Filesz); err != nil {
				return nil, err
			}
		}
	}
	b := Build{OS: "darwin", Arch: map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64", macho.Cpu386: "386", macho.CpuArm: "arm"}[f.Cpu]}
	return []Build{b.fromGo(r)}, nil
}

// readUniversal reads a Mach-O file that has several others in it.
func readUniversal(r io.ReaderAt, size int64) (builds []Build, err error) {
	f, err := macho.NewFatFile(r)
	if err != nil {
		return nil, damaged(err)
	}
	for _, a := range f.Arches {
		if err := within(size, uint64(a.Offset), uint64(a.Size)); err != nil {
			return nil, err
		}
		one, err := readMachO(io.NewSectionReader(r, int64(a.Offset), int64(a.Size)), int64(a.Size))
		if err != nil {
			return nil, err
		}
		builds = append(builds, one...)
	}
	return builds, nil
}

func readPE(r io.ReaderAt, size int64) ([]Build, error) {
	f, err := pe.NewFile(r)
	if err != nil {
		return nil, damaged(err)
	}
	for _, s := range f.Sections {
		if err := within(size, uint64(s.Offset), uint64(s.Size)); err != nil {
			return nil, err
		}
	}
	b := Build{OS: "windows", Arch: map[uint16]string{
		pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_I386: "386", pe.IMAGE_FILE_MACHINE_ARM64: "arm64", pe.IMAGE_FILE_MACHINE_ARMNT: "arm",
	}[f.Machine]}
	return []Build{b.fromGo(r)}, nil
}

// fromGo adds what the Go toolchain has written into the file. A program in another language has nothing there.
func (b Build) fromGo(r io.ReaderAt) Build {
	info, err := buildinfo.Read(r)
	if err != nil {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			b.OS = s.Value
		case "GOARCH":
			b.Arch = s.Value
		case "GOAMD64", "GOARM", "GOARM64", "GO386", "GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64":
			b.Level = Level{s.Key, s.Value}
		}
	}
	return b
}

func within(size int64, offset, length uint64) error {
	if end := offset + length; end < offset || end > uint64(size) {
		return fmt.Errorf("is cut short: it has %d bytes, and its own header speaks of %d", size, end)
	}
	return nil
}

func damaged(err error) error { return fmt.Errorf("is damaged or cut short: %w", err) }

// otherwise names what people publish by mistake; "" if it is nothing of that.
func otherwise(head []byte) string {
	for _, o := range []struct {
		at    int
		magic string
		is    string
	}{
		{0, "\x1f\x8b", "a gzip archive"}, {0, "PK\x03\x04", "a zip archive"}, {0, "PK\x05\x06", "a zip archive"},
		{0, "\xfd7zXZ\x00", "an xz archive"}, {0, "BZh", "a bzip2 archive"}, {0, "\x28\xb5\x2f\xfd", "a zstd archive"},
		{0, "7z\xbc\xaf\x27\x1c", "a 7z archive"}, {257, "ustar", "a tar archive"}, {0, "!<arch>\n", "an ar archive or a .deb package"},
		{0, "\xed\xab\xee\xdb", "an .rpm package"}, {0, "koly", "a disk image"}, {0, "\xd0\xcf\x11\xe0", "an .msi package"},
	} {
		if len(head) >= o.at && bytes.HasPrefix(head[o.at:], []byte(o.magic)) {
			return o.is
		}
	}
	if len(head) > 0 && !bytes.ContainsRune(head, 0) && validText(head) {
		return "a text"
	}
	return ""
}

// validText reports whether these are the first bytes of a text; the last letter may be cut.
func validText(head []byte) bool {
	for cut := range min(utf8.UTFMax, len(head)) {
		if utf8.Valid(head[:len(head)-cut]) {
			return true
		}
	}
	return false
}

// A Level is what a Go program needs of a CPU beyond its architecture, as the toolchain calls it: GOAMD64, v3.
type Level struct{ Setting, Value string }

func (l Level) String() string { return l.Setting + "=" + l.Value }

// levels are the values of each setting, the least demanding first, and the one that a plain go build takes.
var levels = map[string]struct {
	values []string
	plain  string
}{
	"GOAMD64":   {[]string{"v1", "v2", "v3", "v4"}, "v1"},
	"GOARM":     {[]string{"5", "6", "7"}, "7"},
	"GOARM64":   {[]string{"v8.0", "v8.1", "v8.2", "v8.3", "v8.4", "v8.5", "v8.6", "v8.7", "v8.8", "v8.9", "v9.0", "v9.1", "v9.2", "v9.3", "v9.4", "v9.5"}, "v8.0"},
	"GO386":     {[]string{"softfloat", "sse2"}, "sse2"},
	"GOMIPS":    {[]string{"softfloat", "hardfloat"}, "hardfloat"},
	"GOMIPS64":  {[]string{"softfloat", "hardfloat"}, "hardfloat"},
	"GOPPC64":   {[]string{"power8", "power9", "power10"}, "power8"},
	"GORISCV64": {[]string{"rva20u64", "rva22u64", "rva23u64"}, "rva20u64"},
}

// rank is the place of a level among those of its setting; -1 if it is not known. What follows a comma (the float ABI of
// ARM, its atomics) does not count.
func (l Level) rank() int {
	value, _, _ := strings.Cut(l.Value, ",")
	return slices.Index(levels[l.Setting].values, value)
}

// Less orders levels of one setting, the less demanding first.
func (l Level) Less(other Level) bool { return l.rank() < other.rank() }

// Variant is how an artifact for machines of this level is called.
func (l Level) Variant() string {
	value, _, _ := strings.Cut(l.Value, ",")
	if l.Setting == "GOARM" {
		return "v" + value
	}
	return value
}

// Fits reports whether a program of this level may be published for a variant: without one it is for every machine of the
// architecture, so it must ask for no more than a plain go build does; a variant that is the name of a level must be its
// own. Of other variants nothing is known. The answer "" is yes; otherwise it says why not.
func (l Level) Fits(arch, variant string) string {
	known, ok := levels[l.Setting]
	if !ok || l.rank() < 0 {
		return ""
	}
	if variant == "" {
		if plain := (Level{l.Setting, known.plain}); plain.Less(l) {
			return fmt.Sprintf("it was built with %s, and without a variant every %s machine would get it: build it with %s, or publish it for %s/%s", l, arch, plain, arch, l.Variant())
		}
		return ""
	}
	for _, v := range known.values {
		named := Level{l.Setting, v}
		if slices.Contains([]string{v, named.Variant(), arch + v, arch + "-" + v, arch + "-" + named.Variant(), arch + named.Variant()}, variant) && named.rank() != l.rank() {
			return fmt.Sprintf("it was built with %s, and is to be published for %s/%s: give the file that was built with %s", l, arch, variant, named)
		}
	}
	return ""
}
