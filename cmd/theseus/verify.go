package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

type verifyOptions struct {
	repo, key, app string
	channels       []string
	as             []string
	within         string
	allowHTTP      bool
	json           bool
}

func verifyCommand() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check a repository as a client would: signatures, dates, and every byte that can be downloaded",
		Long: `Checks a repository, in a folder or behind a URL, by the code that clients use: the trust documents from the given key
on, each channel, each manifest that a channel names, and each file that a manifest names, which is downloaded, unpacked
and hashed. Of a folder everything in it is checked; of a URL the channels that are named.

With --as it is a client of that platform and version instead, and takes one update after the other until there is no
other: so a publisher finds out who is stuck before they do. --as all asks for every platform of every release on offer.

Exit code: 0 all is well, 3 a client of --as is stuck, 4 something does not hold, 5 the source does not answer.`,
		Example: `  theseus verify --repo dl --key theseus.pub
  theseus verify --repo https://dl.example.com/hello --key theseus.pub \
      --channel stable --expires-within 14d
  theseus verify --repo dl --key theseus.pub --as linux/amd64@1.0.0
  theseus verify --repo hello.bundle --key theseus.pub`,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(o.as) > 0 {
				r, err := replayRepo(c.Context(), &o)
				if err != nil {
					return err
				}
				if err := result(o.json, r, r.print); err != nil || r.OK {
					return err
				}
				return errSilent(exitNothing)
			}
			r, err := verifyRepo(c.Context(), &o)
			if err != nil {
				return err
			}
			if err := result(o.json, r, r.print); err != nil {
				return err
			}
			return r.exit()
		},
	}
	f := c.Flags()
	f.StringVar(&o.repo, "repo", "", "`DIR, URL or bundle` to check")
	f.StringVar(&o.key, "key", "", "`FILE` with what the program is built with: a public key or a trust document")
	f.StringVar(&o.app, "app", "", "`NAME` of the program (default: what the first channel says)")
	f.StringArrayVar(&o.channels, "channel", nil, "`NAME` of a channel (default: all of a folder, stable of a URL)")
	f.StringArrayVar(&o.as, "as", nil, "say where a client of this `OS/ARCH[/VARIANT]@VERSION` would get to, or all")
	f.StringVar(&o.within, "expires-within", "", "also fail if something expires within this `TIME`, for example 14d: for monitoring")
	addHTTP(c, &o.allowHTTP)
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

// addHTTP adds the flag of every verb that reads a repository which may be on another machine.
func addHTTP(c *cobra.Command, allow *bool) {
	c.Flags().BoolVar(allow, "allow-http", false, "plain http to other machines too: what is signed is still checked, who listens can see and withhold it")
}

type verifyReport struct {
	OK     bool    `json:"ok"`
	Repo   string  `json:"repo"`
	App    string  `json:"app"`
	Checks []check `json:"checks"`
	within string
}

// check is the verdict on one file of the repository.
type check struct {
	Name   string `json:"name"` // path in the repository
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	err    error
}

func (r *verifyReport) add(name, detail string, err error) {
	c := check{Name: name, OK: err == nil, Detail: detail, err: err}
	if err != nil {
		c.Detail = oneLine(sentence(err))
	}
	r.Checks = append(r.Checks, c)
}

func (r *verifyReport) print(w io.Writer) {
	table(w, func(w io.Writer) {
		for _, c := range r.Checks {
			verdict := "ok"
			if !c.OK {
				verdict = "FAIL"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, shorten(c.Name), c.Detail)
		}
	})
	if r.OK {
		fmt.Fprintf(w, "%s: %s checked, all as signed.\n", r.App, plural(len(r.Checks), "file"))
		return
	}
	bad := 0
	for _, c := range r.Checks {
		if !c.OK {
			bad++
		}
	}
	fmt.Fprintf(w, "%s: %d of %s would be refused by clients%s.\n", r.App, bad, plural(len(r.Checks), "file"), r.when())
}

// when says that some of it is still to come.
func (r *verifyReport) when() string {
	if r.within == "" {
		return ""
	}
	return ", now or within " + r.within
}

// shorten keeps a name with a hash in it readable.
func shorten(name string) string {
	if hash, ok := strings.CutPrefix(name, "files/"); ok && len(hash) >= 64 {
		return "files/" + hash[:12] + "…" + hash[64:]
	}
	return name
}

// exit turns the verdicts into the exit code: that of the first that failed.
func (r *verifyReport) exit() error {
	for _, c := range r.Checks {
		if c.err != nil {
			return errSilent(exitCode(c.err))
		}
	}
	return nil
}

// A verifier walks through a repository and writes down what it finds.
type verifier struct {
	*verifyReport
	src    *source
	trust  *verify.Trust
	clock  release.Clock
	within time.Duration
	seen   map[string]bool // files checked already: channels share releases, releases share files

	whole    map[verify.Digest]release.Artifact // whole files by what they hold
	promises []promise                          // deltas to apply when all whole files are known

	channels []string
	walked   []*verify.Trust // the trust documents that follow from the given key
}

func verifyRepo(ctx context.Context, o *verifyOptions) (*verifyReport, error) {
	v, err := newVerifier(ctx, o)
	if err != nil {
		return nil, err
	}
	defer v.src.close()
	for _, name := range v.channels {
		if err := v.channel(ctx, name); err != nil {
			return nil, err
		}
	}
	if v.src.folder != nil && len(o.channels) == 0 {
		if err := v.rest(ctx, v.src.folder); err != nil {
			return nil, err
		}
	}
	if err := v.applyDeltas(ctx); err != nil {
		return nil, err
	}
	v.OK = v.exit() == nil
	return v.verifyReport, nil
}

// replayRepo is verify --as.
func replayRepo(ctx context.Context, o *verifyOptions) (*replayReport, error) {
	v, err := newVerifier(ctx, o)
	if err != nil {
		return nil, err
	}
	defer v.src.close()
	for _, c := range v.Checks {
		if c.err != nil {
			return nil, c.err
		}
	}
	if len(v.channels) > 1 {
		return nil, usage("there are the channels %s: say with --channel which one the client follows", strings.Join(v.channels, ", "))
	}
	c, err := v.open(ctx, v.channels[0])
	if err == nil {
		err = c.Fresh(v.clock)
	}
	if err != nil {
		return nil, err
	}
	return v.replay(ctx, c, o.as)
}

// newVerifier opens the source and walks through its trust documents.
func newVerifier(ctx context.Context, o *verifyOptions) (*verifier, error) {
	v := &verifier{
		verifyReport: &verifyReport{within: o.within, Repo: o.repo, App: o.app},
		clock:        release.Clock{Wall: time.Now().UTC()},
		seen:         map[string]bool{},
		whole:        map[verify.Digest]release.Artifact{},
		channels:     o.channels,
	}
	var err error
	if o.within != "" {
		if v.within, err = parseSpan(o.within); err != nil || v.within <= 0 {
			return nil, usage("--expires-within %s: want a time, for example 14d", o.within)
		}
	}
	for _, name := range o.channels {
		if err := release.ValidChannel(name); err != nil {
			return nil, usage("--channel: %w", err)
		}
	}
	if v.trust, err = readTrust(o.key); err != nil {
		return nil, err
	}
	if v.src, err = openSource(o.repo, o.allowHTTP); err != nil {
		return nil, err
	}
	if len(v.channels) == 0 {
		v.channels = v.src.channels
	}
	if len(v.channels) == 0 {
		err = fail(exitError, "%s has no channel: give what was published into", o.repo)
	}
	if err == nil {
		err = v.settleApp(ctx, v.channels[0])
	}
	if err == nil {
		err = v.walkTrust(ctx)
	}
	if err != nil {
		v.src.close()
		return nil, err
	}
	return v, nil
}

// settleApp finds out which app this should be: from the flag, from the trust document, or else by the first channel's own
// word, to which all other documents are then held.
func (v *verifier) settleApp(ctx context.Context, channel string) error {
	if v.App == "" {
		v.App = v.trust.App
	}
	if v.App != "" {
		return nil
	}
	return document(ctx, v.src, channel, verify.TypeChannel.MaxSize(), func(b []byte) error {
		claimed, err := peek(b)
		if err == nil {
			v.App = claimed.App
		}
		return err
	})
}

// maxRotations is how many trust documents a client walks through in one check.
const maxRotations = 256

func (v *verifier) walkTrust(ctx context.Context) error {
	for range maxRotations {
		name := release.TrustPath(v.trust.Version + 1)
		var next *verify.Trust
		err := document(ctx, v.src, name, verify.TypeTrust.MaxSize(), func(b []byte) (err error) {
			next, err = v.trust.Next(b, v.App)
			return err
		})
		switch {
		case errors.Is(err, fetch.ErrNotFound):
			if v.trust.Expired(v.clock.Now()) {
				v.add(release.TrustPath(v.trust.Version), "", fmt.Errorf("%w on %s: clients refuse everything until its successor is published (theseus trust init)", release.ErrExpired, dateText(v.trust.Expires)))
			}
			return nil
		case err != nil:
			v.add(name, "", err)
			return ctx.Err()
		}
		v.trust, v.walked = next, append(v.walked, next)
		v.add(name, fmt.Sprintf("follows from what came before; expires %s", dateText(next.Expires)), v.soon(next.Expires))
	}
	return nil
}

// soon says that something expires within the time that the person asked for.
func (v *verifier) soon(expires time.Time) error {
	if left := expires.Sub(v.clock.Wall); v.within > 0 && left > 0 && left < v.within {
		return fmt.Errorf("%w soon: in %s, on %s: run theseus refresh", release.ErrExpired, spanText(left), dateText(expires))
	}
	return nil
}

func (v *verifier) open(ctx context.Context, name string) (c *release.Channel, err error) {
	err = document(ctx, v.src, name, verify.TypeChannel.MaxSize(), func(b []byte) (err error) {
		c, err = release.OpenChannel(b, v.trust.Channel, v.App, name)
		return err
	})
	return c, err
}

func (v *verifier) channel(ctx context.Context, name string) error {
	c, err := v.open(ctx, name)
	if err != nil {
		v.add(name, "", err)
		return ctx.Err()
	}
	detail := fmt.Sprintf("sequence %d, %s, signed by %s, expires %s", c.Sequence, plural(len(c.Entries), "release"), keyIDs(c.Signers), dateText(c.Expires))
	err = c.Fresh(v.clock)
	if err == nil {
		err = v.soon(c.Expires)
	}
	if err == nil && c.Trust > v.trust.Version {
		err = fail(exitRefused, "names trust document %d, and the last one that follows from the given key is %d: publish those between", c.Trust, v.trust.Version)
	}
	v.add(name, detail, err)
	for _, e := range c.Entries {
		if err := v.manifest(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) manifest(ctx context.Context, e release.Entry) error {
	name := release.ManifestPath(e.Version)
	if v.seen[name+e.Manifest.SHA256.String()] {
		return nil
	}
	v.seen[name+e.Manifest.SHA256.String()] = true
	var m *release.Manifest
	err := document(ctx, v.src, name, verify.TypeManifest.MaxSize(), func(b []byte) (err error) {
		m, err = release.OpenManifest(b, v.trust.Release, v.App, e)
		return err
	})
	if err != nil {
		v.add(name, "", missing(err))
		return ctx.Err()
	}
	v.add(name, fmt.Sprintf("%s, %s", dateText(m.Date), plural(len(m.Artifacts), "platform")), nil)
	for _, a := range m.Artifacts {
		v.whole[a.File.SHA256] = a
		for _, d := range a.Downloads {
			if v.seen[d.Path()] {
				continue
			}
			v.seen[d.Path()] = true
			detail := fmt.Sprintf("%s %s, %s", m.Version, a.Platform, bytesText(d.Stored.Size))
			if d.Encoding != "" {
				detail += " (" + d.Encoding + ", " + bytesText(a.File.Size) + " unpacked)"
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
	return nil
}

// missing: a file that a signed document names and that is not there is a repository that does not hold, not a server
// that does not answer.
func missing(err error) error {
	if errors.Is(err, fetch.ErrNotFound) {
		return fail(exitRefused, "it is not there: publish this release again with the same files, which puts it back: %w", err)
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
	z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	id, err := identify(ctxReader{ctx, z}, a.File.Size)
	if err != nil {
		return fmt.Errorf("unpacking: %w: %w: publish this as a new version", fetch.ErrHash, err)
	}
	if id != a.File {
		return fmt.Errorf("unpacks to something else than the signed file: %w: publish this as a new version", fetch.ErrHash)
	}
	return nil
}

// rest checks the manifests of a folder that no channel names: releases that wait for promotion.
func (v *verifier) rest(ctx context.Context, r *repo) error {
	versions, err := r.versions()
	if err != nil {
		return err
	}
	slices.SortFunc(versions, func(a, b *semver.Version) int { return b.Compare(a) })
	for _, version := range versions {
		name := release.ManifestPath(version)
		file, err := r.read(name, verify.TypeManifest.MaxSize())
		if err != nil {
			v.add(name, "", err)
			continue
		}
		text, _, err := verify.Split(file)
		if err != nil {
			v.add(name, "", err)
			continue
		}
		if err := v.manifest(ctx, release.Entry{Version: version, Manifest: verify.IDOf(text)}); err != nil {
			return err
		}
	}
	return nil
}
