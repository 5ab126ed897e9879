package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/goreleaser"
	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

type publishOptions struct {
	editFlags
	app, version, channel string
	notes, minimum        string
	rollout, critical     string
	floor                 bool
	artifacts, attach     []string
	dist, build           string // of GoReleaser
	built                 *goreleaser.Dist
	allow                 []string
	dryRun                bool
	allowDowngrade        bool
	keep                  int
	deltas                int
	deltasSaid            bool        // by the flag, not its default
	deltaMemory           ui.ByteSize // 0: 2 GB
	quiet                 bool        // say nothing of how it goes on
}

func publishCommand() *cobra.Command {
	var o publishOptions
	c := &cobra.Command{
		Use:   "publish",
		Short: "Publish a release: sign its files and offer it in a channel",
		Long: `Puts the files of a release into the repository, signs a manifest that names them by hash, and offers the release in
a channel. The channel is written last, so clients see all of the release or nothing of it. To run the same command
again is harmless: it finishes what was interrupted, and changes nothing that is there.

The files are those that --artifact names, or what GoReleaser has built: --dist takes platforms, version, checksums and
notes from its folder. Of several builds for one platform the least demanding one is for every machine, and each other one
is a variant by the name of its level (v3 of GOAMD64, v7 of GOARM). Without either, artifacts in theseus.yaml says where
files are:

  artifacts:
    - build/{os}-{arch}/hello

A release never changes once it is published. To offer one that is in another channel already (to promote it from
beta to stable), leave out --artifact and --dist; that takes a channel key only, and adds no signature to the release:
enough release keys must have signed it already.

A release that is signed has used up its version, so mistakes are looked for before: a file that is no program, was built
for another platform or a newer CPU, or, where this machine can run it, does not say for --version that it is this one; a
platform that the last release had; a channel that is not there while others are. All that is found is said at once, and
--allow overrules each by its name. --dry-run says what would be signed, and why not, without a key if a root is known; it
changes nothing.

Nothing in the repository is believed because it lies there. It must follow from the root that theseus.yaml (or --root)
names, and must not fall behind what theseus.lock says was signed from here. The first publish of all, with its files and
one key, takes that key as the root and writes both files into the working folder.`,
		Example: `  theseus publish --repo dl --app hello --version 1.1.0 --channel stable \
      --key theseus.key --notes NOTES.md \
      --artifact linux/amd64=dist/hello-linux \
      --artifact windows/amd64=dist/hello.exe
  theseus publish --dist dist --dry-run
  theseus publish --version 1.1.0 --channel stable    # promote`,
		RunE: func(c *cobra.Command, _ []string) error {
			o.deltasSaid = c.Flags().Changed("deltas")
			if o.dryRun {
				return plan(c.Context(), &o)
			}
			r, err := publish(c.Context(), &o)
			if err != nil {
				return err
			}
			return ui.Result(o.json, r, r.print)
		},
	}
	f := c.Flags()
	o.add(c)
	f.StringVar(&o.app, "app", "", "`NAME` of the program (default: what theseus.yaml says)")
	f.StringVar(&o.version, "version", "", "semantic `VERSION`, without v and without build metadata (default: that of --dist)")
	f.StringVar(&o.channel, "channel", "", "`NAME` of the channel, for example stable (default: what theseus.yaml says)")
	f.StringVar(&o.notes, "notes", "", "`FILE` with the release notes, or - (default: the change log of --dist)")
	f.StringVar(&o.minimum, "minimum", "", "lowest `VERSION` that may update to this one directly")
	f.StringArrayVar(&o.artifacts, "artifact", nil, "`OS/ARCH[/VARIANT]=FILE` the program for one platform (repeat it for each)")
	f.StringVar(&o.dist, "dist", "", "take the files from this dist `DIR` of GoReleaser")
	f.StringVar(&o.build, "build", "", "`ID` of the build in --dist, if there are several programs (default: the one that is called as the app is)")
	f.StringArrayVar(&o.attach, "attach", nil, "`FILE[=TYPE]` about the release, such as a bill of materials (repeat it for each; those of --dist are attached anyway)")
	addAllow(c, &o.allow)
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be signed, and why not, and change nothing")
	f.StringVar(&o.rollout, "rollout", "all", "offer it to these `SHARES` of the installations over time, for example 5%,25%@24h,100%@72h (theseus rollout --help)")
	addMarks(c, &o.critical, &o.floor)
	f.BoolVar(&o.allowDowngrade, "allow-downgrade", false, "offer a lower version than the channel does now, and take the higher ones off it; what is yanked stays yanked")
	f.IntVar(&o.deltas, "deltas", 3, "make deltas from the last `N` releases; 0 for none (theseus.yaml may say another default)")
	o.deltaMemory = 2e9
	f.Var(&o.deltaMemory, "delta-memory", "`SIZE` of memory that making deltas may take; more makes more of them at once")
	f.IntVar(&o.keep, "keep", 20, "go on offering the last `N` plain releases in the channel; floors, yanks and the like always stay")
	return c
}

// addAllow adds the flag that overrules checks.
func addAllow(c *cobra.Command, allow *[]string) {
	names := make([]string, len(publisher.Checks))
	for i, check := range publisher.Checks {
		names[i] = string(check)
	}
	c.Flags().StringSliceVar(allow, "allow", nil, "overrule this `CHECK`, one or several of "+strings.Join(names, ", "))
}

type publishReport struct {
	*publisher.Published
	edit  *publishOptions
	began bool // theseus.yaml was written
}

func (r *publishReport) print(w io.Writer) {
	if r.Changed {
		fmt.Fprintf(w, "Published %s %s in channel %s (sequence %d).\n", r.App, r.Version, r.Channel, r.Sequence)
		if len(r.Rollout) > 0 {
			fmt.Fprintf(w, "It is offered to %s.\n", rolloutText(r.Rollout))
		}
	} else {
		fmt.Fprintf(w, "%s %s is in channel %s already (sequence %d): nothing to do.\n", r.App, r.Version, r.Channel, r.Sequence)
	}
	ui.Table(w, func(w io.Writer) {
		for _, a := range r.Artifacts {
			fmt.Fprintf(w, "  %s\t%s\tdownload %s\t(%d %%)", a.Platform, ui.Bytes(a.Size), ui.Bytes(a.Download), (100*a.Download+a.Size/2)/a.Size)
			if len(a.Deltas) > 0 {
				fmt.Fprintf(w, "\tor %s as a delta", rangeText(a.Deltas))
			}
			fmt.Fprintln(w)
		}
	})
	if len(r.Attached) > 0 {
		fmt.Fprintf(w, "Attached: %s.\n", strings.Join(r.Attached, ", "))
	}
	if len(r.Withdrawn) > 0 {
		fmt.Fprintf(w, "No longer on offer: %s. Installations that have it keep it; theseus yank --back brings them back.\n", strings.Join(r.Withdrawn, ", "))
	}
	if r.began {
		fmt.Fprintf(w, "Wrote %s: from now on, what is in %s must follow from this key. Commit it, and %s.\n", publisher.ProjectFile, r.edit.repo, publisher.LockFile)
	}
	fmt.Fprintln(w, r.edit.deadline(r.ChannelReport))
}

// rangeText is one size, or the smallest and the largest of several.
func rangeText(deltas []publisher.DeltaDownload) string {
	low, high := deltas[0].Size, deltas[0].Size
	for _, d := range deltas {
		low, high = min(low, d.Size), max(high, d.Size)
	}
	if low == high {
		return ui.Bytes(low)
	}
	return ui.Bytes(low) + " to " + ui.Bytes(high)
}

func publish(ctx context.Context, o *publishOptions) (*publishReport, error) {
	r, err := o.prepare()
	if err != nil {
		return nil, err
	}
	options, folder, err := o.options(ctx)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	options.App = o.app
	if options.Root == nil && o.project.Exists() { // made while this waited for its turn
		if err := o.load(); err != nil {
			return nil, err
		}
		if options.Root, err = o.trust(); err != nil {
			return nil, err
		}
	}
	if err := o.files(ctx, folder, r); err != nil {
		return nil, err
	}
	// The first publish of all: there is nobody to believe yet but the key that signs.
	first := options.Root == nil && !o.project.Exists() && len(r.Artifacts) > 0 && len(options.Signers) == 1
	if first {
		if options.Root, err = verify.ParseTrust(options.Signers[0].Key().String()); err != nil {
			return nil, err
		}
	}
	p, err := publisher.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	done, err := p.Publish(ctx, r)
	if err != nil {
		return nil, err
	}
	report := &publishReport{Published: done, edit: o}
	if first {
		report.began, err = o.begin(options.Root)
	}
	return report, err
}

// prepare joins flags, project and what was built to one release.
func (o *publishOptions) prepare() (*publisher.Release, error) {
	if err := o.load(); err != nil {
		return nil, err
	}
	if o.dist != "" {
		if len(o.artifacts) > 0 {
			return nil, ui.Usage("--artifact and --dist both name the files: give one of them")
		}
		var err error
		if o.built, err = goreleaser.Read(o.dist); err != nil {
			return nil, err
		}
		if o.version != "" && o.version != o.built.Version {
			return nil, ui.Usage("--version says %s, and %s was built as %s: leave out --version, or build it again", o.version, o.dist, ui.Clean(o.built.Version))
		}
		o.version = o.built.Version
	}
	if o.own() {
		o.app, o.channel = cmp.Or(o.app, o.project.App), cmp.Or(o.channel, o.project.Channel)
		if o.project.Deltas != nil && !o.deltasSaid {
			o.deltas = *o.project.Deltas
		}
	}
	if o.built != nil {
		o.app = cmp.Or(o.app, o.built.Project)
	}
	r, err := o.release()
	if err != nil || o.built == nil {
		return r, err
	}
	boms, err := o.built.Attachments()
	if err != nil {
		return nil, err
	}
	r.Attachments = append(r.Attachments, boms...)
	if r.Notes == nil && o.built.Notes != nil {
		notes := tidy(*o.built.Notes)
		r.Notes = &notes
	}
	r.Artifacts, err = o.built.Artifacts(o.app, o.build)
	return r, err
}

// files are those that the project's patterns find, if no flag names any. A version that is there already is offered as it is:
// what lies about here may be of another one.
func (o *publishOptions) files(ctx context.Context, s store.Store, r *publisher.Release) error {
	if len(r.Artifacts) > 0 || !o.own() {
		return nil
	}
	body, _, err := s.Get(ctx, release.ManifestPath(r.Version))
	if err == nil {
		return body.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Artifacts, err = o.project.Built(r.Version.String())
	return err
}

// begin makes what was typed the project of the working folder, unless another publish was quicker.
func (o *publishOptions) begin(root *verify.Trust) (bool, error) {
	p := o.project
	p.App, p.Root, p.Repo, p.Channel = o.app, root.Trust.All()[0].String(), o.repo, o.channel
	if key := o.keys.keys[0]; key != "-" {
		p.Key = key
	}
	err := p.Save()
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// release judges the command line before anything is read or written.
func (o *publishOptions) release() (*publisher.Release, error) {
	if err := missing("publish", "app", o.app, "version", o.version, "channel", o.channel); err != nil {
		return nil, err
	}
	r := &publisher.Release{Channel: o.channel, Floor: o.floor, AllowDowngrade: o.allowDowngrade, Keep: o.keep, Deltas: o.deltas, DeltaMemory: int64(o.deltaMemory), Quiet: o.quiet}
	version, err := release.ParseVersion(o.version)
	if err == nil {
		err = errors.Join(release.ValidApp(o.app), release.ValidChannel(o.channel))
	}
	if err != nil {
		return nil, ui.Usage("%w", err)
	}
	r.Version = version
	if o.keep < 1 {
		return nil, ui.Usage("--keep %d: a channel offers at least 1 release", o.keep)
	}
	if o.deltas < 0 {
		return nil, ui.Usage("--deltas %d: give 0 for none", o.deltas)
	}
	if r.Notes, r.Minimum, err = contents(o.notes, o.minimum); err != nil {
		return nil, err
	}
	if r.Minimum != nil && !r.Minimum.LessThan(version) {
		return nil, ui.Usage("--minimum %s is not below --version %s: nobody could update to it", r.Minimum, version)
	}
	if _, err := parseRollout(o.rollout, time.Time{}); err != nil {
		return nil, err
	}
	r.Rollout = func(now time.Time) release.Rollout {
		rollout, _ := parseRollout(o.rollout, now) // judged above
		return rollout
	}
	if r.Critical, err = parseCritical(o.critical, version); err != nil {
		return nil, err
	}
	if r.Allow, err = publisher.ParseChecks(o.allow); err != nil {
		return nil, err
	}
	if o.own() {
		r.Channels = o.project.Channels
	}
	if r.Lifetime, err = o.lifetime(); err != nil {
		return nil, err
	}
	if r.Attachments, err = publisher.ParseAttachments(o.attach); err != nil {
		return nil, err
	}
	r.Artifacts, err = publisher.ParseArtifacts(o.artifacts)
	return r, err
}

// contents reads what a manifest says besides its files; nil for what is not said.
func contents(notesRef, minimumText string) (notes *string, minimum *semver.Version, err error) {
	if minimumText != "" {
		if minimum, err = release.ParseVersion(minimumText); err != nil {
			return nil, nil, ui.Usage("--minimum: %w", err)
		}
	}
	if notesRef != "" {
		b, err := readRef(notesRef)
		if err != nil {
			return nil, nil, err
		}
		text := tidy(string(b))
		notes = &text
	}
	return notes, minimum, nil
}

// tidy is how notes are published, however their file ends its lines.
func tidy(notes string) string {
	return strings.TrimSpace(strings.ReplaceAll(notes, "\r\n", "\n"))
}
