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
		{"BL", kindBranch, "02000094", addr + 8},
		{"BL back", kindBranch, "feffff97", addr - 8},
		{"ADRP, ADD", kindPage, "20000090 21400091", addr + 4<<12 + 16},
		{"ADRP, MOVD 8-byte load", kindPage, "20000090 014440f9", addr + 4<<12 + 0x88},
		{"ADRP, FMOVQ 16-byte load", kindPage, "20000090 0104c03d", addr + 4<<12 + 16},
		{"text", offset32(BaseText), "20000000", 0x400020},
		{"cutab", offset32(baseCUTab), "20000000", 0x404080},
		{"CALL", kindRel, "10000000", addr + 4 + 16},
		{"CMPB with one byte behind", kindRel + 1, "10000000", addr + 5 + 16},
		{"MOVW with two", kindRel + 2, "f0ffffff", addr + 6 - 16},
		{"MOVL with four", kindRel + 3, "10000000", addr + 8 + 16},
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
