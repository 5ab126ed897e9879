package publisher

import (
	"context"
	"errors"
	"io/fs"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Plan is what a publish would do.
type Plan struct {
	App       string        `json:"app"`
	Version   string        `json:"version"`
	Channel   string        `json:"channel"`
	Does      Does          `json:"does"`
	Files     []PlannedFile `json:"files"`
	Attached  []string      `json:"attachments,omitempty"` // names
	Notes     string        `json:"notes,omitempty"`
	Withdrawn []string      `json:"withdrawn,omitempty"`
	Mistakes  []Mistake     `json:"mistakes"` // why nothing would be signed
}

// Does says how much there is to do.
type Does string

const (
	DoesSign    Does = "sign"    // a release that is not there yet, and a channel
	DoesPromote Does = "promote" // a channel, for a release that is there
	DoesNothing Does = "nothing" // all is there
)

// PlannedFile is what would be signed for one platform.
type PlannedFile struct {
	Platform string        `json:"platform"`
	Path     string        `json:"path"`
	Size     int64         `json:"size"`
	SHA256   verify.Digest `json:"sha256"`
	Deltas   []string      `json:"deltas,omitempty"` // versions from which one would be made
}

// Plan says what Publish would do, and why not. It signs nothing, needs no signers, and is for a store in which nothing can be
// lost (store.Aside), because what an interrupted run has left is finished first.
func (p *Publisher) Plan(ctx context.Context, r *Release) (*Plan, error) {
	old, err := p.base(ctx, r.Channel)
	if err != nil {
		return nil, err
	}
	next := old.next(r.Channel)
	plan := &Plan{App: p.app, Version: r.Version.String(), Channel: r.Channel, Does: DoesSign, Files: []PlannedFile{}, Mistakes: []Mistake{}}
	withdrawn, err := r.withdraws(next)
	if err != nil {
		return nil, err
	}
	plan.Withdrawn = withdrawn
	if r.Notes != nil {
		plan.Notes = *r.Notes
	}
	_, _, err = p.read(ctx, release.ManifestPath(r.Version), verify.TypeManifest)
	switch {
	case err == nil && next.Entry(r.Version) != nil && len(withdrawn) == 0:
		plan.Does = DoesNothing
	case err == nil:
		plan.Does = DoesPromote
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(r.Artifacts) == 0:
		return nil, p.noFiles(r.Version)
	}
	if plan.Does != DoesNothing {
		mistakes, err := p.mistakes(ctx, r, old)
		if err != nil {
			return nil, err
		}
		plan.Mistakes = append(plan.Mistakes, mistakes...)
	}
	for _, a := range r.Attachments {
		plan.Attached = append(plan.Attached, a.Name)
	}
	if _, err := r.attached(ctx); err != nil {
		return nil, err
	}
	for _, f := range r.Artifacts {
		src, id, err := f.open(ctx)
		if err != nil {
			return nil, err
		}
		src.Close()
		one := PlannedFile{Platform: f.Platform.String(), Path: f.Path, Size: id.Size, SHA256: id.SHA256}
		if plan.Does == DoesSign {
			m := &release.Manifest{Version: r.Version, Artifacts: []release.Artifact{{Platform: f.Platform, File: id}}}
			pairs, err := p.pairs(ctx, m, []Artifact{f}, r.Deltas)
			if err != nil {
				return nil, err
			}
			for _, pr := range pairs {
				one.Deltas = append(one.Deltas, pr.oldName)
			}
		}
		plan.Files = append(plan.Files, one)
	}
	return plan, nil
}

// withdraws lists what has to go off the list so that this release is the highest, if that is meant.
func (r *Release) withdraws(next *release.Channel) ([]string, error) {
	higher := above(next, r.Version)
	switch {
	case len(higher) == 0 || next.Entry(r.Version) != nil && !r.AllowDowngrade:
		return nil, nil
	case !r.AllowDowngrade:
		return nil, ui.Fail(ui.ExitError, "channel %s offers %s, which is higher than %s: publish a higher version, or withdraw what is higher with --allow-downgrade", r.Channel, higher[0], r.Version)
	}
	return higher, mayGo(next, r.Version)
}

func (p *Publisher) noFiles(v *semver.Version) error {
	return ui.Usage("%s %s is not in %s yet: give its files with --artifact OS/ARCH=FILE or --dist DIR, or write artifacts into %s", p.app, v, p.repository, ProjectFile)
}
