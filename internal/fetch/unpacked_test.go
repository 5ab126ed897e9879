package fetch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/verify"
)

// short ends after n bytes of an answer, once.
func short(text []byte, n int) http.HandlerFunc {
	cut := false
	return func(w http.ResponseWriter, r *http.Request) {
		if !cut {
			cut = true
			w.Write(text[:n])
			panic(http.ErrAbortHandler)
		}
		ranges(text)(w, r)
	}
}

// What is unpacked as it comes is the signed file or nothing, whatever the sources do.
func TestUnpacked(t *testing.T) {
	good := append(randomBytes(200_000), make([]byte, 100_000)...)
	packed := pack(t, good)
	flipped := bytes.Clone(packed)
	flipped[100_000] ^= 1
	other := pack(t, append(bytes.Clone(good), 'x'))
	bomb := pack(t, make([]byte, 64<<20), zstd.WithWindowSize(maxWindow))
	any := errors.New("any")
	for _, test := range []struct {
		name    string
		stored  verify.ID
		sources []http.HandlerFunc
		err     error
	}{
		{"plain", verify.IDOf(packed), []http.HandlerFunc{ranges(packed)}, nil},
		{"broken off and resumed", verify.IDOf(packed), []http.HandlerFunc{short(packed, 150_000)}, nil},
		{"broken off and resumed at another source", verify.IDOf(packed), []http.HandlerFunc{chunked(packed[:150_000]), ranges(packed)}, nil},
		{"A17 malicious mirror", verify.IDOf(packed), []http.HandlerFunc{ranges(flipped), ranges(packed)}, nil},
		{"A17 malicious mirror: poisons the first half", verify.IDOf(packed), []http.HandlerFunc{chunked(flipped[:150_000]), ranges(packed)}, nil},
		{"A02 artifact swapped", verify.IDOf(packed), []http.HandlerFunc{ranges(flipped)}, ErrHash},
		{"A09 endless data", verify.IDOf(packed), []http.HandlerFunc{endless}, ErrSize},
		{"P18 decompression bomb", verify.IDOf(bomb), []http.HandlerFunc{ranges(bomb)}, ErrSize},
		{"the publisher's file is another one", verify.IDOf(other), []http.HandlerFunc{ranges(other)}, ErrSize},
		{"the publisher's file is no zstd", verify.IDOf(good), []http.HandlerFunc{ranges(good)}, any},
		{"nobody has it", verify.IDOf(packed), []http.HandlerFunc{status(404)}, ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &Client{}
			for _, h := range test.sources {
				c.Sources = append(c.Sources, serve(t, h))
			}
			dst := target(t, []byte("left from before"))
			last := int64(0)
			_, err := c.Unpacked(t.Context(), "1.0.0", "files/a", test.stored, verify.IDOf(good), dst, func(done, _ int64) { last = done })
			if test.err == any && err == nil || test.err != any && !errors.Is(err, test.err) {
				t.Fatalf("error is %v, want %v", err, test.err)
			}
			got := content(t, dst)
			if err != nil && len(got) != 0 {
				t.Errorf("%d bytes are left", len(got))
			}
			if err == nil && (!bytes.Equal(got, good) || last != test.stored.Size) {
				t.Errorf("%d bytes, the last progress was %d of %d", len(got), last, test.stored.Size)
			}
		})
	}
}

// A fault of this machine's disk is said as what it is.
func TestUnpackedOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		testenv.Skip(t, "/dev/full", "run the tests on Linux")
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	good := randomBytes(200_000)
	packed := pack(t, good)
	u := &unpacking{ctx: t.Context(), dst: full, want: verify.IDOf(good)}
	_, err = u.WriteAt(packed, 0)
	if serr := u.stop(nil); err == nil {
		err = serr
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &Client{Sources: []string{serve(t, ranges(packed))}}
	if _, err := c.Unpacked(ctx, "", "files/a", verify.IDOf(packed), verify.IDOf(good), target(t, nil), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}
