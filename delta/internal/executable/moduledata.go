package executable

// tables is where the Go linker's tables are, as runtime.moduledata says.
type tables struct {
	funcs     int64 // number of functions
	funcTab   int64 // File offset of runtime.ftab, then the _func records
	funcTabN  int64 // bytes of both
	findFunc  int64 // File offset of runtime.findfunctab
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
	pclnHeaderNames  = 3  // words behind the first 8 bytes
	pclnHeader       = 64 // bytes of it
	maxTableElements = 1 << 26
	maxHeaders       = 16 // that may turn out to be none
)

// findTables finds the pclntab by its magic number (internal/abi, symtab.go:
// Go 1.20 and later) and runtime.moduledata by the pointers with which it begins.
func (im *Image) findTables() {
	f := im.File
	// The magic number, two zeros, the instruction quantum (1, 2 or 4), the word size.
	lo, hi := uint64(pclnMagic), uint64(pclnMagic+1)
	switch {
	case f.wide == 8 && f.big:
		lo, hi = lo<<32, hi<<32
	case f.wide == 8:
		lo, hi = lo|8<<56, lo|9<<56
	}
	isHeader := func(off int64) bool {
		q := f.u8(off + 6)
		return f.u32(off) == pclnMagic && f.u16(off+4) == 0 && (q == 1 || q == 2 || q == 4) && int64(f.u8(off+7)) == f.wide
	}
	tries, found := maxHeaders, false
	for i := 0; i < len(im.Sections) && tries > 0 && !found; i++ {
		s := &im.Sections[i]
		end := s.Addr + uint64(s.FileSize)
		im.words(s, s.Addr, end, lo, hi, func(off int64) bool {
			if !isHeader(off) {
				return true
			}
			if off+pclnHeader > s.Off+s.FileSize {
				return false
			}
			found = im.findModuleData(s.Addr+uint64(off-s.Off), off)
			tries--
			return !found && tries > 0
		})
	}
}

// findModuleData looks for it in the last section first: the linker puts it
// behind the large tables.
func (im *Image) findModuleData(header uint64, headerOff int64) (found bool) {
	f := im.File
	names := header + f.word(headerOff+8+pclnHeaderNames*f.wide)
	for i := len(im.Sections) - 1; i >= 0 && !found; i-- {
		s := &im.Sections[i]
		im.words(s, s.Addr, s.Addr+uint64(s.FileSize), header, header+1, func(off int64) bool {
			found = f.word(off+f.wide) == names && im.readModuleData(off, f.word(headerOff+pclnHeaderFuncs))
			return !found
		})
	}
	return found
}

func (im *Image) readModuleData(off int64, funcs uint64) bool {
	word := func(i int64) uint64 { return im.File.word(off + im.File.wide*i) }
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
	if t.funcTabN = int64(word(wordPclnTable + 1)); t.funcTabN < 0 || t.funcTabN > im.File.size-t.funcTab || t.funcs > t.funcTabN/8 {
		*t = tables{}
		return false
	}
	for b, w := range map[Base]int64{
		BaseText:     wordText,
		baseFuncName: wordFuncNames,
		basePCTab:    wordPCTab,
		baseFuncTab:  wordPclnTable,
		baseCUTab:    wordCUTab,
		baseFileTab:  wordFileTab,
		baseGoFunc:   goFunc,
		baseTypes:    wordTypes,
	} {
		im.Base[b] = word(w)
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
		if n <= im.File.size-find {
			t.findFunc, t.findFuncN = find, n
		}
	}
	t.goFuncHi = im.Base[baseGoFunc]
	if at, ok := im.offset(t.goFuncHi); ok {
		s := im.At(at)
		t.goFuncHi = s.Addr + uint64(s.FileSize)
		if find := word(wordFindFuncTab); find > im.Base[baseGoFunc] && find < t.goFuncHi {
			t.goFuncHi = find
		}
	}
	return true
}

// mark records a reference in data at off, unless there is one already or the
// file has more of them than it can have.
func (im *Image) mark(off int64, k Kind) {
	if off&3 != 0 || off < 0 || off+k.Width() > im.File.size || im.budget <= 0 {
		return
	}
	if s := im.At(off); s == nil || s.Content != contentData {
		return
	}
	im.budget--
	if im.Sites.Word(off) == KindNone {
		im.Sites.setWord(off, k)
	}
}
