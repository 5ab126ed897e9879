package fetch

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/theseus-go/theseus/verify"
)

// maxWindow is the greatest window of a zstd frame, which is about the memory that it takes to unpack it.
const maxWindow = 8 << 20

// Unpack writes to dst, an empty or reusable private file, what src holds compressed with zstd: one frame or several of
// a window of at most 8 MiB. It stops above want.Size, so a small file that unpacks to a huge one costs no more disk
// than was signed, and fails with a Refusal unless the result is what want names: ErrSize, ErrHash, or a damaged src.
// After nil dst is positioned at 0 and not synced, after an error it is empty.
func Unpack(ctx context.Context, dst, src *os.File, want verify.ID) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("unpacking: %w", err), dst.Truncate(0))
		}
	}()
	if err := dst.Truncate(0); err != nil {
		return err
	}
	return unpack(ctx, dst, &cancelled{ctx, io.NopCloser(io.NewSectionReader(src, 0, 1<<62))}, want)
}

func unpack(ctx context.Context, dst *os.File, src io.Reader, want verify.ID) error {
	z, err := zstd.NewReader(bufio.NewReaderSize(src, chunk), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	d := &download{want: want, dst: dst, hash: sha256.New()}
	switch err := d.copy(ctx, z); {
	case err == errLonger:
		return &Refusal{fmt.Errorf("the file is %w: it unpacks to more than %d bytes", ErrSize, want.Size)}
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(*localError)):
		return err
	case err != nil:
		return &Refusal{fmt.Errorf("the file is not zstd, is damaged, or needs a window above %d MiB: %w", maxWindow>>20, err)}
	case d.n != want.Size:
		return &Refusal{fmt.Errorf("the file is %w: it unpacks to %d bytes instead of %d", ErrSize, d.n, want.Size)}
	case !d.complete():
		return &Refusal{fmt.Errorf("the file is %w: the SHA-256 of what it unpacks to is %v instead of %v", ErrHash, d.sum(), want.SHA256)}
	}
	return d.finish()
}
