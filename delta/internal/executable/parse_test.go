package executable

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/testprogram"
)

// The smallest executables are seen whole, on any machine.
func TestTinyExecutables(t *testing.T) {
	for _, row := range []struct {
		name string
		file []byte
		want map[Kind]int
	}{
		{"elf amd64", testprogram.ELF(62, 0), map[Kind]int{kindAMD64: 2, kindAMD64 + 1: 1, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf of Go 1.27", testprogram.ELF127(62, 0), map[Kind]int{kindAMD64: 2, kindAMD64 + 1: 1, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 4}},
		{"elf arm64", testprogram.ELF(183, 0), map[Kind]int{kindARM64: 1, kindARM64 + 1: 1, offset32(BaseText): 6, offset32(baseFuncName): 4}},
		{"elf 386", testprogram.ELF(3, 0), map[Kind]int{kind386 + code386Rel: 1, kind386 + code386Address: 1, kindPointer32: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf arm", testprogram.ELF(40, 0), map[Kind]int{kindARM: 1, kindARM + 1: 1, kindPointer32: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf riscv64", testprogram.ELF(243, 0), map[Kind]int{kindRISCV + codeRISCVJump: 1, kindRISCV + codeRISCVLoad: 1, kindPointer: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf loong64", testprogram.ELF(258, 0), map[Kind]int{kindLoong: 1, kindLoong + 1: 1, kindPointer: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf ppc64le", testprogram.ELF(21, 0), map[Kind]int{kindPower: 1, kindPower + 1: 1, kindPointer: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf mips, 32 bits and big-endian", testprogram.ELF(8, 0), map[Kind]int{kindMIPS: 1, kindMIPS + 1: 1, kindPointer32: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf s390x, big-endian", testprogram.ELF(22, 0), map[Kind]int{kindS390: 2, kindPointer: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"elf of another processor", testprogram.ELF(testprogram.OtherMachine, 0), map[Kind]int{kindARM64: 0, kindARM64 + 1: 0, kindAMD64: 0, kindPointer: 17, offset32(BaseText): 6, offset32(baseFuncName): 4, offset32(baseTypes): 6}},
		{"pe", testprogram.PE(), map[Kind]int{kindAMD64: 2, offset32(baseFuncTab): 2}},
		{"pe of 386", testprogram.PE32(0), map[Kind]int{kind386 + code386Rel: 1, kind386 + code386Address: 1, offset32(baseFuncTab): 2}},
		{"mach-o", testprogram.MachO(), map[Kind]int{kindARM64: 1, kindRebase: 44}},
	} {
		im, err := Parse(bytes.NewReader(row.file), int64(len(row.file)), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[Kind]int{}
		for i := range im.Sections {
			s := &im.Sections[i]
			im.References(s.Off, s.Off+s.FileSize, s, func(_ int64, k Kind) { got[k]++ })
		}
		for k, n := range row.want {
			if got[k] != n {
				t.Errorf("%s: %d references of kind %d, want %d", row.name, got[k], k, n)
			}
		}
		if made := im.Verified(row.file, row.file, im.Tables(), nil); row.name != "mach-o" && len(made) == 0 {
			t.Errorf("%s: no table follows from the rest", row.name)
		}
		if row.name == "pe" && len(im.Verified(row.file, row.file, im.Tables(), nil)) != 2 {
			t.Error("pe: the relocations do not follow from the pointers")
		}
	}
}

// The tables are found, not only survived.
func TestParseFindsTheTables(t *testing.T) {
	old, _ := testprogram.Host(t)
	im, err := Parse(bytes.NewReader(old), int64(len(old)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if im.tab.funcs < 500 {
		t.Fatalf("%d functions", im.tab.funcs)
	}
	found := false
	for _, f := range im.functions() {
		if f.name == "main.total" && f.end > f.addr {
			found = true
		}
	}
	if !found {
		t.Error("main.total is not among the functions")
	}
	types := 0
	im.eachType(func(int64) { types++ })
	if types < 100 {
		t.Errorf("%d types", types)
	}
	var count [Kinds]int
	for i := range im.Sections {
		s := &im.Sections[i]
		im.References(s.Off, s.Off+s.FileSize, s, func(_ int64, k Kind) { count[k]++ })
	}
	want := []Kind{kindPointer, offset32(BaseText), offset32(baseFuncName), offset32(basePCTab), offset32(baseFuncTab), offset32(baseCUTab), offset32(baseFileTab), offset32(baseGoFunc), offset32(baseTypes)}
	switch runtime.GOARCH {
	case "amd64":
		want = append(want, kindAMD64, kindAMD64+1)
	case "arm64":
		want = append(want, kindARM64, kindARM64+1)
	}
	for _, k := range want {
		if count[k] < 10 {
			t.Errorf("%d references of kind %d", count[k], k)
		}
	}
	if made := im.Verified(old, old, im.Tables(), nil); len(made) == 0 {
		t.Error("findfunctab does not follow from the function table")
	}
}

// FuzzParse checks that no file upsets the executable parsers, and what they find lies
// within it.
func FuzzParse(f *testing.F) {
	for _, b := range testprogram.Seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		im, err := Parse(bytes.NewReader(b), int64(len(b)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range im.Sections {
			s := &im.Sections[i]
			im.References(s.Off, s.Off+s.FileSize, s, func(off int64, k Kind) {
				if off < s.Off || off+k.Width() > int64(len(b)) {
					t.Fatalf("a reference at %d+%d of %d", off, k.Width(), len(b))
				}
			})
		}
		im.Mask(b)
		im.Verified(b, b, im.Tables(), nil)
	})
}
