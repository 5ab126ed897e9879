package testprogram

import (
	"bytes"
	"fmt"

	"github.com/theseus-go/theseus/delta/internal/pack"
)

// Debug is ELF with debugging information of DWARF 4 or 5 about its functions, and a
// table of symbols. The sections are packed as the Go linker does if packed.
func Debug(machine uint16, extra, dwarf int, packed bool) []byte {
	b := ELF(machine, extra)
	first, second := 0x401000+uint64(extra), 0x401000+uint64((extra+20+31)&^31)
	data := uint64(0x401000 + len(b) - 0x1000 - 4096 - 3*64)

	var info, abbrev, line, addr, ranges, locations, frames, symbols, names writer
	abbrev.bytes(1, 0x11, 1, 0x03, 8, 0x10, 0x17, 0x11, 1, 0x55, 0x17) // unit: name, lines, low, ranges
	if dwarf == 5 {
		abbrev.bytes(0x73, 0x17) // where its addresses begin
	}
	abbrev.bytes(0, 0)
	abbrev.bytes(2, 0x2e, 0, 0x03, 8, 0x11, 1, 0x12, 0x0f, 0x40, 0x0a, 0, 0)                // function: name, low, high, frame
	abbrev.bytes(3, 0x34, 0, 0x03, 8, 0x02, 0x0a, 0x49, 0x10, 0x3b, 0x21, 7, 0, 0)          // variable: name, place, type, line 7
	abbrev.bytes(4, 0x24, 0, 0x03, 8, 0x0b, 0x0b, 0, 0)                                     // type: name, size
	abbrev.bytes(5, 0x34, 0, 0x03, 8, 0x02, 0x17, 0x49, 0x10, 0x3f, 0x19, 0x1c, 0x1e, 0, 0) // variable: name, list of places, type, flag, 16 bytes
	abbrev.bytes(0)

	if dwarf == 5 {
		info.unit(func(w *writer) {
			w.u16(5)
			w.bytes(1, 8)
			w.u32(0)
			info.entries(w, first, second, data, dwarf)
		})
		addr.unit(func(w *writer) {
			w.u16(5)
			w.bytes(8, 0)
			for i := range uint64(12) {
				w.u64(first + i)
			}
		})
		list := func(at byte) func(w *writer) {
			return func(w *writer) {
				w.u16(5)
				w.bytes(8, 0)
				w.u32(0)
				for range 5 {
					expression := []byte{1, 0x9c}[:2*at]
					w.bytes(1, 0, 4, 0, 9)
					w.bytes(expression...)
					w.bytes(3, 1, 7)
					w.bytes(expression...)
					w.bytes(5 + at)
					w.u64(first)
					w.bytes(6 + at)
					w.u64(first)
					w.u64(second)
					w.bytes(expression...)
					w.bytes(7 + at)
					w.u64(second)
					w.bytes(3)
					w.bytes(expression...)
					w.bytes(0)
				}
			}
		}
		ranges.unit(list(0))
		locations.unit(list(1))
	} else {
		info.unit(func(w *writer) {
			w.u16(4)
			w.u32(0)
			w.bytes(8)
			info.entries(w, first, second, data, dwarf)
		})
		for range 6 {
			ranges.u64(first)
			ranges.u64(second)
			ranges.u64(1<<64 - 1)
			ranges.u64(first)
			ranges.u64(1)
			ranges.u64(9)
			ranges.u64(0)
			ranges.u64(0)
			locations.u64(1<<64 - 1)
			locations.u64(first)
			locations.u64(1)
			locations.u64(9)
			locations.u16(1)
			locations.bytes(0x9c)
			locations.u64(0)
			locations.u64(0)
		}
	}
	for i := range 4 {
		line.unit(func(w *writer) {
			w.u16(uint16(dwarf))
			if dwarf == 5 {
				w.bytes(8, 0)
			}
			w.u32(6 + 9 + 8)
			w.bytes(1, 1, 1, 0xfc, 4, 10, 0, 1, 1, 1, 1, 0, 0, 0, 1)
			w.string("main.go\x00")
			for _, at := range []uint64{first, second} {
				w.bytes(0, 9, 2)
				w.u64(at)
				w.bytes(3, byte(i), 1, 20, 9, 4, 0, 8, 0, 1, 1)
			}
		})
	}
	frames.unit(func(w *writer) {
		w.u32(1<<32 - 1)
		w.bytes(3, 0, 1, 0x7c, 16, 0, 0, 0)
	})
	for i := range uint64(8) {
		frames.unit(func(w *writer) {
			w.u32(0)
			w.u64(first + i)
			w.u64(3)
		})
	}
	names.bytes(0)
	symbols.b = make([]byte, 24)
	for i := range uint64(12) {
		symbols.u32(uint32(len(names.b)))
		symbols.bytes(2, 0, 1, 0)
		symbols.u64(first + i)
		symbols.u64(1)
		names.string(fmt.Sprintf("main.symbol%d\x00", i))
	}

	at := int(le.Uint64(b[40:]))
	headers := append(make([]byte, 64), b[at:]...)
	b = b[:at]
	strings := []byte{0}
	section := func(name string, kind uint32, flags uint64, content []byte) {
		h := make([]byte, 64)
		le.PutUint32(h, uint32(len(strings)))
		le.PutUint32(h[4:], kind)
		le.PutUint64(h[8:], flags)
		strings = append(append(strings, name...), 0)
		if name == ".shstrtab" {
			content = strings
		}
		le.PutUint64(h[24:], uint64(len(b)))
		le.PutUint64(h[32:], uint64(len(content)))
		headers, b = append(headers, h...), append(b, content...)
	}
	old, new := map[string]string{"addr": "addr", "rnglists": "ranges", "loclists": "loc"}, ""
	for _, s := range []struct {
		name    string
		content writer
	}{{"abbrev", abbrev}, {"line", line}, {"frame", frames}, {"info", info}, {"loclists", locations}, {"rnglists", ranges}, {"addr", addr}} {
		if new = s.name; dwarf == 4 && old[s.name] != "" {
			new = old[s.name]
		}
		content, flags := s.content.b, uint64(0)
		if packed && len(content) > 60 {
			var z bytes.Buffer
			z.Write(le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, 1), uint64(len(content))), 8))
			p := pack.NewWriter(&z, method(dwarf))
			p.Write(content)
			p.Close()
			content, flags = z.Bytes(), 0x800
		}
		section(".debug_"+new, 1, flags, content)
	}
	section(".symtab", 2, 0, symbols.b)
	section(".strtab", 3, 0, names.b)
	section(".shstrtab", 3, 0, nil)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	le.PutUint64(b[40:], uint64(len(b)))
	le.PutUint16(b[60:], uint16(len(headers)/64))
	le.PutUint16(b[62:], uint16(len(headers)/64-1))
	return append(b, headers...)
}

// method is that of the Go releases with this version of DWARF, or of later ones.
func method(dwarf int) pack.Method {
	if dwarf == 4 {
		return pack.Go17
	}
	return pack.Go127
}

// entries writes a unit's entries: itself, 12 functions and 24 variables.
func (info *writer) entries(w *writer, first, second, data uint64, dwarf int) {
	w.bytes(1)
	w.string("main\x00")
	w.u32(0)
	w.u64(first)
	w.u32(0)
	if dwarf == 5 {
		w.u32(8)
	}
	kind := uint32(len(w.b)) + 4 // from the start of the section, whose length is not in w
	w.bytes(4)
	w.string("int\x00")
	w.bytes(8)
	for i := range uint64(12) {
		w.bytes(2)
		w.string(fmt.Sprintf("main.function%d\x00", i))
		w.u64(first + i)
		w.bytes(byte(second-first), 1, 0x9c)
		w.bytes(3)
		w.string(fmt.Sprintf("global%d\x00", i))
		w.bytes(9, 3)
		w.u64(data + 8*i)
		w.u32(kind)
		w.bytes(5)
		w.string(fmt.Sprintf("local%d\x00", i))
		w.u32(12)
		w.u32(kind)
		w.b = append(w.b, make([]byte, 16)...)
	}
	w.bytes(0)
}

// A writer appends little-endian numbers.
type writer struct{ b []byte }

func (w *writer) bytes(b ...byte) { w.b = append(w.b, b...) }
func (w *writer) string(s string) { w.b = append(w.b, s...) }
func (w *writer) u16(v uint16)    { w.b = le.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32)    { w.b = le.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64)    { w.b = le.AppendUint64(w.b, v) }
func (w *writer) unit(f func(w *writer)) {
	var u writer
	f(&u)
	w.u32(uint32(len(u.b)))
	w.bytes(u.b...)
}
