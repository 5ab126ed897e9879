package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A promise is a delta whose stored bytes are to be checked against what its manifest says they lead to.
type promise struct {
	release.Download
	to     verify.ID
	detail string
}

// applyDeltas applies every delta whose old file some release that was checked has, as a client would.
func (v *verifier) applyDeltas(ctx context.Context) error {
	for _, p := range v.promises {
		start, known := v.whole[*p.From]
		err := v.applyDelta(ctx, p, start, known)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !known {
			p.detail += ", from a file that is not here any longer"
		}
		v.add(p.Path(), p.detail, missing(err))
	}
	return nil
}

func (v *verifier) applyDelta(ctx context.Context, p promise, start release.Artifact, known bool) error {
	patch, err := v.stored(ctx, p.Download)
	if err != nil {
		return err
	}
	defer discard(patch)
	if !known {
		return nil
	}
	old, err := v.installed(ctx, start)
	if err != nil {
		return nil // what is wrong with the old release is said where it is checked
	}
	defer discard(old)
	h, err := delta.Apply(ctx, old, patch, io.Discard, delta.Limits{MaxSize: max(start.File.Size, p.to.Size)})
	if err == nil && (h.New.Size != p.to.Size || verify.Digest(h.New.SHA256) != p.to.SHA256) {
		err = errors.New("it makes another file than the signed one")
	}
	if err != nil {
		return fmt.Errorf("applying it: %w: %w: clients fall back to the whole file; publish this as a new version", fetch.ErrHash, err)
	}
	return nil
}

// stored downloads what a client would, into a temporary file that discard removes.
func (v *verifier) stored(ctx context.Context, d release.Download) (*os.File, error) {
	f, err := os.CreateTemp("", "theseus-verify-")
	if err != nil {
		return nil, err
	}
	if err := v.src.File(ctx, v.home[d.Path()], d.Path(), d.Stored, f); err != nil {
		discard(f)
		return nil, err
	}
	return f, nil
}

// installed downloads and unpacks a whole file.
func (v *verifier) installed(ctx context.Context, a release.Artifact) (*os.File, error) {
	for _, d := range a.Downloads {
		if d.From != nil {
			continue
		}
		f, err := v.stored(ctx, d)
		if err != nil || d.Encoding == "" {
			return f, err
		}
		defer discard(f)
		out, err := os.CreateTemp("", "theseus-verify-")
		if err != nil {
			return nil, err
		}
		if err := fetch.Unpack(ctx, out, f, a.File); err != nil {
			discard(out)
			return nil, err
		}
		return out, nil
	}
	return nil, fetch.ErrNotFound
}

func discard(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}
