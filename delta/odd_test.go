package delta

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
	"github.com/theseus-go/theseus/delta/internal/testprogram"
	"github.com/theseus-go/theseus/internal/testenv"
)

// What Diff needs for each pair, in symbols compared, grows with their sizes, and not with the square: files of which
// the old one has two parts that are nearly the same, and files of zeros with something in between.
func TestLongMatchesAreNotLookedUpForEachByte(t *testing.T) {
	const n = 1 << 18
	random := noise(1, n)
	edited := func(b []byte) []byte {
		b = bytes.Clone(b)
		for i := 1; i <= 4; i++ {
			b[i*n/5] ^= 1
		}
		return b
	}
	zeros := make([]byte, n)
	for _, row := range []struct {
		name     string
		old, new []byte
	}{
		{"nearly the same twice", append(edited(random), random...), random},
		{"zeros from now on", edited(zeros), zeros},
		{"no longer zeros alone", zeros, edited(zeros)},
	} {
		t.Run(row.name, func(t *testing.T) {
			sa, err := suffixes(t.Context(), row.old)
			if err != nil {
				t.Fatal(err)
			}
			a := aligner{old: row.old, new: row.new, sa: sa}
			ops, err := a.align(t.Context(), slack)
			if err != nil {
				t.Fatal(err)
			}
			if len(ops) > 20 {
				t.Errorf("%d copies", len(ops))
			}
			// A match of m bytes is read once in m/trust bytes; a second look is rare.
			if most := 2 * trust * n; a.read > most {
				t.Errorf("matches of %d bytes in all were looked up, in files of %d", a.read, n)
			}
		})
	}
}

// The search for runs has an end, however many shifts the references of a file ask for.
func TestRunsOfManyShifts(t *testing.T) {
	m := &addressMap{}
	m.seal(0, 1<<20)
	var votes []vote
	for i := range uint64(1_000_000) { // half an hour of it, if each were compared with each
		votes = append(votes, vote{1000, i * 16})
	}
	for i := range uint64(20_000) {
		votes = append(votes, vote{2000 + i/100, i * 4099})
	}
	for range 1000 {
		votes = append(votes, vote{500_000, 4096})
	}
	runs := findRuns(m, votes, 1<<20)
	found := false
	for _, r := range runs {
		found = found || r.from <= 500_000 && r.to > 500_000 && r.shift == 4096
	}
	if !found {
		t.Errorf("a shift that 1000 references agree on is not among %d runs", len(runs))
	}
}

// P20: a function table that says of each of a million functions that it is all of the code. To make findfunctab of it
// takes as many steps as it has entries and parts.
func TestHostileFunctionTableP20(t *testing.T) {
	tab := executable.FindFuncTab{Max: 1 << 28, Entries: make([]uint32, 1<<20)}
	for i := range tab.Entries {
		tab.Entries[i] = uint32(i%2) << 28
	}
	if got := tab.Make(); int64(len(got)) != (1<<28)/4096*20 {
		t.Errorf("%d bytes", len(got))
	}
}

// P20: a list of tables each of which wants half of the new file's size to be made.
func TestTwoTablesOfOneKindP20(t *testing.T) {
	old := testprogram.ELF(62, 0)
	im, err := executable.Parse(bytes.NewReader(old), int64(len(old)), nil)
	if err != nil {
		t.Fatal(err)
	}
	tables := im.Tables()
	if len(tables) == 0 {
		t.Fatal("no table")
	}
	list := []executable.Table{tables[0], tables[0]}
	list[1].Off += tables[0].N
	e := coding.NewEncoder()
	var m generatedCoder
	e.Number(&m.count, 2)
	for _, g := range list {
		e.Number(&m.kind, g.Kind)
		shift := int64(0)
		for j, f := range []int64{g.Off - tables[0].Off, 0, 0, 0, 0, 0} {
			if j == 2 {
				shift = 0
			}
			e.Signed(&m.field[j], f-shift)
			shift = f
		}
		e.Number(&m.except, 0)
	}
	if _, err := codeGenerated(coding.NewDecoder(bytes.NewReader(e.Finish())), nil, tables); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "of one kind") {
		t.Errorf("error is %v", err)
	}
}

// P20, every bit: small patches of every kind, cut at each byte and with each bit changed.
func TestEveryBitOfAPatchP20(t *testing.T) {
	for _, row := range []struct {
		name     string
		old, new []byte
		p        Predictor
	}{
		{"plain", noise(1, 600), append(noise(1, 500), noise(2, 20)...), Plain},
		{"go", testprogram.ELF125(62, 0), testprogram.ELF125(62, 48), Go},
		{"packed sections", testprogram.Debug(62, 0, 5, true), testprogram.Debug(62, 48, 5, true), Go},
		{"pe", testprogram.PE32(0), testprogram.PE32(48), Go},
	} {
		t.Run(row.name, func(t *testing.T) {
			patch := makePatch(t, row.old, row.new, row.p)
			want := sha256.Sum256(row.new)
			try := func(what string, at int, p []byte) {
				w := &counter{}
				sum := sha256.New()
				h, err := Apply(t.Context(), bytes.NewReader(row.old), bytes.NewReader(p), io.MultiWriter(w, sum), Limits{MaxSize: 1 << 20, MaxUnpacked: 1 << 20})
				switch {
				case err == nil && [32]byte(sum.Sum(nil)) != want:
					t.Fatalf("%s %d: another file was accepted", what, at)
				case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrWrongOld):
					t.Fatalf("%s %d: error is %v", what, at, err)
				case w.n > h.New.Size:
					t.Fatalf("%s %d: %d bytes written of %d", what, at, w.n, h.New.Size)
				}
			}
			step := testenv.Pick(7, 1, 1)
			for at := 0; at < len(patch); at += step {
				try("cut at", at, patch[:at])
				p := bytes.Clone(patch)
				p[at] ^= 1 << (at & 7)
				try("changed at", at, p)
			}
		})
	}
}

// Executables that no linker writes, or that are of a kind which has no references for us: the patch may be larger, and
// is right.
func TestOddExecutables(t *testing.T) {
	const header, entry = 64, 64 // of ELF
	elf64 := func(change func(b []byte, sections int64)) []byte {
		b := testprogram.ELF(62, 0)
		change(b, int64(le.Uint64(b[40:])))
		return b
	}
	sectionOf := func(b []byte, at int64, i int) []byte { return b[at+int64(i)*entry:][:entry] }
	pe := func(change func(b []byte, header int)) []byte {
		b := testprogram.PE()
		change(b, int(le.Uint32(b[0x3c:])))
		return b
	}
	fat := func(parts ...[]byte) []byte {
		b := make([]byte, 4096)
		be := binary.BigEndian
		be.PutUint32(b, 0xcafebabe)
		be.PutUint32(b[4:], uint32(len(parts)))
		for i, p := range parts {
			be.PutUint32(b[8+20*i+8:], uint32(len(b)))
			be.PutUint32(b[8+20*i+12:], uint32(len(p)))
			b = append(b, p...)
		}
		return b
	}
	many := func(n int) []byte {
		b := testprogram.ELF(62, 0)
		table := int64(len(b))
		for i := range n {
			s := make([]byte, entry)
			le.PutUint32(s[4:], uint32(elf.SHT_PROGBITS))
			le.PutUint64(s[8:], uint64(elf.SHF_ALLOC))
			le.PutUint64(s[16:], 0x700000+uint64(i)*8)
			le.PutUint64(s[24:], uint64(i%1000))
			le.PutUint64(s[32:], 8)
			b = append(b, s...)
		}
		le.PutUint64(b[40:], uint64(table))
		le.PutUint16(b[60:], uint16(n))
		return b
	}
	for _, row := range []struct {
		name string
		file []byte
	}{
		{"ELF with its count of sections in the first one", elf64(func(b []byte, at int64) {
			le.PutUint64(sectionOf(b, at, 0)[32:], uint64(le.Uint16(b[60:])))
			le.PutUint16(b[60:], 0)
		})},
		{"ELF without a table of sections", elf64(func(b []byte, _ int64) { clear(b[40:48]); clear(b[58:64]) })},
		{"ELF whose table of sections is behind the file", elf64(func(b []byte, _ int64) { le.PutUint64(b[40:], 1<<40) })},
		{"ELF whose table of sections reaches out of the file", elf64(func(b []byte, _ int64) { le.PutUint16(b[60:], 65535) })},
		{"ELF of 5,000 sections that overlap", many(5000)},
		{"ELF with an offset of 4 GiB", elf64(func(b []byte, at int64) { le.PutUint64(sectionOf(b, at, 1)[24:], 1<<32) })},
		{"ELF with a negative offset", elf64(func(b []byte, at int64) { le.PutUint64(sectionOf(b, at, 1)[24:], 1<<63+8) })},
		{"ELF with a size of all there is", elf64(func(b []byte, at int64) { le.PutUint64(sectionOf(b, at, 1)[32:], 1<<64-1) })},
		{"ELF with empty sections", elf64(func(b []byte, at int64) {
			for i := range int(le.Uint16(b[60:])) {
				le.PutUint64(sectionOf(b, at, i)[32:], 0)
			}
		})},
		{"ELF whose sections are all the same", elf64(func(b []byte, at int64) {
			for i := range int(le.Uint16(b[60:])) {
				copy(sectionOf(b, at, i), sectionOf(b, at, 1))
			}
		})},
		{"ELF cut within its header", testprogram.ELF(62, 0)[:header-1]},
		{"PE whose sections begin at odd offsets", pe(func(b []byte, h int) {
			table := h + 24 + int(le.Uint16(b[h+20:]))
			for i := range int(le.Uint16(b[h+6:])) {
				s := b[table+40*i:]
				le.PutUint32(s[20:], le.Uint32(s[20:])+3)
			}
		})},
		{"PE aligned to 2 GiB", pe(func(b []byte, h int) { le.PutUint32(b[h+24+32:], 1<<31); le.PutUint32(b[h+24+36:], 1) })},
		{"PE with 65,535 sections", pe(func(b []byte, h int) { le.PutUint16(b[h+6:], 65535) })},
		{"PE whose header is behind the file", pe(func(b []byte, _ int) { le.PutUint32(b[0x3c:], 1<<32-1) })},
		{"Mach-O for two processors", fat(testprogram.MachO(), testprogram.MachO())},
		{"Mach-O with 2³² commands", func() []byte { b := testprogram.MachO(); le.PutUint32(b[16:], 1<<32-1); return b }()},
		{"Mach-O in Mach-O in nothing", fat(fat(), fat(fat()))},
	} {
		t.Run(row.name, func(t *testing.T) {
			changed := bytes.Clone(row.file)
			for i := len(changed) / 3; i < len(changed); i += 1009 {
				changed[i] ^= 0x21
			}
			other := testprogram.ELF(62, 40)
			pairs := [][2][]byte{{row.file, changed}, {other, row.file}, {row.file, other}, {changed, row.file}, {row.file, row.file}}
			for _, p := range pairs[:testenv.Pick(2, 5, 5)] {
				makePatch(t, p[0], p[1])
			}
		})
	}
}
