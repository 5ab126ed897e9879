package audit

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Bundled is what a bundle has.
type Bundled struct {
	Bundle    string   `json:"bundle"`
	Size      int64    `json:"size"`
	App       string   `json:"app"`
	Versions  []string `json:"versions"`
	Platforms []string `json:"platforms"`
}

// WriteBundle packs the first of o.Channels into the file out: the named versions, or what a client would install, for the
// named platforms, or all.
func WriteBundle(ctx context.Context, o Options, out string, versions, platforms []string) (r *Bundled, err error) {
	v, err := newVerifier(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, c := range v.Checks {
		if c.err != nil {
			return nil, c.err
		}
	}
	c, _, err := v.docs.Channel(ctx, o.Channels[0], nil)
	if err == nil {
		err = c.Fresh(v.clock)
	}
	if err == nil && v.memory != nil { // who gets the bundle has nothing else to compare it with
		err = v.memory.Judge(c)
	}
	if err != nil {
		return nil, err
	}
	chosen, err := choose(c, versions)
	if err != nil {
		return nil, err
	}

	f, err := durable.Create(filepath.Dir(out), filepath.Base(out))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // has another name by then if all went well
	defer f.Close()
	b := &bundler{v: v, w: bundle.NewWriter(f), added: map[string]bool{}}
	if err := b.documents(ctx, c); err != nil {
		return nil, err
	}
	r = &Bundled{Bundle: out, App: v.App, Versions: chosen}
	if r.Platforms, err = b.files(ctx, c, chosen, platforms); err != nil {
		return nil, err
	}
	if err := b.w.Close(); err != nil {
		return nil, err
	}
	if r.Size, err = f.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return r, durable.Rename(f.Name(), out)
}

// choose says of which releases the bundle has the files.
func choose(c *release.Channel, wanted []string) (versions []string, err error) {
	for _, s := range wanted {
		v, err := release.ParseVersion(s)
		if err != nil {
			return nil, ui.Usage("--version: %w", err)
		}
		if c.Entry(v) == nil {
			return nil, ui.Fail(ui.ExitError, "channel %s does not list %s: it lists %s", c.Name, v, strings.Join(publisher.Versions(c), ", "))
		}
		versions = append(versions, v.String())
	}
	if len(versions) > 0 {
		return versions, nil
	}
	for _, e := range c.Entries { // newest first
		if e.Yanked == nil && (len(versions) == 0 || e.Floor) {
			versions = append(versions, e.Version.String())
		}
	}
	if len(versions) == 0 {
		return nil, ui.Fail(ui.ExitError, "channel %s offers nothing: publish a release first", c.Name)
	}
	return versions, nil
}

// A bundler copies from a source into a bundle what has been checked.
type bundler struct {
	v     *verifier
	w     *bundle.Writer
	added map[string]bool
}

func (b *bundler) add(name string, size int64, r io.Reader) error {
	if b.added[name] {
		return nil
	}
	b.added[name] = true
	return b.w.Add(name, size, r)
}

// document copies a document that accept takes.
func (b *bundler) document(ctx context.Context, name string, t verify.Type, accept func([]byte) error) error {
	var file []byte
	_, err := b.v.src.Document(ctx, name, t.MaxSize(), nil, func(got []byte) error {
		file = slices.Clone(got)
		return accept(got)
	})
	if err != nil {
		return err
	}
	return b.add(name, int64(len(file)), strings.NewReader(string(file)))
}

// documents come first, so that whoever reads a bundle from its beginning meets them before the files that they are about.
func (b *bundler) documents(ctx context.Context, c *release.Channel) error {
	err := b.document(ctx, c.Name, verify.TypeChannel, func(file []byte) error {
		again, err := release.OpenChannel(file, b.v.docs.Trust.Channel, b.v.App, c.Name)
		if err == nil && again.ID != c.ID {
			err = ui.Fail(ui.ExitError, "the channel changed meanwhile: run this again")
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, t := range b.v.walked {
		if err := b.add(release.TrustPath(t.Version), int64(len(t.File)), strings.NewReader(string(t.File))); err != nil {
			return err
		}
	}
	for _, e := range c.Entries {
		err := b.document(ctx, release.ManifestPath(e.Version), verify.TypeManifest, func(file []byte) error {
			_, err := release.OpenManifest(file, b.v.docs.Trust.Release, b.v.App, e)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// files adds the files of the chosen releases, and returns the platforms that they are for.
func (b *bundler) files(ctx context.Context, c *release.Channel, versions, platforms []string) (covered []string, err error) {
	for _, text := range versions {
		v, err := release.ParseVersion(text)
		if err != nil {
			return nil, err
		}
		var m *release.Manifest
		m, _, err = b.v.docs.Manifest(ctx, *c.Entry(v))
		if err != nil {
			return nil, err
		}
		for _, a := range m.Artifacts {
			if len(platforms) > 0 && !slices.Contains(platforms, a.Platform.String()) {
				continue
			}
			if !slices.Contains(covered, a.Platform.String()) {
				covered = append(covered, a.Platform.String())
			}
			for _, d := range a.Downloads {
				if d.Encoding == release.Delta {
					continue // saves nothing where nothing is downloaded
				}
				if err := b.file(ctx, text, d); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, p := range platforms {
		if !slices.Contains(covered, p) {
			return nil, ui.Fail(ui.ExitNothing, "no release in this bundle has a file for %s: it would be of no use there", p)
		}
	}
	return covered, nil
}

func (b *bundler) file(ctx context.Context, version string, d release.Download) error {
	f, err := os.CreateTemp("", "theseus-bundle-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := b.v.src.File(ctx, version, d.Path(), d.Stored, f); err != nil {
		return missing(err)
	}
	return b.add(d.Path(), d.Stored.Size, f)
}
