package delta

// tables is where the Go linker's tables are, as runtime.moduledata says.
type tables struct {
	funcs     int64 // number of functions
	funcTab   int64 // file offset of runtime.ftab, then the _func records
	funcTabN  int64 // bytes of both
	findFunc  int64 // file offset of runtime.findfunctab
	findFuncN int64
	cuTab     directory
	typeLinks directory

	minPC, maxPC     uint64
	pclnLo, pclnHi   uint64 // addresses of runtime.pclntab: no pointers within
	typesLo, typesHi uint64
	goFuncHi         uint64
}

// The linker writes runtime.moduledata word by word (cmd/link/internal/ld,
// symtab.go; runtime/symtab.go, type moduledata). The words up to types are the
// same in Go 1.20 to 1.27, and so are the next ones up to 1.26, which inserted
// epclntab behind them. Go 1.27 tells the length of the type descriptors and where
// the itabs are before and behind etypes, and has no typelinks.
const (
	wordPCHeader     = 0
	wordFuncNames    = 1
	wordCUTab        = 4
	wordFileTab      = 7
	wordPCTab        = 10
	wordPclnTable    = 13
	wordFindFuncTab  = 19
	wordMinPC        = 20
	wordMaxPC        = 21
	wordText         = 22
	wordTypes        = 37
	wordETypes       = 38
	wordGoFunc       = 40
	wordAfterGoFunc  = 41 // textsectmap, or since Go 1.26 epclntab and textsectmap
	wordETypes127    = 39
	wordGoFunc127    = 43
	wordEPclnTab127  = 44
	pclnMagic        = 0xfffffff1
	pclnHeaderFuncs  = 8
	pclnHeaderNames  = 32
	pclnHeader       = 64 // bytes of it
	maxTableElements = 1 << 26
	maxHeaders       = 16 // that may turn out to be none
)

// findTables finds the pclntab by its magic number (internal/abi, symtab.go:
// Go 1.20 and later) and runtime.moduledata by the pointers with which it begins.
func (im *image) findTables() {
	// The magic number, two zeros, the instruction quantum (1, 2 or 4), the pointer size.
	const header, quantum = pclnMagic | 8<<56, 1 << 48
	tries, found := maxHeaders, false
	for i := 0; i < len(im.sections) && tries > 0 && !found; i++ {
		s := &im.sections[i]
		end := s.addr + uint64(s.fileSize)
		im.words(s, s.addr, end, header+quantum, header+4*quantum+1, func(off int64) bool {
			switch im.file.u64(off) - header {
			case quantum, 2 * quantum, 4 * quantum:
			default:
				return true
			}
			if off+pclnHeader > s.off+s.fileSize {
				return false
			}
			found = im.findModuleData(s.addr+uint64(off-s.off), off)
			tries--
			return !found && tries > 0
		})
	}
}

// findModuleData looks for it in the last section first: the linker puts it
// behind the large tables.
func (im *image) findModuleData(header uint64, headerOff int64) (found bool) {
	f := im.file
	names := header + f.u64(headerOff+pclnHeaderNames)
	for i := len(im.sections) - 1; i >= 0 && !found; i-- {
		s := &im.sections[i]
		im.words(s, s.addr, s.addr+uint64(s.fileSize), header, header+1, func(off int64) bool {
			found = f.u64(off+8) == names && im.readModuleData(off, f.u64(headerOff+pclnHeaderFuncs))
			return !found
		})
	}
	return found
}

func (im *image) readModuleData(off int64, funcs uint64) bool {
	word := func(i int64) uint64 { return im.file.u64(off + 8*i) }
	t := &im.tab
	var ok bool
	if t.funcTab, ok = im.offset(word(wordPclnTable)); !ok || funcs == 0 || funcs > maxTableElements {
		return false
	}
	eTypes, goFunc := int64(wordETypes), int64(wordGoFunc)
	go127 := word(wordETypes) < word(wordTypes) // a length
	if go127 {
		eTypes, goFunc = wordETypes127, wordGoFunc127
	}
	t.funcs = int64(funcs)
	if t.funcTabN = int64(word(wordPclnTable + 1)); t.funcTabN < 0 || t.funcTabN > im.file.size-t.funcTab || t.funcs > t.funcTabN/8 {
		*t = tables{}
		return false
	}
	for b, w := range map[base]int64{
		baseText:     wordText,
		baseFuncName: wordFuncNames,
		basePCTab:    wordPCTab,
		baseFuncTab:  wordPclnTable,
		baseCUTab:    wordCUTab,
		baseFileTab:  wordFileTab,
		baseGoFunc:   goFunc,
		baseTypes:    wordTypes,
	} {
		im.base[b] = word(w)
	}
	t.minPC, t.maxPC = word(wordMinPC), word(wordMaxPC)
	t.typesLo, t.typesHi = word(wordTypes), word(eTypes)
	list := func(i int64) directory {
		n := word(i + 1)
		if n > maxTableElements {
			return directory{}
		}
		at, ok := im.offset(word(i))
		if !ok {
			return directory{}
		}
		return im.within(directory{at, int64(n) * 4})
	}
	t.cuTab = list(wordCUTab)
	t.pclnLo = word(wordPCHeader)
	// In Go up to 1.25 textsectmap is next: a slice, so length equals capacity.
	switch next := int64(wordAfterGoFunc); {
	case go127:
		t.pclnHi = word(wordEPclnTab127)
	case word(next+1) == word(next+2) && word(next+1) < maxTableElements:
		t.pclnHi = word(wordPclnTable) + uint64(t.funcTabN)
		t.typeLinks = list(next + 3)
	default:
		t.pclnHi = word(next)
		t.typeLinks = list(next + 4)
	}
	if find, ok := im.offset(word(wordFindFuncTab)); ok && t.maxPC > t.minPC {
		n := findFuncSize(t.maxPC - t.minPC)
		if n <= im.file.size-find {
			t.findFunc, t.findFuncN = find, n
		}
	}
	t.goFuncHi = im.base[baseGoFunc]
	if at, ok := im.offset(t.goFuncHi); ok {
		s := im.at(at)
		t.goFuncHi = s.addr + uint64(s.fileSize)
		if find := word(wordFindFuncTab); find > im.base[baseGoFunc] && find < t.goFuncHi {
			t.goFuncHi = find
		}
	}
	return true
}

// mark records a reference at off, unless there is one already or the file has
// more of them than it can have.
func (im *image) mark(off int64, k kind) {
	if off&3 != 0 || off < 0 || off+k.width() > im.file.size || im.budget <= 0 {
		return
	}
	im.budget--
	if im.sites.word(off) == kindNone {
		im.sites.setWord(off, k)
	}
}
