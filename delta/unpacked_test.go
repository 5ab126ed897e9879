package delta

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
	"github.com/theseus-go/theseus/delta/internal/pack"
	"github.com/theseus-go/theseus/delta/internal/testprogram"
)

// Whatever is packed on either side, the new file is made with the bytes it has; and what
// package pack can make is compared unpacked.
func TestDebuggingInformation(t *testing.T) {
	plain := func(dwarf, extra int) []byte { return testprogram.Debug(62, extra, dwarf, false) }
	packed := func(dwarf, extra int) []byte { return testprogram.Debug(62, extra, dwarf, true) }
	for _, row := range []struct {
		name     string
		old, new []byte
		unpacked bool
	}{
		{"packed", packed(5, 0), packed(5, 48), true},
		{"packed, DWARF 4", packed(4, 0), packed(4, 48), true},
		{"not packed", plain(5, 0), plain(5, 48), false},
		{"packed from now on", plain(5, 0), packed(5, 48), false},
		{"packed no longer", packed(5, 0), plain(5, 48), false},
		{"none before", testprogram.ELF(62, 0), packed(5, 48), false},
		{"none from now on", packed(5, 0), testprogram.ELF(62, 48), false},
		{"with something behind the streams before", behind(t, packed(5, 0)), packed(5, 48), false},
		{"by another compressor from now on", packed(5, 0), behind(t, packed(5, 48)), false},
	} {
		patch := makePatch(t, row.old, row.new, Go)
		h, err := ReadHeader(bytes.NewReader(patch))
		if err != nil {
			t.Fatal(err)
		}
		if h.Unpacked > 0 != row.unpacked {
			t.Errorf("%s: %d bytes unpacked", row.name, h.Unpacked)
		}
		var got bytes.Buffer
		if _, err := Apply(t.Context(), bytes.NewReader(row.old), bytes.NewReader(patch), &got, Limits{}); err != nil {
			t.Errorf("%s: %v", row.name, err)
		} else if !bytes.Equal(got.Bytes(), row.new) {
			t.Errorf("%s: another file", row.name)
		}
	}
}

// behind packs the file's sections by another compressor, which makes them shorter: zeros
// fill what is left. What it makes longer is no stream any more.
func behind(t *testing.T, b []byte) []byte {
	t.Helper()
	out := bytes.Clone(b)
	for _, s := range executable.Packed(executable.NewPages(bytes.NewReader(b), int64(len(b)))) {
		plain, err := unpack(bytes.NewReader(b), s)
		if err != nil {
			t.Fatal(err)
		}
		var z bytes.Buffer
		w, err := zlib.NewWriterLevel(&z, zlib.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if stream := out[s.Off:][:s.N]; z.Len() < len(stream) {
			clear(stream)
			copy(stream, z.Bytes())
		} else {
			stream[0] ^= 0x55
		}
	}
	return out
}

// packedBy returns the streams in the file.
func packedBy(b []byte, by pack.Method) (out []stream) {
	for _, s := range executable.Packed(executable.NewPages(bytes.NewReader(b), int64(len(b)))) {
		out = append(out, stream{s, by})
	}
	return out
}

func TestUnpackedFileReadsEverywhere(t *testing.T) {
	b := testprogram.Debug(62, 0, 5, true)
	r := bytes.NewReader(b)
	streams := packedBy(b, pack.Go127)
	u, err := newUnpacked(t.Context(), r, int64(len(b)), streams)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	at := int64(0)
	for i, s := range streams {
		want = append(append(want, b[at:s.Off]...), u.plain[i]...)
		at = s.Off + s.N
	}
	want = append(want, b[at:]...)
	if int64(len(want)) != u.size {
		t.Fatalf("%d bytes, want %d", u.size, len(want))
	}
	for from := range want {
		for _, n := range []int{1, 7, 100, 3000} {
			got := make([]byte, n)
			k, err := u.ReadAt(got, int64(from))
			if whole := from+n <= len(want); k != min(n, len(want)-from) || whole && err != nil || !whole && !errors.Is(err, io.EOF) {
				t.Fatalf("reading %d bytes at %d: %d, %v", n, from, k, err)
			}
			if !bytes.Equal(got[:k], want[from:from+k]) {
				t.Fatalf("other bytes at %d", from)
			}
		}
	}

	// And packed again it is the file.
	var out bytes.Buffer
	p := repacker{w: &out, streams: streams}
	for i := 0; i < len(want); i += 100 {
		if _, err := p.Write(want[i:min(i+100, len(want))]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), b) {
		t.Error("packed again it is another file")
	}
}

// P20: lists of packed sections that lie. Nothing is unpacked that the header did not
// announce, and nothing is written.
func TestHostilePackedSectionsP20(t *testing.T) {
	old, new := testprogram.Debug(62, 0, 5, true), testprogram.Debug(62, 48, 5, true)
	h, err := ReadHeader(bytes.NewReader(makePatch(t, old, new, Go)))
	if err != nil {
		t.Fatal(err)
	}
	streams := packedBy(old, pack.Go17)
	change := func(f func(list []stream) []stream) []stream {
		return f(append([]stream(nil), streams...))
	}
	one := streams[:1]
	for _, row := range []struct {
		name    string
		was, is []stream
		says    int64 // of the header; 0 for what was is
		limit   int64
		want    error
	}{
		{"more than the header says", streams, nil, h.Unpacked - 1, 0, ErrDamaged},
		{"less than the header says", streams, nil, h.Unpacked + 1, 0, ErrDamaged},
		{"above the limit", streams, nil, h.Unpacked, h.Unpacked - 1, ErrTooLarge},
		{"the new one above the limit", one, streams, 0, one[0].Plain, ErrTooLarge},
		{"more than deflate can hold", []stream{{Stream: executable.Stream{Off: one[0].Off, N: 10, Plain: 1 << 20}}}, nil, 0, 0, ErrDamaged},
		{"no stream there", []stream{{Stream: executable.Stream{Off: 100, N: 1000, Plain: 2000}}}, nil, 0, 0, ErrDamaged},
		{"another size", change(func(l []stream) []stream { l[2].Plain++; return l }), nil, 0, 0, ErrDamaged},
		{"a size too small", change(func(l []stream) []stream { l[2].Plain--; return l }), nil, 0, 0, ErrDamaged},
		{"cut short", change(func(l []stream) []stream { l[2].N--; return l }), nil, 0, 0, ErrDamaged},
		{"outside", []stream{{Stream: executable.Stream{Off: int64(len(old)), N: 10, Plain: 20}}}, nil, 0, 0, ErrDamaged},
		{"too large for any file", []stream{{Stream: executable.Stream{Off: 0, N: 10, Plain: 1 << 40}}}, nil, 0, 0, ErrDamaged},
		{"too many", make([]stream, executable.MaxStreams+1), nil, 0, 0, ErrDamaged},
		{"packs to another size", nil, []stream{{Stream: executable.Stream{Off: 5, N: 1000, Plain: 1}}}, 0, 0, ErrDamaged},
		{"packs in an unknown way", nil, []stream{{executable.Stream{Off: 5, N: 1000, Plain: 2000}, pack.Methods}}, 0, 0, ErrDamaged},
		{"packs to more", nil, []stream{{Stream: executable.Stream{Off: 5, N: 1, Plain: 1000}}}, 0, 0, ErrDamaged},
	} {
		head := h
		if head.Unpacked = row.says; head.Unpacked == 0 {
			head.Unpacked = plainSize(row.was)
		}
		// A body with these lists, and then copies, runs and corrections of nothing.
		e := coding.NewEncoder()
		var m streamCoder
		encodeStreams(e, &m, row.was, nil, false)
		encodeStreams(e, &m, row.is, row.was, true)
		patch := append(head.append(nil), append(e.Finish(), make([]byte, 200)...)...)
		w := &counter{}
		_, err := Apply(t.Context(), bytes.NewReader(old), bytes.NewReader(patch), w, Limits{MaxUnpacked: row.limit})
		if !errors.Is(err, row.want) {
			t.Errorf("%s: error is %v, want %v", row.name, err, row.want)
		}
		if row.says > 0 && row.want == ErrDamaged && !strings.Contains(err.Error(), "the header says") {
			t.Errorf("%s: unpacked before the header was compared: %v", row.name, err)
		}
		if w.n > head.New.Size {
			t.Errorf("%s: %d bytes written of %d", row.name, w.n, head.New.Size)
		}
	}
}

// P20: 256 MiB out of ten bytes. What a section promises is not believed before its size
// says that it can hold as much.
func TestPromisesAreNotAllocatedP20(t *testing.T) {
	file := append(noise(1, 10), pack.Header+strings.Repeat("x", 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 4 {
		if _, err := unpack(bytes.NewReader(file), executable.Stream{Off: 10, N: 10, Plain: 64 << 20}); err == nil {
			t.Fatal("ten bytes were unpacked to 64 MiB")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
		t.Errorf("%d bytes were allocated for ten", n)
	}
}

// P20: a section that packs to more than the patch says. What does not belong to it is
// not written.
func TestPackedSectionsKeepTheirSizeP20(t *testing.T) {
	for _, by := range []pack.Method{pack.Go17, pack.Go127} {
		w := &counter{}
		r := repacker{w: w, streams: []stream{{executable.Stream{Off: 5, N: 1000, Plain: 1 << 20}, by}}}
		if _, err := r.Write(noise(2, 2<<20)); !errors.Is(err, ErrDamaged) {
			t.Errorf("error is %v", err)
		}
		if w.n > 1005 {
			t.Errorf("%d bytes written of 1005", w.n)
		}
	}
}

// encodeStreams is codeStreams without its checks.
func encodeStreams(c *coding.Coder, m *streamCoder, list, old []stream, again bool) {
	c.Number(&m.count, uint64(len(list)))
	end := int64(0)
	for i, s := range list {
		var was stream
		if i < len(old) {
			was = old[i]
		}
		c.Number(&m.gap, uint64(s.Off-end))
		c.Signed(&m.n, s.N-was.N)
		c.Signed(&m.plain, s.Plain-was.Plain)
		if again {
			c.Number(&m.by, uint64(s.by))
		}
		end = s.Off + s.N
	}
}

// A file with packed sections needs the memory that it needs with them unpacked.
func TestDiffMemoryCountsPackedSections(t *testing.T) {
	needs := func(b []byte) int64 { return DiffMemory(int64(len(b)), bytes.NewReader(b), int64(len(b))) }
	packed, plain := testprogram.Debug(62, 0, 5, true), testprogram.Debug(62, 0, 5, false)
	got, want := needs(packed)-needs(nil), needs(plain)-needs(nil)
	if want <= 0 || got < want*9/10 || got > want*11/10 {
		t.Errorf("%d bytes for a file with packed sections, %d for one without", got, want)
	}
	if huge := DiffMemory(1<<20, bytes.NewReader(packed), int64(len(packed))); huge <= DiffMemory(1<<20, bytes.NewReader(plain), int64(len(plain))) {
		t.Errorf("%d bytes where the old file is of another size", huge)
	}
}

// P20: what is packed again is counted in 32 bits.
func TestLimitOfUnpackedBytesP20(t *testing.T) {
	if n := (Limits{MaxUnpacked: 1 << 62}).maxUnpacked(); n != 1<<30 {
		t.Errorf("%d bytes may be unpacked", n)
	}
}
