package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/coding"
	"github.com/theseus-go/theseus/delta/internal/executable"
	"github.com/theseus-go/theseus/delta/internal/testprogram"
)

// makePatch returns the patch that Diff makes, after checking that Apply undoes it.
func makePatch(t *testing.T, old, new []byte, p ...Predictor) []byte {
	t.Helper()
	var patch bytes.Buffer
	stats, err := Diff(t.Context(), old, new, &patch, Options{Predictors: p})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Size != int64(patch.Len()) {
		t.Errorf("Stats.Size is %d, the patch has %d bytes", stats.Size, patch.Len())
	}
	if sum := stats.Layout + stats.Copies + stats.Runs + stats.Residue + stats.Novel; sum != stats.Size {
		t.Errorf("the parts add up to %d of %d bytes", sum, stats.Size)
	}
	var got bytes.Buffer
	h, err := Apply(t.Context(), bytes.NewReader(old), bytes.NewReader(patch.Bytes()), &got, Limits{})
	if err != nil {
		t.Fatalf("applying %v: %v", stats.Predictor, err)
	}
	if !bytes.Equal(got.Bytes(), new) {
		t.Fatal("Apply returned nil and wrote another file")
	}
	if h != stats.Header || h.New.SHA256 != sha256.Sum256(new) || h.Old.Size != int64(len(old)) {
		t.Fatalf("the header says %+v", h)
	}
	return patch.Bytes()
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestPlainPairs(t *testing.T) {
	text := []byte(strings.Repeat("the quick brown fox jumps over the lazy dog. ", 400))
	random := noise(1, 200_000)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	edited := bytes.Clone(random)
	for i := 0; i < len(edited); i += 997 {
		edited[i]++
	}
	for _, row := range []struct {
		name     string
		old, new []byte
		max      int // bytes of patch
	}{
		{"both empty", nil, nil, headerSize + 4},
		{"from nothing", nil, text, 300},
		{"to nothing", text, nil, headerSize + 4},
		{"one byte each", []byte{1}, []byte{2}, headerSize + 8},
		{"equal", random, random, headerSize + 16},
		{"insertion", random, join(random[:70_000], text[:100], random[70_000:]), headerSize + 130},
		{"deletion", random, join(random[:70_000], random[90_000:]), headerSize + 24},
		{"swapped halves", random, join(random[100_000:], random[:100_000]), headerSize + 24},
		{"repeated", random, join(random, random, random), headerSize + 32},
		{"scattered edits", random, edited, headerSize + 400},
		{"unrelated", random, noise(2, 50_000), headerSize + 50_100},
	} {
		t.Run(row.name, func(t *testing.T) {
			if p := makePatch(t, row.old, row.new); len(p) > row.max {
				t.Errorf("the patch has %d bytes, more than %d", len(p), row.max)
			}
		})
	}
}

func TestDiffIsDeterministic(t *testing.T) {
	old, new := testprogram.Host(t)
	if !bytes.Equal(makePatch(t, old, new), makePatch(t, old, new)) {
		t.Fatal("two patches for the same pair differ")
	}
}

func TestReadHeader(t *testing.T) {
	old, new := []byte("old"), []byte("new")
	patch := makePatch(t, old, new)
	r := bytes.NewReader(patch)
	h, err := ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	want := Header{Old: File{3, sha256.Sum256(old)}, New: File{3, sha256.Sum256(new)}}
	if h != want {
		t.Errorf("header %+v, want %+v", h, want)
	}
	if r.Len() != len(patch)-headerSize {
		t.Errorf("ReadHeader took %d bytes", len(patch)-r.Len())
	}
	for n := range headerSize {
		if _, err := ReadHeader(bytes.NewReader(patch[:n])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d bytes of header: %v", n, err)
		}
	}
}

// P20: a hostile patch. What a client downloads is bytes of anybody until the
// hash of the result is checked.
func TestHostilePatchP20(t *testing.T) {
	old := noise(3, 4000)
	new := append(bytes.Clone(old[:3000]), noise(4, 500)...)
	patch := makePatch(t, old, new)
	change := func(at int, b ...byte) []byte {
		p := bytes.Clone(patch)
		copy(p[at:], b)
		return p
	}
	sizes := len(magic) + 1
	for _, row := range []struct {
		name  string
		old   []byte
		patch []byte
		l     Limits
		want  error
	}{
		{"P20 wrong base", old[:3999], patch, Limits{}, ErrWrongOld},
		{"P20 changed base", append(bytes.Clone(old[:3999]), old[3999]+1), patch, Limits{}, ErrWrongOld},
		{"P20 longer base", append(bytes.Clone(old), 0), patch, Limits{}, ErrWrongOld},
		{"P20 lies about the base's size", old, change(sizes, 0xa1), Limits{}, ErrWrongOld},
		{"P20 output above the limit", old, patch, Limits{MaxSize: 3499}, ErrTooLarge},
		{"P20 header promises 4 GiB", old, change(sizes+36, 255, 255, 255, 255), Limits{}, ErrTooLarge},
		{"P20 output larger than promised", old, change(sizes+36, 0x00), Limits{}, ErrDamaged},
		{"P20 output smaller than promised", old, change(sizes+36, 0xff, 0xff), Limits{}, ErrDamaged},
		{"P20 promises another file", old, change(sizes+40, 0), Limits{}, ErrDamaged},
		{"P20 cut short", old, patch[:len(patch)-9], Limits{}, ErrDamaged},
		{"P20 body of zeros", old, append(bytes.Clone(patch[:headerSize]), make([]byte, 4000)...), Limits{}, ErrDamaged},
		{"P20 body of ones", old, append(bytes.Clone(patch[:headerSize]), bytes.Repeat([]byte{255}, 4000)...), Limits{}, ErrDamaged},
		{"P20 empty", old, nil, Limits{}, ErrDamaged},
		{"other format", old, []byte(strings.Repeat("BSDIFF40", 20)), Limits{}, ErrUnsupported},
		{"first format", old, change(len(magic)-1, 1), Limits{}, ErrUnsupported},
		{"later format", old, change(len(magic)-1, 3), Limits{}, ErrUnsupported},
		{"later predictor", old, change(len(magic), 2), Limits{}, ErrUnsupported},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := &counter{}
			if _, err := Apply(t.Context(), bytes.NewReader(row.old), bytes.NewReader(row.patch), w, row.l); !errors.Is(err, row.want) {
				t.Fatalf("error is %v, want %v", err, row.want)
			}
			if errors.Is(row.want, ErrWrongOld) || errors.Is(row.want, ErrTooLarge) || errors.Is(row.want, ErrUnsupported) {
				if w.n != 0 {
					t.Errorf("%d bytes were written first", w.n)
				}
			}
			if w.n > 1<<20 {
				t.Errorf("%d bytes were written for a file of %d", w.n, len(new))
			}
		})
	}
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// P20: copies from outside of the old file or to outside of the new one.
func TestCopiesOutsideP20(t *testing.T) {
	for _, row := range []struct {
		name             string
		o                op
		oldSize, newSize int64
	}{
		{"P20 begins behind the old file", op{1000, 0, 1}, 1000, 1000},
		{"P20 ends behind the old file", op{990, 0, 20}, 1000, 1000},
		{"P20 begins behind the new file", op{0, 1001, 1}, 1000, 1000},
		{"P20 ends behind the new file", op{0, 995, 6}, 1000, 1000},
	} {
		e := coding.NewEncoder()
		if _, err := codeOps(e, []op{row.o}, 1<<20, 1<<20); err != nil {
			t.Fatal(err)
		}
		body := e.Finish()
		if got, err := codeOps(coding.NewDecoder(bytes.NewReader(body)), nil, row.oldSize, row.newSize); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: copies %v, error %v", row.name, got, err)
		}
		// And the same copy where it fits.
		if got, err := codeOps(coding.NewDecoder(bytes.NewReader(body)), nil, 2000, 2000); err != nil || len(got) != 1 || got[0] != row.o {
			t.Errorf("%s: copies %v, error %v", row.name, got, err)
		}
	}
	e := coding.NewEncoder()
	many := make([]op, maxOps(1<<20))
	for i := range many {
		many[i] = op{0, int64(i), 1}
	}
	if _, err := codeOps(e, many, 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := codeOps(coding.NewDecoder(bytes.NewReader(e.Finish())), nil, 1, 1<<19); !errors.Is(err, ErrDamaged) {
		t.Errorf("P20 more copies than a file of that size may have: %v", err)
	}
}

// P20: a correction of what is not copied.
func TestCorrectionOutsideOfCopiesP20(t *testing.T) {
	old := noise(7, 100)
	h := Header{Old: File{100, sha256.Sum256(old)}, New: File{Size: 30}}
	e := coding.NewEncoder()
	if _, err := codeRecipe(e, h, nil, &recipe{ops: []op{{0, 10, 20}}}); err != nil {
		t.Fatal(err)
	}
	var m residueCoder
	m.place(e, 5) // within the novel bytes before the copy
	z := &novelCoder{}
	for range 10 {
		if _, _, err := z.token(e, 0, token{}, 'x'); err != nil {
			t.Fatal(err)
		}
		z.put('x')
	}
	patch := append(h.append(nil), e.Finish()...)

	if _, err := Apply(t.Context(), bytes.NewReader(old), bytes.NewReader(patch), io.Discard, Limits{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("error is %v", err)
	}
}

// P20, every byte: no change of a patch may make Apply return nil for another
// file, write more than promised, or panic.
func TestEveryByteOfAPatchP20(t *testing.T) {
	old, new := testprogram.Host(t)
	old, new = miniature(t, old), miniature(t, new)
	patch := makePatch(t, old, new, Go)
	if h, _ := ReadHeader(bytes.NewReader(patch)); h.Predictor != Go {
		t.Fatal("the miniature is not seen as an executable")
	}
	step := max(len(patch)/150, 1)
	for at := 0; at < len(patch); at++ {
		if at%step != 0 && (at > headerSize || at > 20 && at%4 != 0) {
			continue
		}
		p := bytes.Clone(patch)
		p[at] ^= 0x41
		w := &counter{}
		h, err := Apply(t.Context(), bytes.NewReader(old), bytes.NewReader(p), w, Limits{MaxSize: 1 << 24})
		if err == nil && (h.New.SHA256 != sha256.Sum256(new) || w.n != int64(len(new))) {
			t.Fatalf("byte %d: another file was accepted", at)
		}
		if err == nil && at < len(patch)-4 {
			t.Errorf("byte %d does not matter", at)
		}
		if w.n > h.New.Size {
			t.Fatalf("byte %d: %d bytes written of %d", at, w.n, h.New.Size)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)          { return 0, f.err }
func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Write([]byte) (int, error)         { return 0, f.err }

func TestErrorsOfTheStreamsComeThrough(t *testing.T) {
	old, new := noise(5, 3000), noise(6, 3000)
	patch := makePatch(t, old, new)
	broken := errors.New("broken")
	for _, row := range []struct {
		name  string
		old   io.ReaderAt
		patch io.Reader
		new   io.Writer
	}{
		{"old", failing{broken}, bytes.NewReader(patch), io.Discard},
		{"header", bytes.NewReader(old), failing{broken}, io.Discard},
		{"body", bytes.NewReader(old), io.MultiReader(bytes.NewReader(patch[:headerSize+900]), failing{broken}), io.Discard},
		{"new", bytes.NewReader(old), bytes.NewReader(patch), failing{broken}},
	} {
		if _, err := Apply(t.Context(), row.old, row.patch, row.new, Limits{}); !errors.Is(err, broken) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if _, err := Diff(t.Context(), old, new, failing{broken}, Options{}); !errors.Is(err, broken) {
		t.Errorf("patch: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Apply(ctx, bytes.NewReader(old), bytes.NewReader(patch), io.Discard, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply after cancel: %v", err)
	}
	if _, err := Diff(ctx, old, new, io.Discard, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Diff after cancel: %v", err)
	}
}

func TestGoAloneRefusesOtherFiles(t *testing.T) {
	if _, err := Diff(t.Context(), []byte("a"), []byte("b"), io.Discard, Options{Predictors: []Predictor{Go}}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error is %v", err)
	}
	if _, err := Diff(t.Context(), nil, nil, io.Discard, Options{Predictors: []Predictor{7}}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error is %v", err)
	}
}

// What a publisher may do something about is told in bytes.
func TestStatsTellWhatCouldBeSmaller(t *testing.T) {
	cost := func(old, new []byte) Stats {
		t.Helper()
		s, err := Diff(t.Context(), old, new, io.Discard, Options{Predictors: []Predictor{Go}})
		if err != nil {
			t.Fatal(err)
		}
		if s.Debug < 0 || s.Standard < 0 || s.Debug+s.Standard > s.Residue+s.Novel {
			t.Errorf("debug %d, standard library %d; residue %d, novel %d", s.Debug, s.Standard, s.Residue, s.Novel)
		}
		return s
	}
	with, without := testprogram.Debug(62, 0, 5, true), testprogram.ELF(62, 0)
	if s := cost(with, testprogram.Debug(62, 48, 5, true)); s.Debug == 0 {
		t.Error("debugging information costs nothing")
	}
	if s := cost(without, testprogram.ELF(62, 48)); s.Debug != 0 {
		t.Errorf("debugging information that is not there costs %d bytes", s.Debug)
	}
	old, new := testprogram.Host(t)
	other := bytes.Clone(new) // as by another release: a function of the runtime differs
	im, err := executable.Parse(bytes.NewReader(new), int64(len(new)), nil)
	if err != nil {
		t.Fatal(err)
	}
	region, changed := im.Regions(), 0
	for off := range other {
		if changed < 500 && region(int64(off)) == executable.RegionStandard {
			other[off] ^= byte(off*7) | 1
			changed++
		}
	}
	if a, b := cost(old, new).Standard, cost(old, other).Standard; changed < 500 || b < a+200 {
		t.Errorf("the standard library costs %d bytes, and %d after %d changes in it", a, b, changed)
	}
}
