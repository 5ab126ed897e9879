package executable

import (
	"strconv"
	"strings"
)

// peDirectories are the tables of a PE file that are references themselves.
type peDirectories struct {
	exceptions, relocations directory
}

// A directory is a range of the file.
type directory struct{ off, n int64 }

// parsePE reads the sections of a PE32+ or PE32 file. (Microsoft, "PE Format".)
func (im *Image) parsePE() {
	const (
		magicPE32Plus = 0x20b
		magicPE32     = 0x10b
		flagCode      = 0x20000000

		directoryExceptions, directoryRelocations = 3, 5
	)
	f := im.File
	h := int64(f.u32(0x3c))
	if f.u32(h) != 0x4550 {
		return
	}
	directories := int64(112) // in the optional header
	switch f.u16(h + 24) {
	case magicPE32Plus:
	case magicPE32:
		f.wide, directories = 4, 96
	default:
		return
	}
	machine := f.u16(h + 4)
	im.Arch = processorOf(func(p *processor) bool { return p.pe == machine }, ArchNone)
	count, optional := int64(f.u16(h+6)), h+24
	image := f.word(optional + 32 - f.wide)
	im.Base[baseImage] = image
	table := optional + int64(f.u16(h+20))
	for i := range min(count, MaxSections) {
		s := table + i*40
		memSize, size := uint64(f.u32(s+8)), int64(f.u32(s+16))
		// The file pads a section; memory goes on with zeros.
		sec := Section{
			Addr:     image + uint64(f.u32(s+12)),
			Off:      im.moved(int64(f.u32(s + 20))),
			MemSize:  memSize,
			FileSize: min(size, int64(memSize)),
		}
		if f.u32(s+36)&flagCode != 0 {
			sec.Content = contentCode
		}
		if name := im.peName(s, h); strings.Contains(name, "debug_") {
			im.addDebug(strings.TrimPrefix(name, "."), debugContent(name), false, int64(f.u32(s+20)), sec.FileSize)
			continue
		}
		if sec.FileSize == 0 {
			sec.Off = 0
		}
		im.addSection(sec)
	}
	im.Settle()
	dir := func(i int64) directory {
		d := optional + directories + 8*i
		n := int64(f.u32(d + 4))
		off, ok := im.offset(image + uint64(f.u32(d)))
		if !ok || i >= int64(f.u32(optional+directories-4)) || n > f.size-off {
			return directory{}
		}
		return directory{off, n}
	}
	im.pe.exceptions = dir(directoryExceptions)
	im.pe.relocations = dir(directoryRelocations)
}

// peName returns a section's name: a long one is in the string table behind the symbols.
func (im *Image) peName(section, header int64) string {
	f := im.File
	name := f.cstring(section, 8)
	if at, long := strings.CutPrefix(name, "/"); long {
		n, err := strconv.ParseUint(at, 10, 31)
		if symbols := int64(f.u32(header + 12)); err == nil && symbols > 0 {
			return f.cstring(im.moved(symbols)+18*int64(f.u32(header+16))+int64(n), 32)
		}
	}
	return name
}

// findExceptions marks the RUNTIME_FUNCTION records: three addresses relative
// to the image each.
func (im *Image) findExceptions() {
	d := im.pe.exceptions
	for off := d.off; off+4 <= d.off+d.n; off += 4 {
		im.mark(off, offset32(baseImage))
	}
}
