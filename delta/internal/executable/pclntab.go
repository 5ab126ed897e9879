package executable

import "github.com/theseus-go/theseus/delta/internal/bitset"

// The layout of a _func record (runtime/runtime2.go, type _func; Go 1.20 to
// 1.27), written by cmd/link/internal/ld/pcln.go, writeFuncs.
const (
	funcEntry     = 0
	funcName      = 4
	funcPCSP      = 16 // then pcfile, pcln
	funcPCLn      = 24
	funcNPCData   = 28
	funcCU        = 32
	funcNFuncData = 43
	funcSize      = 44

	funcDataInlTree = 3 // internal/abi, symtab.go

	// An inlinedCall is {funcID, 3 pad bytes, nameOff, parentPC, startLine}
	// (runtime/symtabinl.go).
	inlinedCallSize = 16
	inlinedCallName = 4

	maxPCData = 64
	none      = 1<<32 - 1
)

// findPclntab marks the references of the function table, of the records it
// leads to, of the compilation units' file table and of the inlining trees.
func (im *Image) findPclntab() {
	f, t := im.File, &im.tab
	if t.funcs == 0 {
		return
	}
	goFunc, ok := im.offset(im.Base[baseGoFunc])
	goFuncN := int64(t.goFuncHi - im.Base[baseGoFunc])
	if !ok || goFuncN < 0 || goFuncN > f.size-goFunc {
		goFuncN = 0
	}
	// Where funcdata begins in go:func.*, and which of it is an inlining tree.
	starts, trees := bitset.NewBitset(int(goFuncN)), bitset.NewBitset(int(goFuncN))

	for i := range t.funcs {
		if im.budget <= 0 {
			break
		}
		entry := t.funcTab + 8*i
		im.mark(entry, offset32(BaseText))
		im.mark(entry+4, offset32(baseFuncTab))
		fn := int64(f.u32(entry + 4))
		if fn > t.funcTabN-funcSize {
			continue
		}
		fn += t.funcTab
		im.mark(fn+funcEntry, offset32(BaseText))
		im.mark(fn+funcName, offset32(baseFuncName))
		for at := fn + funcPCSP; at <= fn+funcPCLn; at += 4 {
			if f.u32(at) != 0 {
				im.mark(at, offset32(basePCTab))
			}
		}
		if f.u32(fn+funcCU) != none {
			im.mark(fn+funcCU, offset32(baseCUTab))
		}
		nPCData, nFuncData := int64(f.u32(fn+funcNPCData)), int64(f.u8(fn+funcNFuncData))
		if nPCData > maxPCData {
			continue
		}
		at := fn + funcSize
		for range nPCData {
			if f.u32(at) != 0 {
				im.mark(at, offset32(basePCTab))
			}
			at += 4
		}
		for k := range nFuncData {
			if v := f.u32(at); v != none {
				im.mark(at, offset32(baseGoFunc))
				if int64(v) < goFuncN {
					starts.Set(int(v))
					if k == funcDataInlTree {
						trees.Set(int(v))
					}
				}
			}
			at += 4
		}
	}
	im.mark(t.funcTab+8*t.funcs, offset32(BaseText))

	for at := t.cuTab.off; at+4 <= t.cuTab.off+t.cuTab.n; at += 4 {
		if f.u32(at) != none {
			im.mark(at, offset32(baseFileTab))
		}
	}
	for v := trees.Next(0); v < int(goFuncN); v = trees.Next(v + 1) {
		end := min(starts.Next(v+1), int(goFuncN))
		for at := v; at+inlinedCallSize <= end; at += inlinedCallSize {
			if f.u32(goFunc+int64(at))>>8 != 0 {
				break
			}
			im.mark(goFunc+int64(at)+inlinedCallName, offset32(baseFuncName))
		}
	}
}

// A function is what masking needs to know of one; only Diff asks.
type function struct {
	addr, end uint64
	name      string
}

// functions returns all functions by rising address.
func (im *Image) functions() []function {
	f, t := im.File, &im.tab
	names, ok := im.offset(im.Base[baseFuncName])
	if !ok {
		return nil
	}
	var out []function
	for i := range t.funcs {
		entry := t.funcTab + 8*i
		addr, end := uint64(f.u32(entry)), uint64(f.u32(entry+8))
		name := ""
		if fn := int64(f.u32(entry + 4)); fn <= t.funcTabN-funcSize {
			name = f.cstring(names+int64(f.u32(t.funcTab+fn+funcName)), maxNameLength)
		}
		out = append(out, function{im.Base[BaseText] + addr, im.Base[BaseText] + end, name})
	}
	return out
}

// entries yields the file offsets of the functions in a section.
func (im *Image) entries(s *Section) func() (int64, bool) {
	i := int64(0)
	return func() (int64, bool) {
		for ; i < im.tab.funcs; i++ {
			addr := im.Base[BaseText] + uint64(im.File.u32(im.tab.funcTab+8*i))
			if addr >= s.Addr && addr-s.Addr < uint64(s.FileSize) {
				i++
				return s.Off + int64(addr-s.Addr), true
			}
		}
		return 0, false
	}
}
