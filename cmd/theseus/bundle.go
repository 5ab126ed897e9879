package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

type bundleOptions struct {
	verifyOptions
	out       string
	versions  []string
	platforms []string
}

func bundleCommand() *cobra.Command {
	var o bundleOptions
	var channel string
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Put what an update needs into one file, for machines without a network",
		Long: `Writes a channel, its trust documents, its manifests and the files of some of its releases into one file: a tar archive
that "theseus verify", "theseus serve" and clients take in place of a repository. Everything is checked on the way in, and
again by whoever takes it. A bundle expires when its channel does.

Without --version it has the files of the newest release and of every floor below it.`,
		Example: `  theseus bundle --repo dl --key theseus.pub --channel stable --out hello.bundle
  theseus bundle --repo https://dl.example.com/hello --key theseus.pub \
      --platform linux/amd64 --out hello.bundle`,
		RunE: func(c *cobra.Command, _ []string) error {
			o.channels = []string{channel}
			r, err := writeBundle(c.Context(), &o)
			if err != nil {
				return err
			}
			return result(o.json, r, func(w io.Writer) {
				fmt.Fprintf(w, "%s (%s) has %s %s for %s, from channel %s.\n", r.Bundle, bytesText(r.Size), r.App, strings.Join(r.Versions, ", "), strings.Join(r.Platforms, ", "), channel)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.repo, "repo", "", "`DIR or URL` of the repository")
	f.StringVar(&o.key, "key", "", "`FILE` with what the program is built with: a public key or a trust document")
	f.StringVar(&channel, "channel", "stable", "`NAME` of the channel")
	f.StringArrayVar(&o.versions, "version", nil, "`VERSION` whose files it has (repeat it for more)")
	f.StringArrayVar(&o.platforms, "platform", nil, "`OS/ARCH[/VARIANT]` that it is for (default: all)")
	f.StringVar(&o.out, "out", "", "`FILE` to write")
	addHTTP(c, &o.allowHTTP)
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

type bundleReport struct {
	Bundle    string   `json:"bundle"`
	Size      int64    `json:"size"`
	App       string   `json:"app"`
	Versions  []string `json:"versions"`
	Platforms []string `json:"platforms"`
}

func writeBundle(ctx context.Context, o *bundleOptions) (r *bundleReport, err error) {
	if o.out == "" {
		return nil, usage("--out is missing: say which file to write")
	}
	v, err := newVerifier(ctx, &o.verifyOptions)
	if err != nil {
		return nil, err
	}
	defer v.src.close()
	for _, c := range v.Checks {
		if c.err != nil {
			return nil, c.err
		}
	}
	c, err := v.open(ctx, o.channels[0])
	if err == nil {
		err = c.Fresh(v.clock)
	}
	if err != nil {
		return nil, err
	}
	chosen, err := o.choose(c)
	if err != nil {
		return nil, err
	}

	f, err := durable.Create(filepath.Dir(o.out), filepath.Base(o.out))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // has another name by then if all went well
	defer f.Close()
	b := &bundler{v: v, w: bundle.NewWriter(f), added: map[string]bool{}}
	if err := b.documents(ctx, c); err != nil {
		return nil, err
	}
	r = &bundleReport{Bundle: o.out, App: v.App, Versions: chosen}
	if r.Platforms, err = b.files(ctx, c, chosen, o.platforms); err != nil {
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
	return r, durable.Rename(f.Name(), o.out)
}

// choose says of which releases the bundle has the files.
func (o *bundleOptions) choose(c *release.Channel) (versions []string, err error) {
	for _, s := range o.versions {
		v, err := release.ParseVersion(s)
		if err != nil {
			return nil, usage("--version: %w", err)
		}
		if c.Entry(v) == nil {
			return nil, fail(exitError, "channel %s does not list %s: it lists %s", c.Name, v, strings.Join(versionsOf(c), ", "))
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
		return nil, fail(exitError, "channel %s offers nothing: publish a release first", c.Name)
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
	err := document(ctx, b.v.src, name, t.MaxSize(), func(got []byte) error {
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
		again, err := release.OpenChannel(file, b.v.trust.Channel, b.v.App, c.Name)
		if err == nil && again.ID != c.ID {
			err = fail(exitError, "the channel changed meanwhile: run this again")
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
			_, err := release.OpenManifest(file, b.v.trust.Release, b.v.App, e)
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
		err = document(ctx, b.v.src, release.ManifestPath(v), verify.TypeManifest.MaxSize(), func(file []byte) (err error) {
			m, err = release.OpenManifest(file, b.v.trust.Release, b.v.App, *c.Entry(v))
			return err
		})
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
				if err := b.file(ctx, d); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, p := range platforms {
		if !slices.Contains(covered, p) {
			return nil, fail(exitNothing, "no release in this bundle has a file for %s: it would be of no use there", p)
		}
	}
	return covered, nil
}

func (b *bundler) file(ctx context.Context, d release.Download) error {
	f, err := os.CreateTemp("", "theseus-bundle-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := b.v.src.File(ctx, d.Path(), d.Stored, f, nil); err != nil {
		return missing(err)
	}
	return b.add(d.Path(), d.Stored.Size, f)
}
