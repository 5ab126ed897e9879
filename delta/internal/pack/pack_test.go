package pack

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

func packed(t testing.TB, b []byte, by Method) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, by)
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 50000)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// samples are bytes of many kinds and lengths: of few and of many values, repetitive and not.
func samples(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	out := [][]byte{nil}
	for i := range n {
		b := make([]byte, r.IntN(1+[]int{20, 200, 2000, 70000, 300000}[i%5]))
		values := 1 + r.IntN(256)
		for j := 0; j < len(b); j++ {
			switch r.IntN(6) {
			case 0:
				b[j] = byte(r.IntN(values))
			case 1:
				b[j] = byte(r.ExpFloat64() * 3)
			default:
				if k := r.IntN(1 + min(j, 40000)); k > 0 && i%3 != 0 {
					for ; j < len(b) && r.IntN(12) != 0; j++ {
						b[j] = b[j-k]
					}
				}
			}
		}
		out = append(out, b)
	}
	return out
}

// What it makes is part of the format: it is the same for ever, whatever Go release builds this.
func TestMakesTheSameForEver(t *testing.T) {
	for by, want := range [Methods]string{
		Go17:  "b5898eb5803ed1bff99d432a1fa876e6f5363766130eb09d515d37652de9dd53",
		Go127: "216e4e9978c04e33db13f90be106dd99a1364479127b087eb8ff8fb1bd51cb34",
	} {
		sum := sha256.New()
		for i, b := range samples(200) {
			p := packed(t, b, Method(by))
			sum.Write(p)
			z, err := zlib.NewReader(bytes.NewReader(p))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("method %d: sample %d is not what was packed: %v", by, i, err)
			}
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != want {
			t.Errorf("method %d: packed samples have the SHA-256 %s, want %s", by, got, want)
		}
	}
}

// The library's own compressor, as far as it is one of these.
func TestSameAsTheLibrary(t *testing.T) {
	by := Go17
	switch v := runtime.Version(); {
	case strings.HasPrefix(v, "go1.26"):
	case strings.HasPrefix(v, "go1.27"):
		if by = Go127; runtime.GOARCH != "amd64" {
			testenv.Skip(t, "amd64, where the library rounds as this does", "run it on amd64")
		}
	default:
		testenv.Skip(t, "a compress/zlib that package pack knows: "+v+" has another one", "run it with GOTOOLCHAIN=go1.26.8")
	}
	for i, b := range samples(testenv.Pick(600, 6000, 60000)) {
		var want bytes.Buffer
		w, err := zlib.NewWriterLevel(&want, zlib.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(packed(t, b, by), want.Bytes()) {
			t.Fatalf("sample %d, %d bytes, differs", i, len(b))
		}
	}
}

func FuzzPack(f *testing.F) {
	for i, b := range samples(10) {
		f.Add(b, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, b []byte, later bool) {
		by := Go17
		if later {
			by = Go127
		}
		z, err := zlib.NewReader(bytes.NewReader(packed(t, b, by)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("not what was packed: %v", err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	data := bytes.Join(samples(40), nil)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		w := NewWriter(io.Discard, Go17)
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
