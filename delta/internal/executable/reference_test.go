package executable

import (
	"encoding/hex"
	"strings"
	"testing"
)

// What a reference is moved to, it then refers to; and moved nowhere it keeps
// its bytes.
func TestReferencesMove(t *testing.T) {
	l := &Layout{}
	for i := range l.Base {
		l.Base[i] = 0x400000 + uint64(i)<<12
	}
	const addr = 0x480000
	for _, row := range []struct {
		name string
		k    Kind
		b    string
		want uint64
	}{
		{"pointer", kindPointer, "0080400000000000", 0x408000},
		{"BL", kindARM64, "02000094", addr + 8},
		{"BL back", kindARM64, "feffff97", addr - 8},
		{"ADRP, ADD", kindARM64 + 1, "20000090 21400091", addr + 4<<12 + 16},
		{"ADRP, MOVD 8-byte load", kindARM64 + 1, "20000090 014440f9", addr + 4<<12 + 0x88},
		{"ADRP, FMOVQ 16-byte load", kindARM64 + 1, "20000090 0104c03d", addr + 4<<12 + 16},
		{"text", offset32(BaseText), "20000000", 0x400020},
		{"cutab", offset32(baseCUTab), "20000000", 0x404080},
		{"CALL", kindAMD64, "10000000", addr + 4 + 16},
		{"CMPB with one byte behind", kindAMD64 + 1, "10000000", addr + 5 + 16},
		{"MOVW with two", kindAMD64 + 2, "f0ffffff", addr + 6 - 16},
		{"MOVL with four", kindAMD64 + 3, "10000000", addr + 8 + 16},
		{"pointer of 4 bytes", kindPointer32, "00804000", 0x408000},
		{"386 CALL", kind386 + code386Rel, "10000000", addr + 4 + 16},
		{"386 LEAL", kind386 + code386Address, "00804000", 0x408000},
		{"arm BL", kindARM, "020000eb", addr + 8 + 8},
		{"arm BL back", kindARM, "feffffeb", addr},
		{"riscv64 JAL", kindRISCV + codeRISCVJump, "ef004010", addr + 0x104},
		{"riscv64 JAL back", kindRISCV + codeRISCVJump, "eff05fff", addr - 12},
		{"riscv64 AUIPC, ADDI", kindRISCV + codeRISCVLoad, "17450100 130565f0", addr + 20<<12 - 250},
		{"riscv64 AUIPC, MOV to memory", kindRISCV + codeRISCVStore, "97ef0f00 23bb5fca", addr + 254<<12 - 842},
		{"loong64 BL", kindLoong, "00040054", addr + 4},
		{"loong64 BL back", kindLoong, "fff7ff57", addr - 12},
		{"loong64 PCALAU12I, load", kindLoong + 1, "9e000018 c8fbf028", addr + 4<<12 - 962},
		{"ppc64le BL", kindPower, "05000048", addr + 4},
		{"ppc64le BL back", kindPower, "f1ffff4b", addr - 16},
		{"ppc64le ADDIS, ADD", kindPower + 1, "4100e03c f0ffe738", 0x40fff0},
		{"mips JAL", kindMIPS, "0040100c", 0x410000},
		{"mips LUI, ADDIU", kindMIPS + 1, "4100013c f0ff2124", 0x40fff0},
		{"s390x LARL", kindS390, "00000010", addr - 2 + 32},
		{"s390x BRASL back", kindS390, "fffffff0", addr - 2 - 32},
		{"rebase, two bytes", kindRebase, "228801", 0x40a000 + 0x88},
		{"rebase, three bytes", kindRebase + 1, "23888001", 0x40b000 + 0x4008},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(row.b, " ", ""))
		if err != nil || int64(len(b)) != row.k.Width() {
			t.Fatalf("%s: the row itself is wrong", row.name)
		}
		before := string(b)
		got := l.Target(row.k, b, addr)
		if got != row.want {
			t.Errorf("%s: refers to %#x, want %#x", row.name, got, row.want)
			continue
		}
		if l.Refer(row.k, b, addr, got); string(b) != before {
			t.Errorf("%s: %x became %x", row.name, before, b)
		}
		for _, move := range []uint64{32, 0x1000, 1<<64 - 16} {
			l.Refer(row.k, b, addr+0x2000, got+move)
			if now := l.Target(row.k, b, addr+0x2000); now != got+move {
				t.Errorf("%s: moved by %#x it refers to %#x, want %#x", row.name, move, now, got+move)
			}
		}
	}
}
