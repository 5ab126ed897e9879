package delta

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
)

// FuzzApply: whatever the body of a patch says, Apply returns, holds to the
// header's size, and returns nil only for the promised file.
func FuzzApply(f *testing.F) {
	olds := [][]byte{tinyELF(62, 0), tinyELF(183, 0), noise(9, 3000), tinyELF125(62, 0), tinyELF127(62, 0)}
	news := [][]byte{tinyELF(62, 48), tinyELF(183, 32), noise(9, 2900), tinyELF125(62, 48), tinyELF127(62, 48)}
	for i, old := range olds {
		for _, p := range []Predictor{Plain, Go} {
			var b bytes.Buffer
			if _, err := Diff(f.Context(), old, news[i], &b, Options{Predictors: []Predictor{p}}); err != nil {
				if i == 2 && p == Go {
					continue
				}
				f.Fatal(err)
			}
			f.Add(byte(i), byte(p), uint32(len(news[i])), b.Bytes()[headerSize:])
		}
	}
	f.Fuzz(func(t *testing.T, which, predictor byte, size uint32, body []byte) {
		old := olds[int(which)%len(olds)]
		h := Header{Predictor: Predictor(predictor % 3), Old: File{int64(len(old)), sha256.Sum256(old)}, New: File{Size: int64(size % (1 << 18))}}
		w := &counter{}
		_, err := Apply(t.Context(), bytes.NewReader(old), io.MultiReader(bytes.NewReader(h.append(nil)), bytes.NewReader(body)), w, Limits{})
		if err == nil {
			t.Fatal("a file whose SHA-256 is zero")
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("error is %v", err)
		}
		if w.n > h.New.Size {
			t.Fatalf("%d bytes written of %d", w.n, h.New.Size)
		}
	})
}

// FuzzParse: no file upsets the executable parsers, and what they find lies
// within it.
func FuzzParse(f *testing.F) {
	for _, b := range executableSeeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		im, err := parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range im.sections {
			s := &im.sections[i]
			im.references(s.off, s.off+s.fileSize, s, func(off int64, k kind) {
				if off < s.off || off+k.width() > int64(len(b)) {
					t.Fatalf("a reference at %d+%d of %d", off, k.width(), len(b))
				}
			})
		}
		im.mask(b)
		verified(im, b, im.generated(), nil)
	})
}

// FuzzRoundTrip: Apply undoes Diff for any two files.
func FuzzRoundTrip(f *testing.F) {
	seeds := executableSeeds()
	for _, b := range seeds {
		f.Add(seeds[0], b, true)
	}
	f.Add([]byte("abcabcabc"), []byte("abcabd"), false)
	f.Fuzz(func(t *testing.T, old, new []byte, knowing bool) {
		p := []Predictor{Plain}
		if knowing {
			p = []Predictor{Go}
		}
		var patch bytes.Buffer
		if _, err := Diff(t.Context(), old, new, &patch, Options{Predictors: p}); err != nil {
			if knowing && errors.Is(err, ErrUnsupported) {
				return
			}
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := Apply(t.Context(), bytes.NewReader(old), &patch, &got, Limits{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), new) {
			t.Fatal("another file")
		}
	})
}

func executableSeeds() [][]byte {
	return [][]byte{
		tinyELF(62, 0), tinyELF(62, 40), tinyELF(183, 0), tinyELF(183, 64),
		tinyELF125(62, 0), tinyELF125(62, 40), tinyELF127(62, 0), tinyELF127(62, 40), tinyELFOther(), tinyPE(), tinyMachO(), []byte("MZ"), []byte("\x7fELF"), nil,
	}
}
