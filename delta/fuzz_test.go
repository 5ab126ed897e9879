package delta

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/testprogram"
)

// FuzzApply checks that whatever the body of a patch says, Apply returns, holds to the
// header's size, and returns nil only for the promised file.
func FuzzApply(f *testing.F) {
	olds := [][]byte{
		testprogram.ELF(62, 0), testprogram.ELF(183, 0), noise(9, 3000), testprogram.ELF125(62, 0), testprogram.ELF127(62, 0),
		testprogram.Debug(62, 0, 5, true), testprogram.Debug(62, 0, 4, false),
	}
	news := [][]byte{
		testprogram.ELF(62, 48), testprogram.ELF(183, 32), noise(9, 2900), testprogram.ELF125(62, 48), testprogram.ELF127(62, 48),
		testprogram.Debug(62, 48, 5, true), testprogram.Debug(62, 32, 4, true),
	}
	for _, m := range testprogram.Machines {
		olds, news = append(olds, testprogram.ELF(m, 0)), append(news, testprogram.ELF(m, 48))
	}
	for i, old := range olds {
		for _, p := range []Predictor{Plain, Go} {
			var b bytes.Buffer
			if _, err := Diff(f.Context(), old, news[i], &b, Options{Predictors: []Predictor{p}}); err != nil {
				if i == 2 && p == Go {
					continue
				}
				f.Fatal(err)
			}
			h, err := ReadHeader(bytes.NewReader(b.Bytes()))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(i), byte(p), uint32(len(news[i])), uint32(h.Unpacked), b.Bytes()[headerSize:])
		}
	}
	f.Fuzz(func(t *testing.T, which, predictor byte, size, unpacked uint32, body []byte) {
		old := olds[int(which)%len(olds)]
		h := Header{Predictor: Predictor(predictor % 3), Old: File{int64(len(old)), sha256.Sum256(old)}, New: File{Size: int64(size % (1 << 18))}, Unpacked: int64(unpacked)}
		w := &counter{}
		_, err := Apply(t.Context(), bytes.NewReader(old), io.MultiReader(bytes.NewReader(h.append(nil)), bytes.NewReader(body)), w, Limits{MaxUnpacked: 1 << 24})
		if err == nil {
			t.Fatal("a file whose SHA-256 is zero")
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("error is %v", err)
		}
		if w.n > h.New.Size {
			t.Fatalf("%d bytes written of %d", w.n, h.New.Size)
		}
	})
}

// FuzzRoundTrip checks that Apply undoes Diff for any two files.
func FuzzRoundTrip(f *testing.F) {
	seeds := testprogram.Seeds()
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
