package executable

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// A Region is a part of an executable that a publisher may do something about.
type Region uint8

const (
	RegionOther    Region = iota
	RegionDebug           // debugging information and symbols
	RegionStandard        // code of the standard library
	Regions
)

// Regions returns a function that tells the region of an offset.
func (im *Image) Regions() func(off int64) Region {
	var debug bool
	var loaded int64 // where what is loaded ends
	for i := range im.Sections {
		if s := &im.Sections[i]; s.Content >= contentDebugs {
			debug = true
		} else {
			loaded = max(loaded, s.Off+s.FileSize)
		}
	}
	standard := im.functions()
	slices.SortStableFunc(standard, func(a, b function) int { return cmp.Compare(a.addr, b.addr) })
	standard = slices.DeleteFunc(standard, func(f function) bool { return !isStandard(f.name) })
	return func(off int64) Region {
		s := im.At(off)
		switch {
		case s == nil && debug && off >= loaded, s != nil && s.Content >= contentDebugs:
			return RegionDebug
		case s != nil && s.Content == contentCode:
			addr := s.Addr + uint64(off-s.Off)
			i := sort.Search(len(standard), func(i int) bool { return standard[i].end > addr })
			if i < len(standard) && standard[i].addr <= addr {
				return RegionStandard
			}
		}
		return RegionOther
	}
}

// isStandard reports whether a function is of a package of the standard library:
// the first element of its path has no dot (which the linker writes as %2e in the
// last element), and it is not main.
func isStandard(name string) bool {
	name, _, _ = strings.Cut(name, "[")
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		first, _, _ := strings.Cut(name, "/")
		return !strings.Contains(first, ".")
	}
	pkg, _, dot := strings.Cut(name, ".")
	return dot && !strings.Contains(pkg, "%") && pkg != "main" && pkg != "" && !strings.HasPrefix(pkg, "_cgo") && pkg != "go:"
}
