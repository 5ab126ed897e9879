package fetch

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/theseus-go/theseus/verify"
)

func pack(t *testing.T, text []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, append(options, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	good := append(randomBytes(100_000), make([]byte, 100_000)...)
	packed := pack(t, good)
	damaged := bytes.Clone(packed)
	damaged[1000] ^= 1
	other := bytes.Clone(good)
	other[0] ^= 1
	big := make([]byte, 64<<20)
	bomb := pack(t, big, zstd.WithWindowSize(maxWindow))
	any := errors.New("any")
	for _, test := range []struct {
		name   string
		packed []byte
		want   verify.ID
		err    error
	}{
		{"plain", packed, verify.IDOf(good), nil},
		{"several frames", append(pack(t, good[:777]), pack(t, good[777:])...), verify.IDOf(good), nil},
		{"nothing", nil, verify.IDOf(nil), nil},
		{"the largest window", bomb, verify.IDOf(big), nil},
		{"P18 decompression bomb", bomb, verify.IDOf(good), ErrSize},
		{"P18 decompression bomb: one byte more", pack(t, append(bytes.Clone(good), 0)), verify.IDOf(good), ErrSize},
		{"P18 a window above 8 MiB", pack(t, big, zstd.WithWindowSize(2*maxWindow)), verify.IDOf(big), any},
		{"shorter", pack(t, good[1:]), verify.IDOf(good), ErrSize},
		{"other bytes", pack(t, other), verify.IDOf(good), ErrHash},
		{"damaged", damaged, verify.IDOf(good), any},
		{"cut off", packed[:len(packed)-1], verify.IDOf(good), any},
		{"no zstd", good, verify.IDOf(good), any},
		{"something behind", append(bytes.Clone(packed), "x"...), verify.IDOf(good), any},
	} {
		t.Run(test.name, func(t *testing.T) {
			dst, src := target(t, []byte("left from before")), target(t, test.packed)
			var err error
			if n := allocated(func() { err = Unpack(t.Context(), dst, src, test.want) }); n > 32<<20 {
				t.Errorf("allocated %d bytes", n)
			}
			if test.err == any && err == nil || test.err != any && !errors.Is(err, test.err) {
				t.Fatalf("error is %v, want %v", err, test.err)
			}
			if err != nil {
				t.Log(err)
				if n := len(content(t, dst)); n != 0 {
					t.Errorf("%d bytes are left", n)
				}
			} else if verify.IDOf(content(t, dst)) != test.want {
				t.Error("other bytes")
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Unpack(ctx, target(t, nil), target(t, packed), verify.IDOf(good)); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}
