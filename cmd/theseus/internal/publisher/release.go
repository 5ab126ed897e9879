package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Release is what is to be published, and how it is offered.
type Release struct {
	Version        *semver.Version
	Channel        string
	Notes          *string         // nil: not said; a release that is there already may have any
	Minimum        *semver.Version // nil: not said
	Rollout        func(now time.Time) release.Rollout
	Critical       *semver.Version
	Floor          bool
	Artifacts      []Artifact // none: the release is there already
	Attachments    []Attachment
	Allow          []Check       // mistakes that are none
	Channels       []string      // that the project has, there or not
	AllowDowngrade bool          // take what is higher off the list; what is withdrawn already stays there
	Keep           int           // plain releases that stay on offer
	Deltas         int           // releases from which deltas are made
	DeltaMemory    int64         // bytes that making them may take; 0: 2 GB
	Lifetime       time.Duration // of the channel; 0: as before
	Quiet          bool          // show no progress
}

// Published is what came of it.
type Published struct {
	ChannelReport
	Version   string           `json:"version"`
	Artifacts []ArtifactReport `json:"artifacts"`
	Attached  []string         `json:"attachments,omitempty"` // names
	Withdrawn []string         `json:"withdrawn,omitempty"`
	Rollout   release.Rollout  `json:"-"` // none: everybody
}

// ArtifactReport is one platform's file.
type ArtifactReport struct {
	Platform string          `json:"platform"`
	Size     int64           `json:"size"`     // bytes of the installed file
	Download int64           `json:"download"` // bytes that a client fetches
	Encoding string          `json:"encoding"`
	Path     string          `json:"path"`
	Deltas   []DeltaDownload `json:"deltas,omitempty"` // from earlier releases
}

// DeltaDownload is a delta that a client with the right old file can fetch instead.
type DeltaDownload struct {
	From string `json:"from"` // SHA-256 of the old file
	Size int64  `json:"size"`
	Path string `json:"path"`
}

// Publish brings a release into the repository and offers it in a channel. To say it again is harmless: it finishes what
// was interrupted, and changes nothing that is there.
func (p *Publisher) Publish(ctx context.Context, r *Release) (*Published, error) {
	old, err := p.base(ctx, r.Channel)
	if err != nil {
		return nil, err
	}
	next := old.next(r.Channel)
	withdrawn, err := r.withdraws(next)
	if err != nil {
		return nil, err
	}
	if len(withdrawn) > 0 {
		next.Entries = slices.DeleteFunc(next.Entries, func(e release.Entry) bool { return e.Yanked == nil && r.Version.LessThan(e.Version) })
	}
	entry := next.Entry(r.Version)

	if entry == nil || len(withdrawn) > 0 {
		if err := p.check(ctx, r, old); err != nil {
			return nil, err
		}
	}
	m, err := p.manifest(ctx, r)
	if err != nil {
		return nil, err
	}
	if entry != nil && entry.Manifest != m.ID {
		return nil, ui.Fail(ui.ExitRefused, "channel %s offers %s by another manifest than %s: restore that file from your backup", r.Channel, r.Version, p.path(release.ManifestPath(r.Version)))
	}
	done := &Published{Version: r.Version.String(), Artifacts: reportArtifacts(m), Withdrawn: withdrawn}
	for _, a := range m.Attachments {
		done.Attached = append(done.Attached, a.Name)
	}
	if entry != nil && len(withdrawn) == 0 {
		done.ChannelReport = reportChannel(old.Channel, false)
		return done, p.remember(old)
	}
	if entry == nil {
		fresh := release.Entry{Version: r.Version, Manifest: m.ID, Floor: r.Floor, Critical: r.Critical}
		if r.Rollout != nil {
			fresh.Rollout = r.Rollout(p.now)
		}
		next.Entries = append(next.Entries, fresh)
		done.Rollout = fresh.Rollout
	}
	next.Entries = prune(next.Entries, r.Keep)
	if err := p.put(ctx, next, old, old.lifetime(r.Lifetime)); err != nil {
		return nil, err
	}
	done.ChannelReport = reportChannel(next, true)
	return done, nil
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

// mayGo refuses to take off the list what is higher than v and says more than "on offer".
func mayGo(c *release.Channel, v *semver.Version) error {
	target := yankTargets(c.Entries)
	for _, e := range c.Entries {
		why := ""
		switch {
		case e.Yanked != nil || !v.LessThan(e.Version):
			continue // it stays
		case target[e.Version.String()]:
			why = "is what a withdrawn release goes back to: withdraw that one anew with another --back"
		case e.Floor:
			why = "is a step that older clients must not skip: withdraw it with theseus yank"
		case e.Critical != nil:
			why = "is critical: withdraw it with theseus yank"
		default:
			continue
		}
		return ui.Fail(ui.ExitError, "--allow-downgrade would take %s off channel %s, and it %s, then run this again", e.Version, c.Name, why)
	}
	return nil
}

// yankTargets are the versions to which withdrawn releases go back.
func yankTargets(entries []release.Entry) map[string]bool {
	target := map[string]bool{}
	for _, e := range entries {
		if e.Yanked != nil && e.Yanked.To != nil {
			target[e.Yanked.To.String()] = true
		}
	}
	return target
}

// prune drops the oldest releases beyond keep. What says more than "on offer" stays: a client may still depend on it.
func prune(entries []release.Entry, keep int) []release.Entry {
	slices.SortFunc(entries, func(a, b release.Entry) int { return b.Version.Compare(a.Version) })
	target := yankTargets(entries)
	plain := 0
	return slices.DeleteFunc(entries, func(e release.Entry) bool {
		if e.Floor || e.Yanked != nil || e.Critical != nil || target[e.Version.String()] {
			return false
		}
		plain++
		return plain > keep
	})
}

// manifest returns the manifest of a release: the one that is there if it says the same, otherwise a new one.
func (p *Publisher) manifest(ctx context.Context, r *Release) (*release.Manifest, error) {
	versions, err := p.versions(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		// On a file system or a web server that does not tell cases apart, one would hide the other.
		if v.String() != r.Version.String() && strings.EqualFold(v.String(), r.Version.String()) {
			return nil, ui.Fail(ui.ExitError, "version %s differs from %s, which is there already, only by case: choose another version", r.Version, v)
		}
	}
	name := release.ManifestPath(r.Version)
	file, version, err := p.read(ctx, name, verify.TypeManifest)
	switch {
	case err == nil:
		return p.resume(ctx, file, version, r)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(r.Artifacts) == 0:
		return nil, p.noFiles(r.Version)
	}

	signers := p.of(p.trust.Release)
	if len(signers) == 0 {
		return nil, ui.Fail(ui.ExitError, "a release is signed by the release keys (%s), and none is here: give one with --key", ui.KeyIDs(p.trust.Release.All()))
	}
	m := r.manifest(p.app, p.now)
	if m.Artifacts, err = p.storeAll(ctx, r.Artifacts); err != nil {
		return nil, err
	}
	if m.Attachments, err = p.attach(ctx, r.Attachments); err != nil {
		return nil, err
	}
	if err := p.addDeltas(ctx, m, r); err != nil {
		return nil, err
	}
	if file, err = release.SignManifest(m, signers...); err != nil {
		return nil, err
	}
	if err := p.write(ctx, name, file, Nothing); err != nil {
		return nil, err
	}
	return p.quorum(name, file, r.Version)
}

// manifest is what the flags say of a release, without its files.
func (r *Release) manifest(app string, date time.Time) *release.Manifest {
	m := &release.Manifest{App: app, Version: r.Version, Date: date, Minimum: r.Minimum}
	if r.Notes != nil {
		m.Notes = *r.Notes
	}
	return m
}

// resume continues with a manifest that is there: nothing of it may differ from what is published now.
func (p *Publisher) resume(ctx context.Context, file []byte, version Version, r *Release) (*release.Manifest, error) {
	name := release.ManifestPath(r.Version)
	anyKey, err := verify.NewKeys(1, p.trust.Release.All()...)
	if err != nil {
		return nil, err
	}
	m, err := openManifest(file, anyKey, p.app, r.Version)
	if err != nil {
		return nil, fmt.Errorf("%s is there already: %w: restore it from your backup, or move it away", p.path(name), err)
	}
	if err := p.sameRelease(ctx, m, r); err != nil {
		return nil, err
	}
	if len(r.Artifacts) == 0 {
		// Without the files nothing here shows what this manifest stands for, and anyone who can write to the repository may
		// have put it there. It is offered with the signatures it already has, and gets no more.
		return p.quorum(name, file, r.Version)
	}
	if m, err := openManifest(file, p.trust.Release, p.app, r.Version); err == nil {
		return m, nil
	}
	// Too few have signed it, perhaps only a key that was stolen. Ours is added if nothing in it comes from elsewhere.
	if err := p.rebuild(ctx, m, file, r); err != nil {
		return nil, err
	}
	progress, err := anyKey.Progress(file)
	if err != nil {
		return nil, err
	}
	signed := file
	for _, s := range p.of(p.trust.Release) {
		if slices.ContainsFunc(progress.Signed, s.Key().Equal) {
			continue
		}
		if signed, err = verify.AddSignature(signed, s); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(signed, file) {
		if err := p.write(ctx, name, signed, version); err != nil {
			return nil, err
		}
	}
	return p.quorum(name, signed, r.Version)
}

func (r *Release) differs(m *release.Manifest, what string) error {
	return ui.Fail(ui.ExitRefused, "%s %s was published before with %s, and a release never changes: publish this as a new version", m.App, m.Version, what)
}

// sameRelease compares a manifest with what is said of it now, and puts back what the repository has lost of its files.
func (p *Publisher) sameRelease(ctx context.Context, m *release.Manifest, r *Release) error {
	if r.Notes != nil && m.Notes != *r.Notes {
		return r.differs(m, "other notes")
	}
	if r.Minimum != nil && (m.Minimum == nil || !m.Minimum.Equal(r.Minimum)) {
		return r.differs(m, "another minimum version")
	}
	for _, f := range r.Artifacts {
		i := slices.IndexFunc(m.Artifacts, func(a release.Artifact) bool { return a.Platform == f.Platform })
		if i < 0 {
			return r.differs(m, "no file for "+f.Platform.String())
		}
		if err := p.repair(ctx, f, m.Artifacts[i], func(what string) error { return r.differs(m, what) }); err != nil {
			return err
		}
	}
	if len(r.Artifacts) > 0 && len(r.Artifacts) < len(m.Artifacts) {
		return r.differs(m, "more platforms")
	}
	if len(r.Artifacts)+len(r.Attachments) > 0 {
		return p.sameAttachments(ctx, m, r)
	}
	return nil
}

// rebuild makes the text of a manifest again from local files, and refuses one that says anything else. Its date is taken
// over, and so are downloads from which the local files come out.
func (p *Publisher) rebuild(ctx context.Context, m *release.Manifest, file []byte, r *Release) error {
	again := r.manifest(p.app, m.Date)
	if m.Date.After(p.now.Add(time.Hour)) {
		return r.differs(m, "a date in the future")
	}
	for _, a := range m.Artifacts {
		for _, d := range a.Downloads {
			if err := p.leadsTo(ctx, d, a.File); err != nil {
				return ui.Fail(ui.ExitRefused, "%s %s has a download (%s) that was not made from these files: %w: publish this as a new version", m.App, m.Version, d.Path(), err)
			}
		}
		again.Artifacts = append(again.Artifacts, a)
	}
	var err error
	if again.Attachments, err = r.attached(ctx); err != nil {
		return err
	}
	throwaway, err := throwawaySigner()
	if err != nil {
		return err
	}
	rebuilt, err := release.SignManifest(again, throwaway)
	if err != nil {
		return err
	}
	text, _, err := verify.Split(rebuilt)
	if err != nil {
		return err
	}
	theirs, _, err := verify.Split(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(text, theirs) {
		return r.differs(m, "something that these flags do not say")
	}
	return nil
}

// throwawaySigner signs what is only compared. Its key is forgotten at once.
func throwawaySigner() (verify.Signer, error) {
	_, text, err := verify.GenerateKey(nil, "")
	if err != nil {
		return nil, err
	}
	private, err := verify.ParsePrivateKey(text)
	if err != nil {
		return nil, err
	}
	return private.Signer(time.Now()), nil
}

// quorum returns the manifest once enough release keys have signed it.
func (p *Publisher) quorum(name string, file []byte, version *semver.Version) (*release.Manifest, error) {
	m, err := openManifest(file, p.trust.Release, p.app, version)
	if errors.Is(err, verify.ErrThreshold) {
		text, _, _ := verify.Split(file)
		return nil, ui.Fail(ui.ExitError, "%s is stored, but %s of the release keys must sign it: have the others run 'theseus sign %s --key FILE --artifact OS/ARCH=FILE' with the same files (or --sha256 %s), then run this again: %w",
			p.path(name), ui.Plural(p.trust.Release.Threshold(), "holder"), p.path(name), verify.IDOf(text).SHA256, err)
	}
	return m, err
}

// openManifest opens the manifest of a version before any channel names its hash.
func openManifest(file []byte, keys verify.Keys, app string, v *semver.Version) (*release.Manifest, error) {
	text, _, err := verify.Split(file)
	if err != nil {
		return nil, err
	}
	return release.OpenManifest(file, keys, app, release.Entry{Version: v, Manifest: verify.IDOf(text)})
}

// repair compares a file with what an earlier publish said of it, and puts back what the repository has lost of it.
func (p *Publisher) repair(ctx context.Context, f Artifact, a release.Artifact, differs func(string) error) error {
	src, id, err := f.open(ctx)
	if err != nil {
		return err
	}
	src.Close()
	if id != a.File {
		return differs("other bytes for " + f.Platform.String())
	}
	for _, d := range a.Downloads {
		there, err := p.holds(ctx, d)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if d.Encoding == release.Delta {
			p.say(fmt.Sprintf("warning: a delta (%s) is lost: clients download the whole file instead; restore it from your backup", p.path(d.Path())))
			continue
		}
		if _, err := p.store(ctx, f); err != nil {
			return err
		}
		if there, err = p.holds(ctx, d); err != nil {
			return err
		}
		if !there {
			return ui.Fail(ui.ExitError, "%s is lost or damaged, and this version of theseus compresses differently from the one that made it: restore it from your backup", p.path(d.Path()))
		}
	}
	return nil
}

func reportArtifacts(m *release.Manifest) []ArtifactReport {
	var out []ArtifactReport
	for _, a := range m.Artifacts {
		d := a.Downloads[0]
		for _, other := range a.Downloads {
			if other.Encoding != release.Delta && other.Stored.Size < d.Stored.Size {
				d = other
			}
		}
		r := ArtifactReport{a.Platform.String(), a.File.Size, d.Stored.Size, d.Encoding, d.Path(), nil}
		for _, other := range a.Downloads {
			if other.Encoding == release.Delta {
				r.Deltas = append(r.Deltas, DeltaDownload{other.From.String(), other.Stored.Size, other.Path()})
			}
		}
		out = append(out, r)
	}
	return out
}
