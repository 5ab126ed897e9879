package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/content"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// download brings the installed form of the offered file into the state folder: private, whole, sealed, and with the
// signed hash. What was loaded of a file that is still on offer is kept for the next attempt.
func (j *job) download(ctx context.Context) (sealed *os.File, err error) {
	ways, err := j.ways(ctx)
	if err != nil {
		return nil, err
	}
	whole := ways[len(ways)-1].bytes()
	for {
		if ways, err = j.fit(ways); err != nil {
			return nil, err
		}
		w := ways[0]
		saved := int64(0)
		if w.patches() {
			saved = whole - w.bytes()
		}
		sealed, err := j.follow(ctx, w)
		if err == nil {
			j.set(func(s *Status) { s.Saved = saved })
		}
		if err == nil && w.patches() {
			j.events.clear(EventDeltaFailed)
			j.events.emit(Event{Kind: EventDeltaApplied, Version: j.offer.Entry.Version.String(),
				Text: fmt.Sprintf("%d bytes of deltas instead of %d", w.bytes(), whole)})
		}
		if err == nil || !w.patches() || ctx.Err() != nil || errors.Is(err, swap.ErrNoSpace) {
			return sealed, err
		}
		// Whatever is wrong with a delta, the whole file does not need it.
		j.count(func(c *state.Counts) { c.Fallbacks++ })
		j.events.raise(EventDeltaFailed, "a delta cannot be used; downloading the whole file", err)
		ways = slices.DeleteFunc(slices.Clone(ways), func(w way) bool { return w.patches() })
	}
}

// follow goes every leg of a way for which there is room.
func (j *job) follow(ctx context.Context, w way) (here *os.File, err error) {
	if err := j.giveUp(w.gone); err != nil {
		return nil, err
	}
	r := w.route
	var stored []content.Digest
	for _, l := range r {
		if !w.direct {
			stored = append(stored, content.Digest(l.Stored.SHA256))
		}
	}
	if err := j.held.Spare(stored...); err != nil {
		return nil, err
	}
	j.turn.at(StepDownloading)
	j.set(func(s *Status) { s.Size, s.Downloaded = r.bytes(), 0 })
	if w.direct {
		return j.unpackLeg(ctx, r[0])
	}
	before := int64(0)
	for _, l := range r {
		next, err := j.fetchLeg(ctx, here, l, before)
		if here != nil {
			j.held.Discard(here)
		}
		if err != nil {
			return nil, err
		}
		here, before = next, before+l.Stored.Size
	}
	return here, nil
}

// fetchLeg downloads what a leg stores and builds the leg's file. here is the file that a delta starts from, nil for
// the installed one.
func (j *job) fetchLeg(ctx context.Context, here *os.File, l leg, before int64) (sealed *os.File, err error) {
	f, err := j.held.Resume(content.Digest(l.Stored.SHA256))
	if err != nil {
		return nil, err
	}
	res, err := j.source.ReleaseFile(ctx, l.version, l.Path(), l.Stored, f, func(done, _ int64) {
		j.set(func(s *Status) { s.Downloaded = before + done })
	})
	j.set(func(s *Status) { s.Sources = append(s.Sources, sources(res.Failed)...) })
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	kind := "whole"
	if l.Encoding == release.Delta {
		kind = "delta"
	}
	j.count(func(c *state.Counts) { c.Add(state.Counts{Bytes: map[string]int64{kind: l.Stored.Size}}) })
	if l.Encoding == "" {
		return j.held.Seal(f)
	}
	defer f.Close() // kept for another attempt; the sweep after a swap removes it
	out, err := j.held.Create(content.Digest(l.to.SHA256))
	if err != nil {
		return nil, err
	}
	if l.Encoding == release.Delta {
		err = j.patch(ctx, out, f, here, l.to)
	} else {
		err = fetch.Unpack(ctx, out, f, l.to)
	}
	if err != nil {
		j.held.Discard(out)
		return nil, err
	}
	if sealed, err = j.held.Seal(out); err != nil {
		j.held.Discard(out) // what it was made of is still here
	}
	return sealed, err
}

// unpackLeg downloads and unpacks at once.
func (j *job) unpackLeg(ctx context.Context, l leg) (sealed *os.File, err error) {
	out, err := j.held.Create(content.Digest(l.to.SHA256))
	if err != nil {
		return nil, err
	}
	res, err := j.source.Unpacked(ctx, l.version, l.Path(), l.Stored, l.to, out, func(done, _ int64) {
		j.set(func(s *Status) { s.Downloaded = done })
	})
	j.set(func(s *Status) { s.Sources = append(s.Sources, sources(res.Failed)...) })
	if err == nil {
		sealed, err = j.held.Seal(out)
	}
	if err != nil {
		j.held.Discard(out)
	}
	return sealed, err
}

// patch builds a file from another one and a delta. What the delta says of itself is compared with what is signed
// before anything is written.
func (j *job) patch(ctx context.Context, out, patch, old *os.File, want verify.ID) error {
	if old == nil {
		installed, err := os.Open(j.disk.Path)
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
	if _, err := patch.Seek(0, io.SeekStart); err != nil {
		return err
	}
	info, err := old.Stat()
	if err != nil {
		return err
	}
	_, err = delta.Apply(ctx, old, patch, out, delta.Limits{MaxSize: max(want.Size, info.Size())})
	return err
}
