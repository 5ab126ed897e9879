package executable

import (
	"bytes"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/testprogram"
)

func TestRegions(t *testing.T) {
	old, _ := testprogram.Host(t)
	im, err := Parse(bytes.NewReader(old), int64(len(old)), nil)
	if err != nil {
		t.Fatal(err)
	}
	region := im.Regions()
	seen := map[string]bool{}
	for _, f := range im.functions() {
		want, ok := map[string]Region{"main.total": RegionOther, "main.main": RegionOther, "runtime.main": RegionStandard, "encoding/binary.init": RegionStandard, "sort.Strings": RegionStandard, "runtime.mallocgc": RegionStandard}[f.name]
		if !ok {
			continue
		}
		seen[f.name] = true
		for _, addr := range []uint64{f.addr, f.end - 1} {
			off, _ := im.offset(addr)
			if got := region(off); got != want {
				t.Errorf("%s at %#x is in region %d, want %d", f.name, addr, got, want)
			}
		}
	}
	for _, name := range []string{"main.total", "main.main", "runtime.main", "runtime.mallocgc"} {
		if !seen[name] {
			t.Errorf("%s was not looked at", name)
		}
	}
}

func TestStandardLibraryNames(t *testing.T) {
	for _, row := range []struct {
		name string
		want bool
	}{
		{"runtime.mallocgc", true},
		{"crypto/internal/fips140/sha256.(*Digest).Write", true},
		{"slices.SortFunc[go.shape.[]github.com/x/y.T,go.shape.int]", true},
		{"vendor/golang.org/x/net/http2/hpack.(*Decoder).Close", true},
		{"github.com/x/y.F", false},
		{"example%2ecom.F", false},
		{"main.main", false},
		{"main.(*T).Close", false},
		{"_cgo_panic", false},
		{"go:textfipsstart", false},
		{"", false},
	} {
		if got := isStandard(row.name); got != row.want {
			t.Errorf("%q: %v, want %v", row.name, got, row.want)
		}
	}
}
