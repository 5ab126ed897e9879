// Package testprogram makes executables for the tests of delta: tiny ones by hand, with
// everything that a parser looks for, and two builds of a sample by the Go command.
package testprogram

import (
	"bytes"
	"encoding/binary"
)

var le order = binary.LittleEndian

// What the Go linker writes, told again without package executable, whose tests these are.
const (
	pclnMagic       = 0xfffffff1
	pclnHeaderNames = 32
	none            = 1<<32 - 1

	funcEntry, funcName, funcPCSP, funcNPCData, funcCU, funcNFuncData, funcSize = 0, 4, 16, 28, 32, 43, 44

	wordPCHeader, wordFuncNames, wordCUTab, wordFileTab, wordPCTab, wordPclnTable = 0, 1, 4, 7, 10, 13
	wordFindFuncTab, wordMinPC, wordMaxPC, wordText, wordTypes, wordETypes        = 19, 20, 21, 22, 37, 38
	wordGoFunc, wordAfterGoFunc, wordETypes127, wordGoFunc127, wordEPclnTab127    = 40, 41, 39, 43, 44
)

// A processor is what an ELF file for it differs in.
type processor struct {
	narrow  bool // addresses of 4 bytes
	order   order
	quantum byte // of instructions

	// code is an instruction or two that refer to data, and one that calls second.
	code func(b []byte, addr, data, second uint64) []byte
}

type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var be order = binary.BigEndian

// The machines that ELF knows, by e_machine.
var processors = map[uint16]processor{
	62: {order: le, quantum: 1, code: func(b []byte, addr, data, second uint64) []byte {
		b = le.AppendUint32(append(b, 0x48, 0x8d, 0x05), uint32(data-addr-7))                // LEAQ data(IP), AX
		b = le.AppendUint32(append(b, 0xe8), uint32(second-addr-12))                         // CALL second
		return append(le.AppendUint32(append(b, 0x80, 0x3d), uint32(data-addr-19)), 1, 0xc3) // CMPB data(IP), $1
	}},
	183: {order: le, quantum: 1, code: func(b []byte, _, _, _ uint64) []byte {
		b = le.AppendUint32(b, 0x90000000)    // ADRP
		b = le.AppendUint32(b, 0x91000000)    // ADD
		b = le.AppendUint32(b, 0x94000002)    // BL
		return le.AppendUint32(b, 0xd65f03c0) // RET
	}},
	3: {narrow: true, order: le, quantum: 1, code: func(b []byte, addr, data, second uint64) []byte {
		b = le.AppendUint32(append(b, 0x8d, 0x05), uint32(data))     // LEAL data, AX
		b = le.AppendUint32(append(b, 0xe8), uint32(second-addr-11)) // CALL second
		return append(b, 0xc3)
	}},
	40: {narrow: true, order: le, quantum: 4, code: func(b []byte, addr, data, second uint64) []byte {
		b = le.AppendUint32(b, 0xeb000000|uint32(second-addr-8)>>2&0xffffff) // BL second
		return le.AppendUint32(b, uint32(data))                              // of the pool
	}},
	243: {order: le, quantum: 2, code: func(b []byte, addr, data, second uint64) []byte {
		d, to := uint32(data-addr), uint32(second-addr-8)
		b = le.AppendUint32(b, 0x00000297|(d+0x800)&^0xfff)                                   // AUIPC data, X5
		b = le.AppendUint32(b, 0x00028293|d<<20)                                              // ADDI data, X5
		b = le.AppendUint32(b, 0x000000ef|to>>20<<31|to>>1&0x3ff<<21|to>>11&1<<20|to&0xff000) // JAL second
		return append(b, 0x82, 0x80)                                                          // RET
	}},
	258: {order: le, quantum: 4, code: func(b []byte, addr, data, second uint64) []byte {
		to := uint32(second-addr-8) >> 2
		b = le.AppendUint32(b, 0x1a00001e|uint32((data+0x800)>>12-addr>>12)&0xfffff<<5) // PCALAU12I data, R30
		b = le.AppendUint32(b, 0x02c003c4|uint32(data)&0xfff<<10)                       // ADDV data, R30, R4
		return le.AppendUint32(b, 0x54000000|to&0xffff<<10|to>>16&0x3ff)                // BL second
	}},
	21: {order: le, quantum: 4, code: func(b []byte, addr, data, second uint64) []byte {
		b = le.AppendUint32(b, 0x3c600000|uint32(data+0x8000)>>16)            // ADDIS data, R3
		b = le.AppendUint32(b, 0x38630000|uint32(data)&0xffff)                // ADDI data, R3
		return le.AppendUint32(b, 0x48000001|uint32(second-addr-8)&0x3fffffc) // BL second
	}},
	8: {narrow: true, order: be, quantum: 4, code: func(b []byte, _, data, second uint64) []byte {
		b = be.AppendUint32(b, 0x3c010000|uint32(data+0x8000)>>16)         // LUI data, R1
		b = be.AppendUint32(b, 0x24210000|uint32(data)&0xffff)             // ADDIU data, R1
		return be.AppendUint32(b, 0x0c000000|uint32(second>>2)&0x03ffffff) // JAL second
	}},
	22: {order: be, quantum: 2, code: func(b []byte, addr, data, second uint64) []byte {
		b = be.AppendUint32(append(b, 0xc0, 0x20), uint32(data-addr)>>1)        // LARL data, R2
		return be.AppendUint32(append(b, 0xc0, 0xe5), uint32(second-addr-6)>>1) // BRASL second
	}},
}

// ELF returns an executable of a few kilobytes with everything the parser
// looks for: two functions that refer to each other and to data, their table,
// an inlining tree, a type with a method, pointers. extra bytes of code move
// everything behind them.
func ELF(machine uint16, extra int) []byte {
	const (
		textAddr = 0x401000
		textOff  = 0x1000
	)
	p := processors[machine]
	if p.order == nil {
		p.order, p.quantum = le, 1
	}
	wide := 8
	if p.narrow {
		wide = 4
	}
	text := bytes.Repeat([]byte{0x90}, extra)
	first := len(text)
	second := (first + 32) &^ 31
	if p.code != nil {
		text = p.code(text, 0, 0, 0)
		second = (len(text) + 31) &^ 31
	}
	size := (second + 3 + 511) &^ 511
	dataOff, dataAddr := textOff+size, uint64(textAddr+size)
	if p.code != nil {
		text = p.code(text[:first], uint64(textAddr+first), dataAddr, uint64(textAddr+second))
	}
	pad := func(n int) { text = append(text, bytes.Repeat([]byte{0xcc}, n-len(text))...) }
	pad(second)
	text = append(text, 0x31, 0xc0, 0xc3)
	pad(size)

	data := make([]byte, 4096)
	u32 := func(at int, v uint64) { p.order.PutUint32(data[at:], uint32(v)) }
	word := func(at int, v uint64) {
		if p.narrow {
			u32(at, v)
		} else {
			p.order.PutUint64(data[at:], v)
		}
	}

	const (
		header, names, cus, files, pcs, funcs, goFunc, find, types, module = 0, 128, 192, 224, 256, 288, 512, 640, 1024, 2048
	)
	u32(header, pclnMagic)
	data[header+6], data[header+7] = p.quantum, byte(wide)
	word(header+8, 2)
	word(header+8+3*wide, names)
	copy(data[names:], "\x00main.first\x00main.second\x00")
	copy(data[files:], "main.go\x00")
	u32(funcs+0, uint64(first))
	u32(funcs+4, 24)
	u32(funcs+8, uint64(second))
	u32(funcs+12, 24+60)
	u32(funcs+16, uint64(len(text)))
	for i, at := range []int{funcs + 24, funcs + 84} {
		u32(at+funcEntry, []uint64{uint64(first), uint64(second)}[i])
		u32(at+funcName, []uint64{1, 12}[i])
		u32(at+funcPCSP, uint64(4*i+1))
		u32(at+funcNPCData, 0)
		u32(at+funcCU, 0)
		data[at+funcNFuncData] = byte(4 - 3*i)
		u32(at+funcSize, 32)
	}
	u32(funcs+24+funcSize+8, none)
	u32(goFunc+4, 1)
	findN := 4 + (len(text)-first+255)/256 // of findfunctab: less than 4096 bytes of code
	// types: a struct type "*T" with an uncommon part.
	word(types, 8)
	word(types+wide, 8)
	u32(types+2*wide, 0x12345678)
	copy(data[types+2*wide+4:], []byte{1, 8, 8, 25}) // flags, alignments, kind
	word(types+3*wide+8, dataAddr+types)
	u32(types+4*wide+8, 256)
	uncommon := types + 8*wide + 16
	u32(uncommon, 256)
	p.order.PutUint16(data[uncommon+4:], 1)
	u32(uncommon+8, 16)
	u32(uncommon+16, 256)
	u32(uncommon+24, uint64(first))
	u32(uncommon+28, uint64(second))
	copy(data[types+256:], "\x01\x02*T")

	w := func(i int, v uint64) { word(module+wide*i, v) }
	w(wordPCHeader, dataAddr+header)
	w(wordFuncNames, dataAddr+names)
	w(wordCUTab, dataAddr+cus)
	w(wordCUTab+1, 2)
	w(wordFileTab, dataAddr+files)
	w(wordPCTab, dataAddr+pcs)
	w(wordPclnTable, dataAddr+funcs)
	w(wordPclnTable+1, goFunc-funcs)
	w(wordFindFuncTab, dataAddr+find)
	w(wordMinPC, textAddr+uint64(first))
	w(wordMaxPC, textAddr+uint64(len(text)))
	w(wordText, textAddr)
	w(wordTypes, dataAddr+types)
	w(wordETypes, dataAddr+module)
	w(wordGoFunc, dataAddr+goFunc)
	w(wordAfterGoFunc, dataAddr+find+uint64(findN))
	w(wordAfterGoFunc+1, dataAddr+header) // textsectmap
	w(wordAfterGoFunc+4, dataAddr+types+512)
	w(wordAfterGoFunc+5, 2)

	// One bucket: function 0 is first in it, and in each part of 256 bytes that it reaches.
	for i := (second-first-1)/256 + 1; i < findN-4; i++ {
		data[find+4+i] = 1
	}
	b := make([]byte, 0x1000)
	copy(b, "\x7fELF\x02\x01\x01")
	headersAt, sizeAt, headerSize := 40, 58, 64
	if p.narrow {
		b[4] = 1
		headersAt, sizeAt, headerSize = 32, 46, 40
	}
	if p.order == be {
		b[5] = 2
	}
	p.order.PutUint16(b[18:], machine)
	b = append(append(b, text...), data...)
	putWord := func(at []byte, v uint64) {
		if p.narrow {
			p.order.PutUint32(at, uint32(v))
		} else {
			p.order.PutUint64(at, v)
		}
	}
	putWord(b[headersAt:], uint64(len(b)))
	p.order.PutUint16(b[sizeAt:], uint16(headerSize))
	p.order.PutUint16(b[sizeAt+2:], 3)
	section := func(kind, flags, addr, off, size uint64) {
		h := make([]byte, headerSize)
		p.order.PutUint32(h[4:], uint32(kind))
		for i, v := range []uint64{flags, addr, off, size} {
			putWord(h[8+wide*i:], v)
		}
		b = append(b, h...)
	}
	section(1, 2|4, textAddr, textOff, uint64(len(text)))
	section(1, 2, dataAddr, uint64(dataOff), uint64(len(data)))
	section(8, 2, dataAddr+uint64(len(data)), uint64(dataOff+len(data)), 4096)
	return b
}

// ELF125 is ELF with findfunctab before the function table, as Go 1.25
// and older have it.
func ELF125(machine uint16, extra int) []byte {
	const find, moved, n, module = 640, 72, 6, 2048
	b := ELF(machine, extra)
	data := b[Data:]
	copy(data[moved:], data[find:][:n])
	clear(data[find:][:n])
	word := data[module+8*wordFindFuncTab:]
	le.PutUint64(word, le.Uint64(word)-find+moved)
	return b
}

// ELF127 is ELF with the words of moduledata of Go 1.27.
func ELF127(machine uint16, extra int) []byte {
	const module = 2048
	b := ELF(machine, extra)
	words := b[Data+module:]
	word := func(i int) []byte { return words[8*i:][:8] }
	eTypes, goFunc, end := le.Uint64(word(wordETypes)), le.Uint64(word(wordGoFunc)), le.Uint64(word(wordAfterGoFunc))
	clear(words[8*wordETypes:][:8*16])
	le.PutUint64(word(wordETypes), 256) // typedesclen
	le.PutUint64(word(wordETypes127), eTypes)
	le.PutUint64(word(wordGoFunc127), goFunc)
	le.PutUint64(word(wordEPclnTab127), end)
	return b
}

// Machines are those of which ELF has code, and OtherMachine one of which it has
// none: there tables and pointers are references only.
var Machines = []uint16{62, 183, 3, 40, 243, 258, 21, 8, 22}

const OtherMachine = 0x1234

// Data is where ELF's data begins, and Funcs its function table.
const Data, Funcs = 0x1200, Data + 288

// PE wraps ELF's sections in a PE file with a relocation table.
func PE() []byte {
	elf := ELF(62, 0)
	b := make([]byte, 0x1000, 0x4000) // h below stays part of it
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	h := b[0x80:]
	copy(h, "PE\x00\x00")
	le.PutUint16(h[4:], 0x8664)
	le.PutUint16(h[6:], 3)
	le.PutUint16(h[20:], 240)
	le.PutUint16(h[24:], 0x20b)
	le.PutUint64(h[48:], 0x400000)
	le.PutUint32(h[24+108:], 16)
	text, data := elf[0x1000:0x1200], elf[0x1200:0x2200]
	section := func(i int, addr, off, size, flags uint32) {
		s := h[24+240+40*i:]
		le.PutUint32(s[8:], size)
		le.PutUint32(s[12:], addr)
		le.PutUint32(s[16:], size)
		le.PutUint32(s[20:], off)
		le.PutUint32(s[36:], flags)
	}
	section(0, 0x1000, 0x1000, 0x200, 0x20000020)
	section(1, 0x1200, 0x1200, 0x1000, 0x40)
	b = append(append(b, text...), data...)
	table := relocations(data, 648)
	section(2, 0x2200, uint32(len(b)), 0x100, 0x42000040)
	le.PutUint32(h[24+112+8*5:], 0x2200)
	le.PutUint32(h[24+112+8*5+4:], uint32(len(table)))
	return append(append(b, table...), make([]byte, 0x100-len(table))...)
}

// PE32 is PE for 386, in whose code there is an address too.
func PE32(extra int) []byte {
	const textRVA, base, flags = 0x1000, 0x400000, 0x40
	elf := ELF(3, extra)
	text, data := elf[0x1000:0x1200], elf[Data:Data+0x1000]
	b := make([]byte, 0x1000, 0x4000)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	h := b[0x80:]
	copy(h, "PE\x00\x00")
	le.PutUint16(h[4:], 0x14c)
	le.PutUint16(h[6:], 3)
	le.PutUint16(h[20:], 224)
	le.PutUint16(h[24:], 0x10b)
	le.PutUint32(h[24+28:], base)
	le.PutUint32(h[24+92:], 16)
	section := func(i int, addr, off, size, flags uint32) {
		s := h[24+224+40*i:]
		for j, v := range []uint32{size, addr, size, off} {
			le.PutUint32(s[8+4*j:], v)
		}
		le.PutUint32(s[36:], flags)
	}
	section(0, textRVA, 0x1000, 0x200, 0x20000020)
	section(1, textRVA+0x200, 0x1200, 0x1000, flags)
	b = append(append(b, text...), data...)
	places := []uint32{textRVA + uint32(extra) + 2} // the operand of LEAL
	for i := 648; i < len(data); i += 4 {
		if v := le.Uint32(data[i:]); v >= base+textRVA && v < base+0x2300 {
			places = append(places, textRVA+0x200+uint32(i))
		}
	}
	table := relocationTable(places, 3<<12)
	section(2, 0x2200, uint32(len(b)), 0x100, 0x42000040)
	le.PutUint32(h[24+96+8*5:], 0x2200)
	le.PutUint32(h[24+96+8*5+4:], uint32(len(table)))
	return append(append(b, table...), make([]byte, 0x100-len(table))...)
}

// relocations lists the pointers of PE's data behind the pclntab.
func relocations(data []byte, from int) []byte {
	const rva, lo, hi, dir64 = 0x1200, 0x401000, 0x402300, 10 << 12
	var places []uint32
	for i := from; i < len(data); i += 8 {
		if v := le.Uint64(data[i:]); v >= lo && v < hi {
			places = append(places, uint32(rva+i))
		}
	}
	return relocationTable(places, dir64)
}

// relocationTable lists places page by page.
func relocationTable(places []uint32, kind uint16) (table []byte) {
	block := 0
	for _, at := range places {
		page := at &^ 4095
		if len(table) == 0 || le.Uint32(table[block:]) != page {
			table = table[:(len(table)+3)&^3]
			block = len(table)
			table = le.AppendUint32(le.AppendUint32(table, page), 0)
		}
		table = le.AppendUint16(table, kind|uint16(at&4095))
		table = append(table, 0, 0)[:len(table)]
		le.PutUint32(table[block+4:], uint32((len(table)-block+3)&^3))
	}
	return table[:(len(table)+3)&^3]
}

// MachO has code, data and rebase opcodes, and a code signature's frame.
func MachO() []byte {
	elf := ELF(183, 0)
	b := make([]byte, 0x1000)
	le.PutUint32(b, 0xfeedfacf)
	le.PutUint32(b[4:], 0x0100000c)
	le.PutUint32(b[16:], 4)
	at := 32
	segment := func(addr, size, off uint64, flags uint32, sections uint32) {
		le.PutUint32(b[at:], 0x19)
		le.PutUint32(b[at+4:], 72+80*sections)
		for i, v := range []uint64{addr, size, off, size} {
			le.PutUint64(b[at+24+8*i:], v)
		}
		le.PutUint32(b[at+64:], sections)
		if sections == 1 {
			le.PutUint64(b[at+72+32:], addr)
			le.PutUint64(b[at+72+40:], size)
			le.PutUint32(b[at+72+48:], uint32(off))
			le.PutUint32(b[at+72+64:], flags)
		}
		at += int(72 + 80*sections)
	}
	segment(0x401000, 0x200, 0x1000, 0x80000400, 1)
	segment(0x401200, 0x1000, 0x1200, 0, 1)
	b = append(b, elf[0x1000:0x2200]...)
	rebase := []byte{0x11}
	for off := 2048; off < 2400; off += 8 {
		rebase = append(rebase, 0x21, byte(off)|0x80, byte(off>>7), 0x51)
	}
	rebase = append(rebase, 0)
	segment(0x402400, 0x800, uint64(len(b)), 0, 0)
	le.PutUint32(b[at:], 0x80000022)
	le.PutUint32(b[at+4:], 48)
	le.PutUint32(b[at+8:], uint32(len(b)))
	le.PutUint32(b[at+12:], uint32(len(rebase)))
	b = append(b, rebase...)
	return append(b, make([]byte, 0x800-len(rebase))...)
}

// Seeds are executables of all kinds, and files that only begin like one.
func Seeds() (files [][]byte) {
	for _, m := range append(Machines, OtherMachine) {
		files = append(files, ELF(m, 0), ELF(m, 40))
	}
	return append(files, ELF125(62, 0), ELF125(62, 40), ELF127(62, 0), ELF127(62, 40), PE(), MachO(),
		Debug(62, 0, 4, false), Debug(62, 32, 5, true), Debug(183, 64, 5, false), []byte("MZ"), []byte("\x7fELF"), nil)
}
