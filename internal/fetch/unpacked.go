package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/theseus-go/theseus/verify"
)

// Unpacked is ReleaseFile for a file that is stored compressed with zstd, of which there is no room for both forms: it
// brings dst, an empty or reusable private file, to the bytes that want names, and writes nothing of the stored form
// anywhere. A source that breaks off is resumed while this call lasts; a later call begins anew.
//
// Here bytes are unpacked before they are known to be the signed ones, which is why it is not the way where there is room:
// under the caps of Unpack, in memory of at most that window. dst holds the whole file, after all of stored and of want has
// been checked, or nothing.
func (c *Client) Unpacked(ctx context.Context, version, path string, stored, want verify.ID, dst *os.File, progress func(done, total int64)) (Result, error) {
	if err := c.Check(); err != nil {
		return Result{}, err
	}
	u := &unpacking{ctx: ctx, dst: dst, want: want}
	defer u.stop(errStopped)
	if err := dst.Truncate(0); err != nil {
		return Result{}, err
	}
	d := &download{want: stored, dst: u, hash: sha256.New(), progress: progress}
	res, err := c.bring(ctx, version, path, d)
	if err == nil {
		if err = u.stop(nil); err != nil {
			err = fmt.Errorf("unpacking: %w", err)
		}
	}
	if err == nil {
		err = d.finish()
	}
	if err != nil {
		u.stop(errStopped)
		err = errors.Join(err, dst.Truncate(0))
	}
	return res, err
}

var errStopped = errors.New("the download has ended")

// unpacking is a sink that unpacks what is written to it.
type unpacking struct {
	ctx  context.Context
	dst  *os.File
	want verify.ID

	in  *io.PipeWriter // nil: not begun
	out chan error     // how the unpacking at the other end has ended
}

// WriteAt hands bytes on. Those that cannot be unpacked are let pass: whether the source or the publisher is to blame the
// hash of all of them tells. An error is one of dst.
func (u *unpacking) WriteAt(b []byte, _ int64) (int, error) {
	if u.in == nil {
		from, in := io.Pipe()
		out := make(chan error, 1)
		go func() {
			err := unpack(u.ctx, u.dst, from, u.want)
			from.CloseWithError(errors.Join(err, errStopped))
			out <- err
		}()
		u.in, u.out = in, out
	}
	_, err := u.in.Write(b)
	if local := (*localError)(nil); errors.As(err, &local) {
		return 0, local.error
	}
	return len(b), nil
}

// Truncate begins again.
func (u *unpacking) Truncate(int64) error {
	u.stop(errStopped)
	return u.dst.Truncate(0)
}

// Seek has nothing to do: the unpacking leaves dst at its beginning.
func (u *unpacking) Seek(int64, int) (int64, error) { return 0, nil }

// stop ends the unpacking, nil for the end of the file, and returns how it ended.
func (u *unpacking) stop(why error) error {
	if u.in == nil {
		return why
	}
	u.in.CloseWithError(why) // nil is io.EOF
	err := <-u.out
	u.in = nil
	return err
}
