package delta

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

// Encodings from the Intel manual's formats, checked with two disassemblers.
func TestMeasure(t *testing.T) {
	for _, row := range []struct {
		name, code   string
		n, rel, tail int
	}{
		{"NOP", "90", 1, 0, 0},
		{"RET", "c3", 1, 0, 0},
		{"CALL rel32", "e8 11 22 33 44", 5, 1, 0},
		{"JMP rel32", "e9 11 22 33 44", 5, 1, 0},
		{"JMP rel8", "eb 10", 2, 0, 0},
		{"JBE rel32", "0f 86 11 22 33 44", 6, 2, 0},
		{"CMPQ SP, 16(R14)", "49 3b 66 10", 4, 0, 0},
		{"SUBQ $0x88, SP", "48 81 ec 88 00 00 00", 7, 0, 0},
		{"MOVQ AX, 0x20(SP)", "48 89 44 24 20", 5, 0, 0},
		{"MOVQ AX, 0x200(SP)", "48 89 84 24 00 02 00 00", 8, 0, 0},
		{"MOVQ 0(AX*8), CX", "48 8b 0c c5 00 00 00 00", 8, 0, 0},
		{"LEAQ x(IP), AX", "48 8d 05 11 22 33 44", 7, 3, 0},
		{"MOVQ x(IP), CX", "48 8b 0d 11 22 33 44", 7, 3, 0},
		{"CMPB x(IP), $0", "80 3d 11 22 33 44 00", 7, 2, 1},
		{"CMPL x(IP), $0", "83 3d 11 22 33 44 00", 7, 2, 1},
		{"MOVL x(IP), $imm32", "c7 05 11 22 33 44 01 00 00 00", 10, 2, 4},
		{"MOVW x(IP), $imm16", "66 c7 05 11 22 33 44 01 00", 9, 3, 2},
		{"TESTB x(IP), $1", "f6 05 11 22 33 44 01", 7, 2, 1},
		{"NEGQ x(IP)", "48 f7 1d 11 22 33 44", 7, 3, 0},
		{"TESTL $imm32, AX", "a9 01 00 00 00", 5, 0, 0},
		{"MOVQ $imm64, AX", "48 b8 01 02 03 04 05 06 07 08", 10, 0, 0},
		{"MOVL $imm32, AX", "b8 01 02 03 04", 5, 0, 0},
		{"LOCK CMPXCHGL CX, x(IP)", "f0 0f b1 0d 11 22 33 44", 8, 4, 0},
		{"MOVUPS x(IP), X0", "0f 10 05 11 22 33 44", 7, 3, 0},
		{"MOVSD x(IP), X0", "f2 0f 10 05 11 22 33 44", 8, 4, 0},
		{"PSHUFB x(IP), X0", "66 0f 38 00 05 11 22 33 44", 9, 5, 0},
		{"PALIGNR $8, x(IP), X0", "66 0f 3a 0f 05 11 22 33 44 08", 10, 5, 1},
		{"PSHUFD $0, X1, X0", "66 0f 70 c1 00", 5, 0, 0},
		{"BTL $3, x(IP)", "0f ba 25 11 22 33 44 03", 8, 3, 1},
		{"MOVBLZX x(IP), AX", "0f b6 05 11 22 33 44", 7, 3, 0},
		{"VZEROUPPER", "c5 f8 77", 3, 0, 0},
		{"VMOVDQU x(IP), Y0", "c5 fe 6f 05 11 22 33 44", 8, 4, 0},
		{"VPSHUFB x(IP), Y1, Y0", "c4 e2 75 00 05 11 22 33 44", 9, 5, 0},
		{"VPALIGNR $4, Y1, Y1, Y0", "c4 e3 75 0f c1 04", 6, 0, 0},
		{"VMOVDQU64 x(IP), Z0", "62 f1 fe 48 6f 05 11 22 33 44", 10, 6, 0},
		{"VPTERNLOGD $1, Z2, Z1, Z0", "62 f3 75 48 25 c2 01", 7, 0, 0},
		{"ENTER", "c8 10 00 00", 4, 0, 0},
		{"INT3", "cc", 1, 0, 0},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(row.code, " ", ""))
		if err != nil || len(b) != row.n {
			t.Fatalf("%s: the row itself is wrong", row.name)
		}
		n, rel, tail := measure(append(b, make([]byte, 40)...))
		if rel == 0 {
			tail = 0 // means nothing then
		}
		if n != row.n || rel != row.rel || tail != row.tail {
			t.Errorf("%s: length %d, operand at %d with %d behind; want %d, %d, %d", row.name, n, rel, tail, row.n, row.rel, row.tail)
		}
	}
}

// What counts as plain has its length and its operand whatever follows, also
// behind a REX prefix.
func TestPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	var b [48]byte
	count := 0
	for i, o := range plain() {
		if o == 0 {
			continue
		}
		count++
		for rex := range 2 {
			for range 20 {
				for j := range b {
					b[j] = byte(r.Uint32())
				}
				b[0] = 0x40 | b[0]&15
				b[rex], b[rex+1] = byte(i>>8), byte(i)
				n, rel, tail := measure(b[:])
				if got := refers(rel, tail); n != int(o&15)+rex || got != uint32(o>>4) {
					t.Fatalf("% x: length %d, operand %d; plain says %d, %d", b[:16], n, got, o&15, o>>4)
				}
				if rel > 0 && rel != n-int(relTail[o>>4-1]) {
					t.Fatalf("% x: operand at %d of %d, with %d behind", b[:16], rel, n, tail)
				}
			}
		}
	}
	if count < 1<<15 {
		t.Errorf("only %d pairs of bytes are plain", count)
	}
}

// What a reference is moved to, it then refers to; and moved nowhere it keeps
// its bytes.
func TestReferencesMove(t *testing.T) {
	l := &layout{}
	for i := range l.base {
		l.base[i] = 0x400000 + uint64(i)<<12
	}
	const addr = 0x480000
	for _, row := range []struct {
		name string
		k    kind
		b    string
		want uint64
	}{
		{"pointer", kindPointer, "0080400000000000", 0x408000},
		{"BL", kindBranch, "02000094", addr + 8},
		{"BL back", kindBranch, "feffff97", addr - 8},
		{"ADRP, ADD", kindPage, "20000090 21400091", addr + 4<<12 + 16},
		{"ADRP, MOVD 8-byte load", kindPage, "20000090 014440f9", addr + 4<<12 + 0x88},
		{"ADRP, FMOVQ 16-byte load", kindPage, "20000090 0104c03d", addr + 4<<12 + 16},
		{"text", offset32(baseText), "20000000", 0x400020},
		{"cutab", offset32(baseCUTab), "20000000", 0x404080},
		{"CALL", kindRel, "10000000", addr + 4 + 16},
		{"CMPB with one byte behind", kindRel + 1, "10000000", addr + 5 + 16},
		{"MOVW with two", kindRel + 2, "f0ffffff", addr + 6 - 16},
		{"MOVL with four", kindRel + 3, "10000000", addr + 8 + 16},
		{"rebase, two bytes", kindRebase, "228801", 0x40a000 + 0x88},
		{"rebase, three bytes", kindRebase + 1, "23888001", 0x40b000 + 0x4008},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(row.b, " ", ""))
		if err != nil || int64(len(b)) != row.k.width() {
			t.Fatalf("%s: the row itself is wrong", row.name)
		}
		before := string(b)
		got := l.target(row.k, b, addr)
		if got != row.want {
			t.Errorf("%s: refers to %#x, want %#x", row.name, got, row.want)
			continue
		}
		if l.refer(row.k, b, addr, got); string(b) != before {
			t.Errorf("%s: %x became %x", row.name, before, b)
		}
		for _, move := range []uint64{32, 0x1000, 1<<64 - 16} {
			l.refer(row.k, b, addr+0x2000, got+move)
			if now := l.target(row.k, b, addr+0x2000); now != got+move {
				t.Errorf("%s: moved by %#x it refers to %#x, want %#x", row.name, move, now, got+move)
			}
		}
	}
}

func TestAddressMap(t *testing.T) {
	old := &layout{sections: []section{{off: 0, fileSize: 0x1000, addr: 0x1000, memSize: 0x1000}}}
	new := &layout{sections: []section{{off: 0, fileSize: 0x2000, addr: 0x9000, memSize: 0x2000}}}
	old.settle()
	new.settle()
	m := mapOfOps(old, new, []op{
		{0x100, 0x100, 0x100}, // 0x1100… to 0x9100…
		{0x180, 0x400, 0x100}, // the second half is new: 0x1200… to 0x9480…
		{0x400, 0x800, 0x100},
	}).with([]run{{0x1380, 0x1410, 5}, {0x1600, 0x1700, 7}})
	m.seal(old.lo, old.hi)
	for _, row := range []struct{ addr, shift uint64 }{
		{0x1000, 0}, {0x10ff, 0},
		{0x1100, 0x8000}, {0x11ff, 0x8000},
		{0x1200, 0x8280}, {0x137f, 0x8280},
		{0x1380, 5}, {0x140f, 5},
		{0x1410, 0x8400}, {0x15ff, 0x8400},
		{0x1600, 7}, {0x16ff, 7},
		{0x1700, 0x8400}, {0x1fff, 0x8400},
	} {
		if got := m.at(row.addr); got != row.shift {
			t.Errorf("%#x moves by %#x, want %#x", row.addr, got, row.shift)
		}
	}
}

// Where many references agree on a shift that the copies do not tell, a run
// says so; a single one that errs is left to the residue.
func TestRunsFollowTheVotes(t *testing.T) {
	m := &addressMap{}
	m.add(0x1000, 0x10)
	m.seal(0x1000, 0x3000)
	var votes []vote
	for a := uint64(0x1000); a < 0x3000; a += 0x40 {
		shift := uint64(0x10)
		if a >= 0x2000 && a < 0x2800 {
			shift = 0x30
		}
		if a == 0x1400 {
			shift = 0x999
		}
		votes = append(votes, vote{a, shift}, vote{a, shift})
	}
	votes[2*(0x400/0x40)+1].shift = 0x10
	runs := findRuns(m, votes, 0x3000)
	if len(runs) != 1 || runs[0] != (run{0x2000, 0x2800, 0x30}) {
		t.Fatalf("runs %x", runs)
	}
}
