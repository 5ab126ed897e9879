package main

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

	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/durable"
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
	file     localFile
}

// addDeltas makes the deltas from the last releases to the artifacts of m and adds those that are worth it.
func (e *editor) addDeltas(ctx context.Context, m *release.Manifest, files []localFile, o *publishOptions) error {
	pairs, err := e.pairs(m, files, o.deltas)
	if err != nil || len(pairs) == 0 {
		return err
	}
	p := newProgress("making deltas", len(pairs), o.quiet)
	defer p.stop()
	memory := int64(cmp.Or(o.deltaMemory, 2e9))
	var mu sync.Mutex
	room := semaphore.NewWeighted(memory)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, pr := range pairs {
		g.Go(func() error {
			weight := min(memory, delta.DiffMemory(pr.old.File.Size, pr.artifact.File.Size))
			if err := room.Acquire(ctx, weight); err != nil {
				return err
			}
			defer room.Release(weight)
			defer p.done(pr.oldName + " to " + m.Version.String() + ", " + pr.artifact.Platform.String())
			d, err := e.makeDelta(ctx, pr)
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
func (e *editor) pairs(m *release.Manifest, files []localFile, n int) ([]pair, error) {
	versions, err := e.versions()
	if err != nil {
		return nil, err
	}
	versions = slices.DeleteFunc(versions, m.Version.LessThanEqual)
	slices.SortFunc(versions, func(a, b *semver.Version) int { return b.Compare(a) })
	var pairs []pair
	for _, v := range versions[:min(n, len(versions))] {
		file, err := e.read(release.ManifestPath(v), verify.TypeManifest.MaxSize())
		if err != nil {
			return nil, err
		}
		old, err := openManifest(file, e.trust.Release, e.app, v)
		if err != nil {
			warn("no deltas from %s: %v", v, err)
			continue
		}
		for i := range m.Artifacts {
			a := &m.Artifacts[i]
			was := slices.IndexFunc(old.Artifacts, func(o release.Artifact) bool { return o.Platform == a.Platform })
			if was < 0 || old.Artifacts[was].File == a.File || max(a.File.Size, old.Artifacts[was].File.Size) > deltaLimit {
				continue
			}
			from := slices.IndexFunc(files, func(f localFile) bool { return f.platform == a.Platform })
			pairs = append(pairs, pair{old.Artifacts[was], v.String(), a, files[from]})
		}
	}
	return pairs, nil
}

// makeDelta stores one delta; nil if the old file is not in the repository any longer, or the delta is not worth it.
func (e *editor) makeDelta(ctx context.Context, p pair) (*release.Download, error) {
	old, err := e.unpacked(ctx, p.old)
	if old == nil || err != nil {
		return nil, err
	}
	new, err := os.ReadFile(p.file.path)
	if err != nil {
		return nil, err
	}
	if verify.IDOf(new) != p.artifact.File {
		return nil, fail(exitError, "%s changed while it was read: wait until the build is done, then run this again", p.file.path)
	}
	var patch bytes.Buffer
	if _, err := delta.Diff(ctx, old, new, &patch, delta.Options{}); err != nil {
		return nil, err
	}
	full := p.artifact.Downloads[0].Stored.Size
	if int64(patch.Len())*100 > full*deltaWorth {
		return nil, nil
	}
	// What clients would throw away is not published.
	if err := applies(ctx, old, patch.Bytes(), p.artifact.File); err != nil {
		return nil, err
	}
	from := p.old.File.SHA256
	d := &release.Download{Encoding: release.Delta, From: &from, Stored: verify.IDOf(patch.Bytes())}
	if there, err := e.holds(*d); there || err != nil {
		return d, err
	}
	out, err := durable.Create(e.path("files"), "new")
	if err != nil {
		return nil, err
	}
	defer os.Remove(out.Name()) // has another name by then if all went well
	defer out.Close()
	if _, err := out.Write(patch.Bytes()); err != nil {
		return nil, err
	}
	return d, e.keep(out, *d)
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
func (r *repo) unpacked(ctx context.Context, a release.Artifact) ([]byte, error) {
	for _, d := range a.Downloads {
		if d.Encoding == release.Delta {
			continue
		}
		if there, err := r.holds(d); err != nil || !there {
			if err != nil {
				return nil, err
			}
			continue
		}
		f, err := os.Open(r.path(d.Path()))
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
			return nil, fail(exitRefused, "%s does not unpack to the file of its manifest: restore it from your backup", r.path(d.Path()))
		}
		return b.Bytes(), nil
	}
	return nil, nil
}
