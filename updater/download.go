package updater

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// download brings the installed form of the offered file into the state
// folder: private, whole, sealed, and with the signed hash. What was loaded of
// a file that is still on offer is kept for the next attempt.
func (u *Updater) download(ctx context.Context, v *view) (sealed *os.File, err error) {
	routes, err := u.routes(ctx, v)
	if err != nil {
		return nil, err
	}
	for len(routes) > 1 {
		r := routes[0]
		sealed, err := u.travel(ctx, r)
		if err == nil {
			saved := routes[len(routes)-1].bytes() - r.bytes()
			u.end(DeltaFailed)
			u.set(func(s *Status) { s.Saved = saved })
			u.emit(Event{Kind: DeltaApplied, Version: v.offer.Entry.Version.String(),
				Text: fmt.Sprintf("%d bytes of deltas instead of %d", r.bytes(), r.bytes()+saved)})
			return sealed, nil
		}
		if ctx.Err() != nil || errors.Is(err, swap.ErrNoSpace) {
			return nil, err
		}
		// Whatever is wrong with a delta, the whole file does not need it.
		u.begin(DeltaFailed, "a delta cannot be used; downloading the whole file", err)
		routes = routes[1:]
	}
	u.set(func(s *Status) { s.Saved = 0 })
	return u.travel(ctx, routes[0])
}

// travel goes a route to its end.
func (u *Updater) travel(ctx context.Context, r route) (here *os.File, err error) {
	if err := u.target.Prepare(r.space()); err != nil {
		return nil, err
	}
	st, err := u.load()
	if err != nil {
		return nil, err
	}
	keep := st.Keep()
	for _, l := range r {
		keep = append(keep, content.Digest(l.Stored.SHA256))
	}
	if err := u.target.Sweep(keep...); err != nil {
		return nil, err
	}
	u.set(func(s *Status) { s.State, s.Size, s.Downloaded = Downloading, r.bytes(), 0 })
	before := int64(0)
	for _, l := range r {
		next, err := u.walkLeg(ctx, here, l, before)
		if here != nil {
			u.discard(here)
		}
		if err != nil {
			return nil, err
		}
		here, before = next, before+l.Stored.Size
	}
	return here, nil
}

// walkLeg downloads what a leg stores and makes its file of it. here is the
// file that a delta starts from, nil for the installed one.
func (u *Updater) walkLeg(ctx context.Context, here *os.File, l leg, before int64) (sealed *os.File, err error) {
	f, err := u.target.Resume(content.Digest(l.Stored.SHA256))
	if err != nil {
		return nil, err
	}
	res, err := u.fetch.File(ctx, l.Path(), l.Stored, f, func(done, _ int64) {
		u.set(func(s *Status) { s.Downloaded = before + done })
	})
	u.set(func(s *Status) { s.Sources = append(s.Sources, res.Failed...) })
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if l.Encoding == "" {
		return u.target.Seal(f)
	}
	defer f.Close() // kept for another attempt; the sweep after a swap removes it
	out, err := u.target.Create(content.Digest(l.to.SHA256))
	if err != nil {
		return nil, err
	}
	if l.Encoding == release.Delta {
		err = u.patch(ctx, out, f, here, l.to)
	} else {
		err = fetch.Unpack(ctx, out, f, l.to)
	}
	if err != nil {
		u.discard(out)
		return nil, err
	}
	return u.target.Seal(out)
}

// patch makes a file of another one and a delta whose bytes are the signed
// ones. What the delta says of itself is held against what is signed before
// anything is written.
func (u *Updater) patch(ctx context.Context, out, patch, old *os.File, want verify.ID) error {
	if old == nil {
		installed, err := os.Open(u.target.Path)
		if err != nil {
			return err
		}
		defer installed.Close()
		old = installed
	}
	h, err := delta.ReadHeader(patch)
	if err != nil {
		return err
	}
	if h.New.Size != want.Size || h.New.SHA256 != want.SHA256 {
		return fmt.Errorf("the delta leads to another file than the manifest says: %w", fetch.ErrHash)
	}
	if _, err := patch.Seek(0, 0); err != nil {
		return err
	}
	info, err := old.Stat()
	if err != nil {
		return err
	}
	_, err = delta.Apply(ctx, old, patch, out, delta.Limits{MaxSize: max(want.Size, info.Size())})
	return err
}
