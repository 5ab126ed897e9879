// Package audit looks at a repository as clients do, by the code that clients use: it checks every document and every byte
// that can be downloaded, says where a client of some version would get to, and packs bundles.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/remote"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Options say what is looked at, and by whose keys.
type Options struct {
	Repo      string        // folder, URL or bundle
	Root      *verify.Trust // what the program is built with
	App       string        // "" for what root or the first channel says
	Channels  []string      // none: all of a folder or bundle, stable of a URL
	As        []string      // clients to be, for Replay
	Within    time.Duration // also fail if something expires within this time; 0: do not
	AllowHTTP bool
	Memory    *publisher.Memory // what was signed before; nil: nothing is known
}

// A Report is what a look at a repository found.
type Report struct {
	OK     bool    `json:"ok"`
	Repo   string  `json:"repo"`
	App    string  `json:"app"`
	Checks []Check `json:"checks"`
	within time.Duration
}

// Check is the verdict on one file of the repository.
type Check struct {
	Name   string `json:"name"` // path in the repository
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	err    error
}

func (r *Report) add(name, detail string, err error) {
	c := Check{Name: name, OK: err == nil, Detail: detail, err: err}
	if err != nil {
		c.Detail = ui.OneLine(ui.Sentence(err))
	}
	r.Checks = append(r.Checks, c)
}

func (r *Report) Print(w io.Writer) {
	ui.Table(w, func(w io.Writer) {
		for _, c := range r.Checks {
			verdict := "ok"
			if !c.OK {
				verdict = "FAIL"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, shorten(c.Name), c.Detail)
		}
	})
	if r.OK {
		fmt.Fprintf(w, "%s: %s checked, all as signed.\n", r.App, ui.Plural(len(r.Checks), "file"))
		return
	}
	bad := 0
	for _, c := range r.Checks {
		if !c.OK {
			bad++
		}
	}
	fmt.Fprintf(w, "%s: %d of %s would be refused by clients%s.\n", r.App, bad, ui.Plural(len(r.Checks), "file"), r.when())
}

// when says that some of it is still to come.
func (r *Report) when() string {
	if r.within == 0 {
		return ""
	}
	return ", now or within " + ui.Span(r.within)
}

// shorten keeps a name with a hash in it readable.
func shorten(name string) string {
	if hash, ok := strings.CutPrefix(name, "files/"); ok && len(hash) >= 64 {
		return "files/" + hash[:12] + "…" + hash[64:]
	}
	return name
}

// Exit turns the verdicts into the exit code: that of the first that failed.
func (r *Report) Exit() error {
	for _, c := range r.Checks {
		if c.err != nil {
			return ui.Silent(ui.ExitCode(c.err))
		}
	}
	return nil
}

// A verifier walks through a repository and writes down what it finds.
type verifier struct {
	*Report
	src   *remote.Source
	docs  catalog.Documents
	clock release.Clock
	seen  map[string]bool   // files checked already: channels share releases, releases share files
	home  map[string]string // the release that a file was found with

	whole    map[verify.Digest]release.Artifact // whole files by what they hold
	promises []promise                          // deltas to apply when all whole files are known

	channels []string
	walked   []*verify.Trust // the trust documents that follow from the root
	memory   *publisher.Memory
}

// Verify checks all that clients could be served.
func Verify(ctx context.Context, o Options) (*Report, error) {
	v, err := newVerifier(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Memory != nil && o.Memory.App == v.App {
		v.lost(ctx, o)
	}
	for _, name := range v.channels {
		if err := v.channel(ctx, name); err != nil {
			return nil, err
		}
	}
	if lists := v.src.Store(); lists != nil && len(o.Channels) == 0 {
		if err := v.rest(ctx, lists); err != nil {
			return nil, err
		}
	}
	if err := v.applyDeltas(ctx); err != nil {
		return nil, err
	}
	v.OK = v.Exit() == nil
	return v.Report, nil
}

// Replay says where clients would get to.
func Replay(ctx context.Context, o Options) (*Replayed, error) {
	v, err := newVerifier(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, c := range v.Checks {
		if c.err != nil {
			return nil, c.err
		}
	}
	if len(v.channels) > 1 {
		return nil, ui.Usage("there are the channels %s: say with --channel which one the client follows", strings.Join(v.channels, ", "))
	}
	c, _, err := v.docs.Channel(ctx, v.channels[0], nil)
	if err == nil {
		err = c.Fresh(v.clock)
	}
	if err != nil {
		return nil, err
	}
	return v.replay(ctx, c, o.As)
}

// newVerifier opens the source and walks through its trust documents.
func newVerifier(ctx context.Context, o Options) (*verifier, error) {
	v := &verifier{
		Report:   &Report{within: o.Within, Repo: o.Repo, App: o.App},
		clock:    release.Clock{Wall: time.Now().UTC()},
		seen:     map[string]bool{},
		home:     map[string]string{},
		whole:    map[verify.Digest]release.Artifact{},
		channels: o.Channels,
		memory:   o.Memory,
	}
	for _, name := range o.Channels {
		if err := release.ValidChannel(name); err != nil {
			return nil, ui.Usage("--channel: %w", err)
		}
	}
	var err error
	if v.src, err = remote.OpenSource(ctx, o.Repo, o.AllowHTTP); err != nil {
		return nil, err
	}
	if len(v.channels) == 0 {
		v.channels = v.src.Channels()
	}
	if len(v.channels) == 0 {
		return nil, ui.Fail(ui.ExitError, "%s has no channel: give what was published into", o.Repo)
	}
	if err := v.settleApp(ctx, o.Root, v.channels[0]); err != nil {
		return nil, err
	}
	v.docs = catalog.Documents{Source: v.src, App: v.App, Trust: o.Root}
	return v, v.walkTrust(ctx)
}

// settleApp finds out which app this should be: from the flag, from the trust document, or else by the first channel's own
// word, with which all other documents are then compared.
func (v *verifier) settleApp(ctx context.Context, root *verify.Trust, channel string) error {
	if v.App == "" {
		v.App = root.App
	}
	if v.App != "" {
		return nil
	}
	_, err := v.src.Document(ctx, channel, verify.TypeChannel.MaxSize(), nil, func(b []byte) error {
		claimed, err := publisher.Peek(b)
		if err == nil {
			v.App = claimed.App
		}
		return err
	})
	return err
}

func (v *verifier) walkTrust(ctx context.Context) error {
	followed, err := v.docs.Walk(ctx)
	v.walked = followed
	for _, t := range followed {
		v.add(release.TrustPath(t.Version), fmt.Sprintf("follows from what came before; expires %s", ui.Deadline(t.Expires)), v.soon(t.Expires))
	}
	switch last := v.docs.Trust; {
	case err != nil:
		v.add(release.TrustPath(last.Version+1), "", err)
	case last.Expired(v.clock.Now()):
		v.add(release.TrustPath(last.Version), "", fmt.Errorf("%w on %s: clients refuse everything until its successor is published (theseus trust init)", release.ErrExpired, ui.Deadline(last.Expires)))
	}
	return ctx.Err()
}

// lost looks for what was signed and is not served any more: nothing that is there would show that it is missing.
func (v *verifier) lost(ctx context.Context, o Options) {
	if len(o.Channels) == 0 {
		for name, known := range v.memory.Channels {
			if known.Sequence > 0 && !slices.Contains(v.channels, name) {
				v.channels = append(v.channels, name)
			}
		}
		slices.Sort(v.channels)
	}
	followed := map[int]bool{}
	for _, t := range v.walked {
		followed[t.Version] = true
	}
	for _, n := range slices.Sorted(maps.Keys(v.memory.Trust)) {
		if followed[n] {
			continue
		}
		name := release.TrustPath(n)
		_, err := v.src.Document(ctx, name, verify.TypeTrust.MaxSize(), nil, func(file []byte) error {
			if publisher.Identity(file).SHA256 != v.memory.Trust[n] {
				return ui.Fail(ui.ExitRefused, "it is not the document that was followed when it was published: restore it from your backup")
			}
			return nil
		})
		if errors.Is(err, fetch.ErrNotFound) {
			err = ui.Fail(ui.ExitRefused, "it was removed, and clients that were built before it cannot follow: restore it from your backup (and theseus push), or theseus trust publish FILE")
		}
		v.add(name, "leads to what is trusted here", err)
	}
}

// soon says that something expires within the time that the person asked for.
func (v *verifier) soon(expires time.Time) error {
	if left := expires.Sub(v.clock.Wall); v.within > 0 && left > 0 && left < v.within {
		return fmt.Errorf("%w soon: in %s, on %s: run theseus refresh", release.ErrExpired, ui.Span(left), ui.Deadline(expires))
	}
	return nil
}

func (v *verifier) channel(ctx context.Context, name string) error {
	c, _, err := v.docs.Channel(ctx, name, nil)
	if known := v.known(name); errors.Is(err, fetch.ErrNotFound) && known > 0 {
		err = ui.Fail(ui.ExitRefused, "it was removed, and sequence %d of it was signed: restore it from your backup, or theseus push", known)
	}
	if err != nil {
		v.add(name, "", err)
		return ctx.Err()
	}
	detail := fmt.Sprintf("sequence %d, %s, signed by %s, expires %s", c.Sequence, ui.Plural(len(c.Entries), "release"), ui.KeyIDs(c.Signers), ui.Deadline(c.Expires))
	err = c.Fresh(v.clock)
	if err == nil {
		err = v.soon(c.Expires)
	}
	if err == nil && c.Trust > v.docs.Trust.Version {
		err = ui.Fail(ui.ExitRefused, "names trust document %d, and the last one that follows from the given key is %d: publish those between", c.Trust, v.docs.Trust.Version)
	}
	if err == nil && v.memory != nil {
		err = v.memory.Judge(c)
	}
	v.add(name, detail, err)
	for _, e := range c.Entries {
		if err := v.manifest(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// known is the sequence of a channel that was signed here last; 0 if none was.
func (v *verifier) known(name string) int64 {
	if v.memory == nil || v.memory.App != v.App || v.memory.Channels[name] == nil {
		return 0
	}
	return v.memory.Channels[name].Sequence
}

func (v *verifier) manifest(ctx context.Context, e release.Entry) error {
	name := release.ManifestPath(e.Version)
	if v.seen[name+e.Manifest.SHA256.String()] {
		return nil
	}
	v.seen[name+e.Manifest.SHA256.String()] = true
	m, _, err := v.docs.Manifest(ctx, e)
	if err != nil {
		v.add(name, "", missing(err))
		return ctx.Err()
	}
	v.add(name, fmt.Sprintf("%s, %s", ui.Date(m.Date), ui.Plural(len(m.Artifacts), "platform")), nil)
	for _, a := range m.Artifacts {
		v.whole[a.File.SHA256] = a
		for _, d := range a.Downloads {
			if v.seen[d.Path()] {
				continue
			}
			v.seen[d.Path()] = true
			v.home[d.Path()] = m.Version.String()
			detail := fmt.Sprintf("%s %s, %s", m.Version, a.Platform, ui.Bytes(d.Stored.Size))
			if d.Encoding != "" {
				detail += " (" + d.Encoding + ", " + ui.Bytes(a.File.Size) + " unpacked)"
			}
			if d.From != nil {
				v.promises = append(v.promises, promise{d, a.File, detail})
				continue
			}
			err := v.file(ctx, a, d)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			v.add(d.Path(), detail, missing(err))
		}
	}
	for _, a := range m.Attachments {
		if v.seen[a.Path()] {
			continue
		}
		v.seen[a.Path()], v.home[a.Path()] = true, m.Version.String()
		f, err := v.stored(ctx, release.Download{Stored: a.File})
		if err == nil {
			discard(f)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v.add(a.Path(), fmt.Sprintf("%s %s, %s", m.Version, a.Name, ui.Bytes(a.File.Size)), missing(err))
	}
	return nil
}

// missing turns "not found" for a file that a signed document names into a fault of the repository. It does not mean that
// the server cannot be reached.
func missing(err error) error {
	if errors.Is(err, fetch.ErrNotFound) {
		return ui.Fail(ui.ExitRefused, "it is not there: publish this release again with the same files, which puts it back: %w", err)
	}
	return err
}

// file downloads what a client would, and unpacks it to see that the signed file comes out.
func (v *verifier) file(ctx context.Context, a release.Artifact, d release.Download) error {
	f, err := v.stored(ctx, d)
	if err != nil {
		return err
	}
	defer discard(f)
	if d.Encoding != release.Zstd {
		return nil // the stored bytes are the file: a manifest cannot say otherwise
	}
	out, err := os.CreateTemp("", "theseus-verify-")
	if err != nil {
		return err
	}
	defer discard(out)
	if err := fetch.Unpack(ctx, out, f, a.File); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("unpacking: %w: %w: publish this as a new version", fetch.ErrHash, err)
	}
	return nil
}

// rest checks the manifests of a folder that no channel names: releases that wait for promotion.
func (v *verifier) rest(ctx context.Context, r store.Store) error {
	objects, err := r.List(ctx, "releases")
	if err != nil {
		return err
	}
	var versions []*semver.Version
	for _, n := range store.Names(objects) {
		if text, ok := strings.CutSuffix(n, ".manifest"); ok {
			if version, err := release.ParseVersion(text); err == nil {
				versions = append(versions, version)
			}
		}
	}
	slices.SortFunc(versions, func(a, b *semver.Version) int { return b.Compare(a) })
	for _, version := range versions {
		name := release.ManifestPath(version)
		var entry release.Entry
		_, err := v.src.Document(ctx, name, verify.TypeManifest.MaxSize(), nil, func(b []byte) error {
			text, _, err := verify.Split(b)
			entry = release.Entry{Version: version, Manifest: verify.IDOf(text)}
			return err
		})
		if err != nil {
			v.add(name, "", err)
			continue
		}
		if err := v.manifest(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}
