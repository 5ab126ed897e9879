package publisher

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/Masterminds/semver/v3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/klauspost/compress/zstd"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

const (
	// deltaWorth is the share of the full download, in percent, above which a delta is not worth a client's work.
	deltaWorth = 60
	// deltaLimit is the largest file of which deltas are made.
	deltaLimit = 512 << 20
)

// A pair is one delta to make: an earlier release's file and the one that is published.
type pair struct {
	old      release.Artifact
	oldName  string // version, for people
	artifact *release.Artifact
	file     Artifact
}

// memory estimates how many bytes it takes to make the delta.
func (pr *pair) memory() (int64, error) {
	f, err := os.Open(pr.file.Path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return delta.DiffMemory(pr.old.File.Size, f, pr.artifact.File.Size), nil
}

// addDeltas makes the deltas from the last releases to the artifacts of m and adds those that are worth it.
func (p *Publisher) addDeltas(ctx context.Context, m *release.Manifest, r *Release) error {
	pairs, err := p.pairs(ctx, m, r.Artifacts, r.Deltas)
	if err != nil || len(pairs) == 0 {
		return err
	}
	progress := ui.NewProgress("making deltas", len(pairs), r.Quiet)
	defer progress.Stop()
	memory := cmp.Or(r.DeltaMemory, 2e9)
	var mu sync.Mutex
	room := semaphore.NewWeighted(memory)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, pr := range pairs {
		g.Go(func() error {
			needed, err := pr.memory()
			if err != nil {
				return err
			}
			weight := min(memory, needed)
			if err := room.Acquire(ctx, weight); err != nil {
				return err
			}
			defer room.Release(weight)
			defer progress.Done(pr.oldName + " to " + m.Version.String() + ", " + pr.artifact.Platform.String())
			d, err := p.makeDelta(ctx, pr)
			if err != nil {
				return fmt.Errorf("making the delta from %s for %s: %w", pr.oldName, pr.artifact.Platform, err)
			}
			if d != nil {
				mu.Lock()
				defer mu.Unlock()
				pr.artifact.Downloads = append(pr.artifact.Downloads, *d)
			}
			return nil
		})
	}
	return g.Wait()
}

// pairs lists what deltas to make: from each of the n highest releases below m, for every platform that both have. A
// release that another key signed, or whose bytes are the same, is no place to start from.
func (p *Publisher) pairs(ctx context.Context, m *release.Manifest, files []Artifact, n int) ([]pair, error) {
	versions, err := p.versions(ctx)
	if err != nil {
		return nil, err
	}
	versions = slices.DeleteFunc(versions, m.Version.LessThanEqual)
	slices.SortFunc(versions, func(a, b *semver.Version) int { return b.Compare(a) })
	var pairs []pair
	for _, v := range versions[:min(n, len(versions))] {
		file, _, err := p.read(ctx, release.ManifestPath(v), verify.TypeManifest)
		if err != nil {
			return nil, err
		}
		old, err := openManifest(file, p.trust.Release, p.app, v)
		if err != nil {
			p.say(fmt.Sprintf("warning: no deltas from %s: %v", v, err))
			continue
		}
		for i := range m.Artifacts {
			a := &m.Artifacts[i]
			was := slices.IndexFunc(old.Artifacts, func(o release.Artifact) bool { return o.Platform == a.Platform })
			if was < 0 || old.Artifacts[was].File == a.File || max(a.File.Size, old.Artifacts[was].File.Size) > deltaLimit {
				continue
			}
			from := slices.IndexFunc(files, func(f Artifact) bool { return f.Platform == a.Platform })
			pairs = append(pairs, pair{old.Artifacts[was], v.String(), a, files[from]})
		}
	}
	return pairs, nil
}

// makeDelta stores one delta; nil if the old file is not in the repository any longer, or the delta is not worth it.
func (p *Publisher) makeDelta(ctx context.Context, one pair) (*release.Download, error) {
	old, err := p.unpacked(ctx, one.old)
	if old == nil || err != nil {
		return nil, err
	}
	new, err := os.ReadFile(one.file.Path)
	if err != nil {
		return nil, err
	}
	if verify.IDOf(new) != one.artifact.File {
		return nil, ui.Fail(ui.ExitError, "%s changed while it was read: wait until the build is done, then run this again", one.file.Path)
	}
	var patch bytes.Buffer
	if _, err := delta.Diff(ctx, old, new, &patch, delta.Options{}); err != nil {
		return nil, err
	}
	full := one.artifact.Downloads[0].Stored.Size
	if int64(patch.Len())*100 > full*deltaWorth {
		return nil, nil
	}
	// What clients would throw away is not published.
	if err := applies(ctx, old, patch.Bytes(), one.artifact.File); err != nil {
		return nil, err
	}
	from := one.old.File.SHA256
	d := &release.Download{Encoding: release.Delta, From: &from, Stored: verify.IDOf(patch.Bytes())}
	if there, err := p.holds(ctx, *d); there || err != nil {
		return d, err
	}
	return d, p.keep(ctx, bytes.NewReader(patch.Bytes()), *d)
}

// applies checks that a patch makes exactly the wanted file.
func applies(ctx context.Context, old, patch []byte, want verify.ID) error {
	h, err := delta.Apply(ctx, bytes.NewReader(old), bytes.NewReader(patch), io.Discard, delta.Limits{MaxSize: deltaLimit})
	if err == nil && (h.New.Size != want.Size || verify.Digest(h.New.SHA256) != want.SHA256) {
		err = errors.New("it makes another file")
	}
	return err
}

// unpacked reads the installed form of an artifact from the repository; nil if no whole download of it is there.
func (r repository) unpacked(ctx context.Context, a release.Artifact) ([]byte, error) {
	for _, d := range a.Downloads {
		if d.Encoding == release.Delta {
			continue
		}
		if there, err := r.holds(ctx, d); err != nil || !there {
			if err != nil {
				return nil, err
			}
			continue
		}
		f, _, err := r.Get(ctx, d.Path())
		if err != nil {
			return nil, err
		}
		defer f.Close()
		var from io.Reader = ctxReader{ctx, f}
		if d.Encoding == release.Zstd {
			z, err := zstd.NewReader(from, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			defer z.Close()
			from = z
		}
		b := bytes.NewBuffer(make([]byte, 0, a.File.Size+bytes.MinRead))
		if _, err := b.ReadFrom(io.LimitReader(from, a.File.Size+1)); err != nil {
			return nil, err
		}
		if verify.IDOf(b.Bytes()) != a.File {
			return nil, ui.Fail(ui.ExitRefused, "%s does not unpack to the file of its manifest: restore it from your backup", r.path(d.Path()))
		}
		return b.Bytes(), nil
	}
	return nil, nil
}

// leadsTo checks that a download that is in the repository makes exactly the wanted file.
func (p *Publisher) leadsTo(ctx context.Context, d release.Download, want verify.ID) error {
	there, err := p.holds(ctx, d)
	if err != nil {
		return err
	}
	if !there {
		return errors.New("it is not there")
	}
	if d.Encoding != release.Delta {
		_, err := p.unpacked(ctx, release.Artifact{File: want, Downloads: []release.Download{d}})
		return err
	}
	start, err := p.made(ctx, *d.From)
	if err != nil {
		return err
	}
	if start == nil {
		return errors.New("the file that it starts from is of no release here")
	}
	body, _, err := p.Get(ctx, d.Path())
	if err != nil {
		return err
	}
	defer body.Close()
	patch, err := io.ReadAll(io.LimitReader(ctxReader{ctx, body}, d.Stored.Size+1))
	if err != nil {
		return err
	}
	return applies(ctx, start, patch, want)
}

// made returns the file with this SHA-256 if some release here that enough release keys have signed has it; nil if none.
func (p *Publisher) made(ctx context.Context, sum verify.Digest) ([]byte, error) {
	versions, err := p.versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		file, _, err := p.read(ctx, release.ManifestPath(v), verify.TypeManifest)
		if err != nil {
			return nil, err
		}
		m, err := openManifest(file, p.trust.Release, p.app, v)
		if err != nil {
			continue
		}
		for _, a := range m.Artifacts {
			if a.File.SHA256 == sum {
				if b, err := p.unpacked(ctx, a); b != nil || err != nil {
					return b, err
				}
			}
		}
	}
	return nil, nil
}
