package delta

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
func (im *image) findPclntab() {
	f, t := im.file, &im.tab
	if t.funcs == 0 {
		return
	}
	goFunc, ok := im.offset(im.base[baseGoFunc])
	goFuncN := int64(t.goFuncHi - im.base[baseGoFunc])
	if !ok || goFuncN < 0 || goFuncN > f.size-goFunc {
		goFuncN = 0
	}
	// Where funcdata begins in go:func.*, and which of it is an inlining tree.
	starts, trees := newBitset(int(goFuncN)), newBitset(int(goFuncN))

	for i := range t.funcs {
		if im.budget <= 0 {
			break
		}
		entry := t.funcTab + 8*i
		im.mark(entry, offset32(baseText))
		im.mark(entry+4, offset32(baseFuncTab))
		fn := int64(f.u32(entry + 4))
		if fn > t.funcTabN-funcSize {
			continue
		}
		fn += t.funcTab
		im.mark(fn+funcEntry, offset32(baseText))
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
					starts.set(int(v))
					if k == funcDataInlTree {
						trees.set(int(v))
					}
				}
			}
			at += 4
		}
	}
	im.mark(t.funcTab+8*t.funcs, offset32(baseText))

	for at := t.cuTab.off; at+4 <= t.cuTab.off+t.cuTab.n; at += 4 {
		if f.u32(at) != none {
			im.mark(at, offset32(baseFileTab))
		}
	}
	for v := trees.next(0); v < int(goFuncN); v = trees.next(v + 1) {
		end := min(starts.next(v+1), int(goFuncN))
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
func (im *image) functions() []function {
	f, t := im.file, &im.tab
	names, ok := im.offset(im.base[baseFuncName])
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
		out = append(out, function{im.base[baseText] + addr, im.base[baseText] + end, name})
	}
	return out
}

// entries yields the file offsets of the functions in a section.
func (im *image) entries(s *section) func() (int64, bool) {
	i := int64(0)
	return func() (int64, bool) {
		for ; i < im.tab.funcs; i++ {
			addr := im.base[baseText] + uint64(im.file.u32(im.tab.funcTab+8*i))
			if addr >= s.addr && addr-s.addr < uint64(s.fileSize) {
				i++
				return s.off + int64(addr-s.addr), true
			}
		}
		return 0, false
	}
}
