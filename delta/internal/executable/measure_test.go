package executable

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

func TestMeasure386(t *testing.T) {
	for _, row := range []struct {
		name, code             string
		n, disp, constant, rel int
	}{
		{"CALL rel32", "e8 11 22 33 44", 5, 0, 0, 1},
		{"JBE rel32", "0f 86 11 22 33 44", 6, 0, 0, 2},
		{"INCL AX", "40", 1, 0, 0, 0},
		{"MOVL GS:0, CX", "65 8b 0d 00 00 00 00", 7, 3, 0, 0},
		{"LEAL x, AX", "8d 05 40 72 0f 08", 6, 2, 0, 0},
		{"MOVL x(CX), CX", "8b 89 fc ff ff ff", 6, 2, 0, 0},
		{"MOVL x(AX*4), CX", "8b 0c 85 40 72 0f 08", 7, 3, 0, 0},
		{"MOVL x, AX", "a1 40 72 0f 08", 5, 1, 0, 0},
		{"MOVL $x, AX", "b8 40 72 0f 08", 5, 0, 1, 0},
		{"MOVW $1, AX", "66 b8 01 00", 4, 0, 0, 0},
		{"MOVL $x, 0xc(SP)", "c7 44 24 0c 40 72 0f 08", 8, 0, 4, 0},
		{"MOVL $x, y", "c7 05 11 22 33 44 40 72 0f 08", 10, 2, 6, 0},
		{"MOVW $1, y", "66 c7 05 11 22 33 44 01 00", 9, 3, 0, 0},
		{"PUSHL $x", "68 40 72 0f 08", 5, 0, 1, 0},
		{"CMPB x, $0", "80 3d 11 22 33 44 00", 7, 2, 0, 0},
		{"TESTL $1, x", "f7 05 11 22 33 44 01 00 00 00", 10, 2, 6, 0},
		{"MOVO x, X0", "66 0f 6f 05 11 22 33 44", 8, 4, 0, 0},
		{"PSHUFB x, X0", "66 0f 38 00 05 11 22 33 44", 9, 5, 0, 0},
		{"PALIGNR $8, x, X0", "66 0f 3a 0f 05 11 22 33 44 08", 10, 5, 0, 0},
		{"LDS (AX), CX", "c5 08", 2, 0, 0, 0},
		{"VZEROUPPER", "c5 f8 77", 3, 0, 0, 0},
		{"VMOVDQU x, Y0", "c5 fe 6f 05 11 22 33 44", 8, 4, 0, 0},
		{"VPALIGNR $4, Y1, Y1, Y0", "c4 e3 75 0f c1 04", 6, 0, 0, 0},
		{"far CALL", "9a 11 22 33 44 55 66", 7, 0, 0, 0},
		{"SUBL $0x38, SP", "83 ec 38", 3, 0, 0, 0},
		{"INT3", "cc", 1, 0, 0, 0},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(row.code, " ", ""))
		if err != nil || len(b) != row.n {
			t.Fatalf("%s: the row itself is wrong", row.name)
		}
		n, disp, constant, rel := measure386(append(b, make([]byte, 40)...))
		if n != row.n || disp != row.disp || constant != row.constant || rel != row.rel {
			t.Errorf("%s: length %d, displacement at %d, constant at %d, relative at %d; want %d, %d, %d, %d",
				row.name, n, disp, constant, rel, row.n, row.disp, row.constant, row.rel)
		}
	}
}
