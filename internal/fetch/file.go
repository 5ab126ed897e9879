package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/theseus-go/theseus/verify"
)

const (
	chunk = 64 << 10 // bytes read, hashed and written at a time

	// A source that breaks off is asked for the rest as long as each time brings this much; so there is an end to it.
	minResume = 1 << 20
	// maxBroken is how often a source may break off with less than that.
	maxBroken = 5
)

// File brings dst to exactly the bytes that want names, from the sources in their order.
//
// What dst holds is kept if it can be the beginning: it is hashed first and the rest is asked for by a Range. As the
// whole hash is checked in the end, nothing has to be remembered about where the beginning came from, and it may come
// from another source or an earlier process. If resumed bytes do not add up, their source is asked once more, for the
// whole file; then it is the next one's turn. A source that breaks off is resumed while it makes progress.
//
// dst is a private file, opened for reading and writing, without O_APPEND. Never more than want.Size bytes are written
// to it. After nil it holds the bytes, is positioned at 0 and is not synced; after an error it holds what a later call
// may resume from, or nothing. Errors of dst itself end the call at once.
//
// progress may be nil. It gets the bytes so far and want.Size, at most ten times a second and once more at the end.
func (c *Client) File(ctx context.Context, path string, want verify.ID, dst *os.File, progress func(done, total int64)) (Result, error) {
	return c.ReleaseFile(ctx, "", path, want, dst, progress)
}

// ReleaseFile is File for a file that the release of this version names: it may lie with its release (see Files).
func (c *Client) ReleaseFile(ctx context.Context, version, path string, want verify.ID, dst *os.File, progress func(done, total int64)) (Result, error) {
	if err := c.Check(); err != nil {
		return Result{}, err
	}
	d := &download{want: want, dst: dst, hash: sha256.New(), progress: progress}
	if err := d.adopt(ctx, dst); err != nil {
		return Result{}, fmt.Errorf("resuming %s: %w", path, err)
	}
	if d.n == want.Size {
		if d.complete() {
			return Result{}, d.finish()
		}
		if err := d.restart(); err != nil {
			return Result{}, fmt.Errorf("fetching %s: %w", path, err)
		}
	}
	res, err := c.bring(ctx, version, path, d)
	if err == nil {
		err = d.finish()
	}
	return res, err
}

// bring downloads from the sources in their order.
func (c *Client) bring(ctx context.Context, version, path string, d *download) (Result, error) {
	var first source
	if c.files != nil && version != "" {
		first = c.files.of(version)
	}
	return c.each(ctx, path, first, func(s source, _ *Result) error { return d.from(ctx, s, path) })
}

// sink is where a download is written to: a file, or whoever unpacks it.
type sink interface {
	WriteAt(b []byte, off int64) (int, error) // each time where it ended the last time
	Truncate(size int64) error                // to 0: it begins again
	Seek(offset int64, whence int) (int64, error)
}

// download is a file on its way: dst[:n] is written and is what hash has seen.
type download struct {
	want     verify.ID
	dst      sink
	hash     hash.Hash
	n        int64
	progress func(done, total int64)
	shown    time.Time
}

// adopt hashes what dst holds from before.
func (d *download) adopt(ctx context.Context, dst *os.File) error {
	info, err := dst.Stat()
	if err != nil {
		return err
	}
	if info.Size() > d.want.Size {
		return d.restart()
	}
	d.n, err = io.CopyBuffer(d.hash, &cancelled{ctx, io.NopCloser(io.NewSectionReader(dst, 0, info.Size()))}, make([]byte, chunk))
	return err
}

// restart forgets everything.
func (d *download) restart() error {
	if err := d.dst.Truncate(0); err != nil {
		return &localError{err}
	}
	d.n = 0
	d.hash.Reset()
	return nil
}

func (d *download) sum() verify.Digest { return verify.Digest(d.hash.Sum(nil)) }

func (d *download) complete() bool { return d.n == d.want.Size && d.sum() == d.want.SHA256 }

func (d *download) finish() error {
	if d.progress != nil {
		d.progress(d.n, d.want.Size)
	}
	_, err := d.dst.Seek(0, io.SeekStart)
	return err
}

// from downloads the rest from one source.
func (d *download) from(ctx context.Context, s source, path string) error {
	etag := ""         // of the bytes that this source sent in this call
	whole := false     // ask for all of the file, not for the rest
	restarted := false // this was done before
	broken, most := 0, d.n
	for {
		begin := d.n
		err := d.once(ctx, s, path, whole, &etag)
		if err == nil {
			return nil
		}
		if broken++; d.n-most >= minResume { // beyond where it ever was: it cannot loop forever
			broken, most = 0, d.n
		}
		var refusal *Refusal
		var cut *brokenError
		switch {
		case errors.As(err, &refusal):
			// Whether the source is bad, or what we had, only a whole file in one answer tells.
			if begin == 0 || restarted {
				return err
			}
			whole, restarted, most = true, true, 0
		case errors.As(err, &cut) && broken < maxBroken:
			whole = false
			if broken > 1 {
				if err := sleep(ctx, Backoff(100*time.Millisecond, 5*time.Second, broken, rand.Float64)); err != nil {
					return err
				}
			}
		default:
			return err
		}
	}
}

// once makes one request for the rest, or the whole, and writes what it brings. What dst holds is only given up for an
// answer that can be the file, or when it has turned out to be wrong. A Refusal means that the bytes are not the signed
// ones.
func (d *download) once(ctx context.Context, s source, path string, whole bool, etag *string) error {
	q := query{offset: d.n, etag: *etag}
	if whole || d.n == 0 {
		q = query{}
	}
	r, err := s.get(ctx, path, q)
	if status := (*StatusError)(nil); errors.As(err, &status) && status.Code == http.StatusRequestedRangeNotSatisfiable {
		return &Refusal{fmt.Errorf("the file is %w: it has no more than %d bytes instead of %d", ErrSize, q.offset, d.want.Size)}
	}
	if err != nil {
		return err
	}
	defer r.body.Close()
	if r.offset != 0 && r.offset != d.n {
		return r.refuse(fmt.Errorf("the answer begins at another byte than was asked for: %w", ErrSize))
	}
	if r.length >= 0 && r.offset+r.length != d.want.Size {
		return r.refuse(fmt.Errorf("the file is %w: %d bytes instead of %d", ErrSize, r.offset+r.length, d.want.Size))
	}
	if r.offset == 0 && d.n > 0 { // asked for the whole; or the server knows no ranges, or has another file by now
		if err := d.restart(); err != nil {
			return err
		}
	}
	*etag = r.etag
	switch err := d.copy(ctx, r.body); {
	case err == errLonger:
		return d.refuse(r, fmt.Errorf("the file is %w: more than %d bytes", ErrSize, d.want.Size))
	case d.complete():
		return nil // however the connection ended
	case d.n == d.want.Size:
		return d.refuse(r, fmt.Errorf("the file is %w: its SHA-256 is %v instead of %v", ErrHash, d.sum(), d.want.SHA256))
	case err != nil:
		return err
	}
	return &brokenError{fmt.Errorf("the file is %w: it ended after %d of %d bytes", ErrSize, d.n, d.want.Size)}
}

// refuse gives up bytes that were written.
func (d *download) refuse(r *reply, err error) error {
	if err := d.restart(); err != nil {
		return err
	}
	return r.refuse(err)
}

var errLonger = errors.New("longer")

// copy writes and hashes what body brings, up to the signed size.
func (d *download) copy(ctx context.Context, body io.Reader) error {
	buf := make([]byte, chunk)
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := body.Read(buf)
		if int64(n) > d.want.Size-d.n {
			return errLonger
		}
		if n > 0 {
			if _, err := d.dst.WriteAt(buf[:n], d.n); err != nil {
				return &localError{err}
			}
			d.hash.Write(buf[:n])
			d.n += int64(n)
			d.show()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *download) show() {
	if d.progress != nil && time.Since(d.shown) >= 100*time.Millisecond {
		d.shown = time.Now()
		d.progress(d.n, d.want.Size)
	}
}

// sleep waits, or returns early with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
