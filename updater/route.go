package updater

import (
	"context"
	"fmt"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// maxLegs is the longest chain of deltas that is considered. Each leg writes a whole file and reads another; soon the
// full download is done sooner.
const maxLegs = 8

// leg is one download and the file that it leads to.
type leg struct {
	release.Download
	to      verify.ID
	version string // of the release that names it
}

// route is a way to the offered file: deltas one after the other from the file that is installed, or one full
// download.
type route []leg

func (r route) bytes() (n int64) {
	for _, l := range r {
		n += l.Stored.Size
	}
	return n
}

// patches reports whether deltas are part of the route.
func (r route) patches() bool { return r[0].Encoding == release.Delta }

// space is what the route needs on disk at its widest, in bytes: the stored bytes of a leg, the file that it makes,
// and the one that it starts from if that is not the installed one.
func (r route) space() (most int64) {
	for i, l := range r {
		n := l.Stored.Size
		if l.Encoding != "" {
			n += l.to.Size
		}
		if i > 0 {
			n += r[i-1].to.Size
		}
		most = max(most, n)
	}
	return most
}

// routes are the ways to the offered file, in the order in which they are tried: the cheapest chain of deltas if
// there is one that is cheaper than the full download, and the full download.
func (j *job) routes(ctx context.Context) ([]route, error) {
	artifact := j.offer.Artifact
	version := j.offer.Manifest.Version.String()
	whole, err := full(artifact, version)
	if err != nil {
		return nil, err
	}
	legs := deltas(artifact, version)
	if len(legs) == 0 {
		return []route{whole}, nil
	}
	here, err := j.disk.Identify()
	if err != nil {
		return nil, err
	}
	from, to := verify.Digest(here.SHA256), artifact.File.SHA256
	cheapest := chain(from, to, legs)
	if cheapest == nil {
		// The installed version is older than the deltas of the offered one. The releases between them have deltas of
		// their own.
		cheapest = chain(from, to, append(legs, j.between(ctx)...))
	}
	if cheapest == nil || cheapest.bytes() >= whole.bytes() {
		return []route{whole}, nil
	}
	return []route{cheapest, whole}, nil
}

// between collects the deltas of the releases between the installed and the offered one. A manifest that cannot be
// had only makes the download larger.
func (j *job) between(ctx context.Context) (legs []leg) {
	for _, e := range j.view.Channel.Entries {
		if !e.Version.GreaterThan(j.installed) || !e.Version.LessThan(j.offer.Entry.Version) || e.Yanked != nil {
			continue
		}
		m, err := j.view.Manifest(ctx, e)
		if err != nil {
			j.log.Debug("looking for a chain of deltas", "version", e.Version, "err", err)
			continue
		}
		if a, err := m.Artifact(j.offer.Artifact.Platform); err == nil {
			legs = append(legs, deltas(a, e.Version.String())...)
		}
	}
	return legs
}

func deltas(a *release.Artifact, version string) (legs []leg) {
	for _, d := range a.Downloads {
		if d.Encoding == release.Delta && d.From != nil && len(d.Requires) == 0 {
			legs = append(legs, leg{d, a.File, version})
		}
	}
	return legs
}

// chain is the chain of legs from one file to another that needs the fewest bytes, or nil.
func chain(from, to verify.Digest, legs []leg) route {
	best := map[verify.Digest]route{from: {}}
	for range maxLegs {
		grown := false
		for _, l := range legs {
			r, known := best[*l.From]
			if !known || len(r) >= maxLegs {
				continue
			}
			longer := append(r[:len(r):len(r)], l)
			if old, known := best[l.to.SHA256]; !known || longer.bytes() < old.bytes() {
				best[l.to.SHA256], grown = longer, true
			}
		}
		if !grown {
			break
		}
	}
	if r := best[to]; len(r) > 0 {
		return r
	}
	return nil
}

// full is the route of the whole file; the smallest of those that this client understands.
func full(a *release.Artifact, version string) (route, error) {
	var best route
	for _, d := range a.Downloads {
		if d.From == nil && (best == nil || d.Stored.Size < best.bytes()) {
			best = route{{d, a.File, version}}
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no download of this file is in an encoding that this program knows: %w", ErrNothing)
	}
	return best, nil
}
