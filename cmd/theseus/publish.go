package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

type publishOptions struct {
	editFlags
	app, version, channel string
	notes, minimum        string
	rollout, critical     string
	floor                 bool
	artifacts             []string
	allowDowngrade        bool
	keep                  int
	deltas                int
	deltaMemory           byteSize // 0: 2 GB
	quiet                 bool     // say nothing of how it goes on
}

func publishCommand() *cobra.Command {
	var o publishOptions
	c := &cobra.Command{
		Use:   "publish",
		Short: "Publish a release: sign its files and offer it in a channel",
		Long: `Puts the files of a release into the repository, signs a manifest that names them by hash, and offers the release in
a channel. The channel is written last, so clients see all of the release or nothing of it. To run the same command
again is harmless: it finishes what was interrupted, and changes nothing that is there.

A release never changes once it is published. To offer one that is in another channel already (to promote it from
beta to stable), leave out --artifact; that takes a channel key only, and adds no signature to the release: enough
release keys must have signed it already.`,
		Example: `  theseus publish --repo dl --app hello --version 1.1.0 --channel stable \
      --key theseus.key --notes NOTES.md \
      --artifact linux/amd64=dist/hello-linux \
      --artifact windows/amd64=dist/hello.exe
  theseus publish --repo dl --app hello --version 1.1.0 --channel stable \
      --key theseus.key    # promote`,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := publish(c.Context(), &o)
			if err != nil {
				return err
			}
			return result(o.json, r, r.print)
		},
	}
	f := c.Flags()
	o.add(c)
	f.StringVar(&o.app, "app", "", "`NAME` of the program")
	f.StringVar(&o.version, "version", "", "semantic `VERSION`, without v and without build metadata")
	f.StringVar(&o.channel, "channel", "", "`NAME` of the channel, for example stable")
	f.StringVar(&o.notes, "notes", "", "`FILE` with the release notes, or -")
	f.StringVar(&o.minimum, "minimum", "", "lowest `VERSION` that may update to this one directly")
	f.StringArrayVar(&o.artifacts, "artifact", nil, "`OS/ARCH[/VARIANT]=FILE` the program for one platform (repeat it for each)")
	f.StringVar(&o.rollout, "rollout", "all", "offer it to these `SHARES` of the installations over time, for example 5%,25%@24h,100%@72h (theseus rollout --help)")
	addMarks(c, &o.critical, &o.floor)
	f.BoolVar(&o.allowDowngrade, "allow-downgrade", false, "offer a lower version than the channel does now, and withdraw the higher ones")
	f.IntVar(&o.deltas, "deltas", 3, "make deltas from the last `N` releases; 0 for none")
	o.deltaMemory = 2e9
	f.Var(&o.deltaMemory, "delta-memory", "`SIZE` of memory that making deltas may take; more makes more of them at once")
	f.IntVar(&o.keep, "keep", 20, "go on offering the last `N` plain releases in the channel; floors, yanks and the like always stay")
	return c
}

type publishReport struct {
	channelReport
	Version   string           `json:"version"`
	Artifacts []artifactReport `json:"artifacts"`
	Withdrawn []string         `json:"withdrawn,omitempty"`
	repo      string
}

type artifactReport struct {
	Platform string          `json:"platform"`
	Size     int64           `json:"size"`     // bytes of the installed file
	Download int64           `json:"download"` // bytes that a client fetches
	Encoding string          `json:"encoding"`
	Path     string          `json:"path"`
	Deltas   []deltaDownload `json:"deltas,omitempty"` // from earlier releases
}

// deltaDownload is a delta that a client with the right old file can fetch instead.
type deltaDownload struct {
	From string `json:"from"` // SHA-256 of the old file
	Size int64  `json:"size"`
	Path string `json:"path"`
}

func (r *publishReport) print(w io.Writer) {
	if r.Changed {
		fmt.Fprintf(w, "Published %s %s in channel %s (sequence %d).\n", r.App, r.Version, r.Channel, r.Sequence)
	} else {
		fmt.Fprintf(w, "%s %s is in channel %s already (sequence %d): nothing to do.\n", r.App, r.Version, r.Channel, r.Sequence)
	}
	table(w, func(w io.Writer) {
		for _, a := range r.Artifacts {
			fmt.Fprintf(w, "  %s\t%s\tdownload %s\t(%d %%)", a.Platform, bytesText(a.Size), bytesText(a.Download), (100*a.Download+a.Size/2)/a.Size)
			if len(a.Deltas) > 0 {
				fmt.Fprintf(w, "\tor %s as a delta", rangeText(a.Deltas))
			}
			fmt.Fprintln(w)
		}
	})
	if len(r.Withdrawn) > 0 {
		fmt.Fprintf(w, "No longer on offer: %s. Who runs them stays there; theseus yank --back brings them back.\n", strings.Join(r.Withdrawn, ", "))
	}
	fmt.Fprintln(w, r.deadline(r.repo))
}

func publish(ctx context.Context, o *publishOptions) (*publishReport, error) {
	version, files, err := o.check()
	if err != nil {
		return nil, err
	}
	e, err := o.open(ctx, o.app)
	if err != nil {
		return nil, err
	}
	defer e.close()

	old, err := e.channel(o.channel)
	if err != nil {
		return nil, err
	}
	next := &release.Channel{Name: o.channel}
	if old != nil {
		next.Entries = slices.Clone(old.Entries)
	}
	entry := next.Entry(version)
	var withdrawn []string
	if higher := above(next, version); len(higher) > 0 && (entry == nil || o.allowDowngrade) {
		if !o.allowDowngrade {
			return nil, fail(exitError, "channel %s offers %s, which is higher than %s: publish a higher version, or withdraw what is higher with --allow-downgrade", o.channel, higher[0], version)
		}
		withdrawn = higher
		next.Entries = slices.DeleteFunc(next.Entries, func(r release.Entry) bool { return version.LessThan(r.Version) })
		entry = next.Entry(version)
	}

	m, err := e.release(ctx, o, version, files)
	if err != nil {
		return nil, err
	}
	if entry != nil && entry.Manifest != m.ID {
		return nil, fail(exitRefused, "channel %s offers %s by another manifest than %s: restore that file from your backup", o.channel, version, e.path(release.ManifestPath(version)))
	}
	r := &publishReport{Version: version.String(), Artifacts: reportArtifacts(m), Withdrawn: withdrawn, repo: o.repo}
	if entry != nil && len(withdrawn) == 0 {
		r.channelReport = reportChannel(old, false)
		return r, nil
	}
	if entry == nil {
		fresh := release.Entry{Version: version, Manifest: m.ID, Floor: o.floor}
		if fresh.Rollout, err = parseRollout(o.rollout, e.now); err != nil {
			return nil, err
		}
		if fresh.Critical, err = parseCritical(o.critical, version); err != nil {
			return nil, err
		}
		next.Entries = append(next.Entries, fresh)
	}
	next.Entries = prune(next.Entries, o.keep)
	lifetime, err := o.lifetime(old)
	if err != nil {
		return nil, err
	}
	if err := e.put(next, old, lifetime); err != nil {
		return nil, err
	}
	r.channelReport = reportChannel(next, true)
	return r, nil
}

// check judges the command line before anything is read or written.
func (o *publishOptions) check() (*semver.Version, []localFile, error) {
	for flag, value := range map[string]string{"app": o.app, "version": o.version, "channel": o.channel} {
		if value == "" {
			return nil, nil, usage("--%s is missing: see 'theseus publish --help'", flag)
		}
	}
	version, err := release.ParseVersion(o.version)
	if err == nil {
		err = errors.Join(release.ValidApp(o.app), release.ValidChannel(o.channel))
	}
	if err != nil {
		return nil, nil, usage("%w", err)
	}
	if o.keep < 1 {
		return nil, nil, usage("--keep %d: a channel offers at least 1 release", o.keep)
	}
	if o.deltas < 0 {
		return nil, nil, usage("--deltas %d: give 0 for none", o.deltas)
	}
	if o.minimum != "" {
		minimum, err := release.ParseVersion(o.minimum)
		if err != nil {
			return nil, nil, usage("--minimum: %w", err)
		}
		if !minimum.LessThan(version) {
			return nil, nil, usage("--minimum %s is not below --version %s: nobody could update to it", minimum, version)
		}
	}
	if _, err := parseRollout(o.rollout, time.Time{}); err != nil {
		return nil, nil, err
	}
	if _, err := parseCritical(o.critical, version); err != nil {
		return nil, nil, err
	}
	files, err := parseArtifacts(o.artifacts)
	return version, files, err
}

// above returns the versions on offer that are higher, highest first.
func above(c *release.Channel, v *semver.Version) (higher []string) {
	for _, e := range c.Entries {
		if e.Yanked == nil && v.LessThan(e.Version) {
			higher = append(higher, e.Version.String())
		}
	}
	return higher
}

// prune drops the oldest releases beyond keep. What says more than "on offer" stays: a client may still depend on it.
func prune(entries []release.Entry, keep int) []release.Entry {
	slices.SortFunc(entries, func(a, b release.Entry) int { return b.Version.Compare(a.Version) })
	target := map[string]bool{} // where a yank leads back to
	for _, e := range entries {
		if e.Yanked != nil && e.Yanked.To != nil {
			target[e.Yanked.To.String()] = true
		}
	}
	plain := 0
	return slices.DeleteFunc(entries, func(e release.Entry) bool {
		if e.Floor || e.Yanked != nil || e.Critical != nil || target[e.Version.String()] {
			return false
		}
		plain++
		return plain > keep
	})
}

// release returns the manifest of a version: the one that is there if it says the same, otherwise a new one.
func (e *editor) release(ctx context.Context, o *publishOptions, version *semver.Version, files []localFile) (*release.Manifest, error) {
	versions, err := e.versions()
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		// On a file system or a web server that does not tell cases apart, one would hide the other.
		if v.String() != version.String() && strings.EqualFold(v.String(), version.String()) {
			return nil, fail(exitError, "version %s differs from %s, which is there already, only by case: choose another version", version, v)
		}
	}
	want := &release.Manifest{App: e.app, Version: version, Date: e.now}
	if o.minimum != "" {
		if want.Minimum, err = release.ParseVersion(o.minimum); err != nil {
			return nil, err
		}
	}
	if o.notes != "" {
		notes, err := readRef(o.notes)
		if err != nil {
			return nil, err
		}
		want.Notes = string(bytes.TrimSpace(bytes.ReplaceAll(notes, []byte("\r\n"), []byte("\n"))))
	}
	name := release.ManifestPath(version)
	file, err := e.read(name, verify.TypeManifest.MaxSize())
	switch {
	case err == nil:
		return e.resume(ctx, name, file, want, o, files)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(files) == 0:
		return nil, usage("%s %s is not in %s yet: give its files with --artifact OS/ARCH=FILE", e.app, version, e.dir)
	}

	signers := e.of(e.trust.Release)
	if len(signers) == 0 {
		return nil, fail(exitError, "a release is signed by the release keys (%s), and none is here: give one with --key", keyIDs(e.trust.Release.All()))
	}
	if want.Artifacts, err = e.storeAll(ctx, files); err != nil {
		return nil, err
	}
	if err := e.addDeltas(ctx, want, files, o); err != nil {
		return nil, err
	}
	if file, err = release.SignManifest(want, signers...); err != nil {
		return nil, err
	}
	if err := e.write(name, file); err != nil {
		return nil, err
	}
	return e.quorum(name, file, version)
}

// resume continues with a manifest that is there: nothing of it may differ from what is published now.
func (e *editor) resume(ctx context.Context, name string, file []byte, want *release.Manifest, o *publishOptions, files []localFile) (*release.Manifest, error) {
	any, err := verify.NewKeys(1, e.trust.Release.All()...)
	if err != nil {
		return nil, err
	}
	m, err := openManifest(file, any, e.app, want.Version)
	if err != nil {
		return nil, fmt.Errorf("%s is there already: %w: restore it from your backup, or move it away", e.path(name), err)
	}
	differs := func(what string) error {
		return fail(exitRefused, "%s %s was published before with %s, and a release never changes: publish this as a new version", e.app, m.Version, what)
	}
	if o.notes != "" && m.Notes != want.Notes {
		return nil, differs("other notes")
	}
	if o.minimum != "" && (m.Minimum == nil || !m.Minimum.Equal(want.Minimum)) {
		return nil, differs("another minimum version")
	}
	for _, f := range files {
		i := slices.IndexFunc(m.Artifacts, func(a release.Artifact) bool { return a.Platform == f.platform })
		if i < 0 {
			return nil, differs("no file for " + f.platform.String())
		}
		if err := e.mend(ctx, f, m.Artifacts[i], differs); err != nil {
			return nil, err
		}
	}
	if len(files) > 0 && len(files) < len(m.Artifacts) {
		return nil, differs("more platforms")
	}
	if len(files) == 0 {
		// Without the files nothing here says what this manifest stands for, and who can write the folder may have put it
		// there: it is offered as it is signed already, and gets no signature more.
		return e.quorum(name, file, want.Version)
	}
	progress, err := any.Progress(file)
	if err != nil {
		return nil, err
	}
	signed := file
	for _, s := range e.of(e.trust.Release) {
		if slices.ContainsFunc(progress.Signed, s.Key().Equal) {
			continue
		}
		if signed, err = verify.AddSignature(signed, s); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(signed, file) {
		if err := e.write(name, signed); err != nil {
			return nil, err
		}
	}
	return e.quorum(name, signed, want.Version)
}

// quorum returns the manifest once enough release keys have signed it.
func (e *editor) quorum(name string, file []byte, version *semver.Version) (*release.Manifest, error) {
	m, err := openManifest(file, e.trust.Release, e.app, version)
	if errors.Is(err, verify.ErrThreshold) {
		return nil, fail(exitError, "%s is stored, but %s of the release keys must sign it: have the others run 'theseus sign %s --key FILE', then run this again: %w", e.path(name), plural(e.trust.Release.Threshold(), "holder"), e.path(name), err)
	}
	return m, err
}

// openManifest opens the manifest of a version for a publisher, who has no channel yet that names its hash.
func openManifest(file []byte, keys verify.Keys, app string, v *semver.Version) (*release.Manifest, error) {
	text, _, err := verify.Split(file)
	if err != nil {
		return nil, err
	}
	return release.OpenManifest(file, keys, app, release.Entry{Version: v, Manifest: verify.IDOf(text)})
}

func reportArtifacts(m *release.Manifest) []artifactReport {
	var out []artifactReport
	for _, a := range m.Artifacts {
		d := a.Downloads[0]
		for _, other := range a.Downloads {
			if other.Encoding != release.Delta && other.Stored.Size < d.Stored.Size {
				d = other
			}
		}
		r := artifactReport{a.Platform.String(), a.File.Size, d.Stored.Size, d.Encoding, d.Path(), nil}
		for _, other := range a.Downloads {
			if other.Encoding == release.Delta {
				r.Deltas = append(r.Deltas, deltaDownload{other.From.String(), other.Stored.Size, other.Path()})
			}
		}
		out = append(out, r)
	}
	return out
}
