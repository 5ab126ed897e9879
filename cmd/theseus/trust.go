package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

func trustCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "trust",
		Short: "Say who may sign what: the key ceremony",
		Long: `A trust document says which keys sign the next trust document, releases and channels, and how many of them it takes.
Version N+1 is signed by a threshold of the trust keys of version N and by a threshold of its own. A bare public key is
version 0. Clients follow from what they were built with, version by version: no new build is needed.

A ceremony has four steps: init writes a draft, the holders sign it (theseus sign), check shows it whole, says what it
changes and who still has to sign, publish puts it into the repository and makes it the root of theseus.yaml. Where one
key alone signs everything, rotate does all of that at once. doc/operations.md has a page for each occasion.

Every step begins with the root that you have pinned, in theseus.yaml or with --root, and with what follows from it.
Nothing is believed because it lies in the repository.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(trustInitCommand(), trustCheckCommand(), trustPublishCommand(), trustRotateCommand())
	return c
}

type trustInitOptions struct {
	projectFlags
	from, app, out, expires string
	roles                   [3]string // trust, release, channel: THRESHOLD:FILE,…
	json                    bool
}

func trustInitCommand() *cobra.Command {
	var o trustInitOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Write the draft of the next trust document",
		Long: `Writes the trust document that follows the newest one as plain JSON, to be edited and then signed. The newest one is what
follows from the root. The roles that are not given stay as they are. It is dated when it is written and clients refuse
it when it has expired: choose a time in which you will hold the next ceremony for certain.`,
		Example: `  theseus trust init --out trust-1 \
      --trust 2:alice.pub,bob.pub,carol.pub \
      --release 2:alice.pub,bob.pub,carol.pub --channel 1:ci.pub
  theseus trust init --root trust-1 --channel 1:ci2.pub --out trust-2`,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := trustInit(c.Context(), &o)
			if err != nil {
				return err
			}
			return ui.Result(o.json, map[string]any{"draft": o.out, "app": d.App, "trust": d.Version, "expires": d.Expires}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is the draft of trust document %d of %s. Edit it if you like, and have it signed: theseus sign %s --key FILE\n", o.out, d.Version, d.App, o.out)
				fmt.Fprintf(w, "What it says, and who still has to sign: theseus trust check %s\n", o.out)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.repo, "repo", "", "`DIR` of the repository (default: what theseus.yaml says)")
	o.addRoot(c)
	f.StringVar(&o.from, "from", "", "`FILE` that it should follow: fails if that is not what follows from the root; without a root, it is the root")
	f.StringVar(&o.app, "app", "", "`NAME` of the program (needed for version 1, if theseus.yaml does not say)")
	f.StringVar(&o.out, "out", "", "`FILE` to write, which must not be there yet")
	f.StringVar(&o.expires, "expires", "365d", "`TIME` that it holds")
	f.StringVar(&o.roles[0], "trust", "", "who signs the next trust document: `N:FILE,FILE…`, a threshold and public keys")
	f.StringVar(&o.roles[1], "release", "", "who signs releases: `N:FILE,FILE…`")
	f.StringVar(&o.roles[2], "channel", "", "who signs channels: `N:FILE,FILE…`")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

func trustInit(ctx context.Context, o *trustInitOptions) (*verify.TrustDraft, error) {
	if o.out == "" {
		return nil, ui.Usage("--out is missing: say which file to write")
	}
	lifetime, err := ui.ParseSpan(o.expires)
	if err != nil || lifetime < time.Minute || lifetime > publisher.LongestLifetime {
		return nil, ui.Usage("--expires %s: want a time from 1m to 3650d, for example 365d", o.expires)
	}
	if err := o.load(); err != nil {
		return nil, err
	}
	if known := o.projectFlags.app(); o.app != "" && known != "" && o.app != known {
		return nil, ui.Usage("--app %s: %s is about %s: leave --app out", o.app, publisher.ProjectFile, known)
	}
	old, err := o.newest(ctx, o.app, o.from)
	if err != nil {
		return nil, err
	}
	d := old.Draft()
	switch app := cmp.Or(o.app, o.projectFlags.app()); {
	case old.Version == 0 && app == "":
		return nil, ui.Usage("--app is missing: a bare key does not know whose it is")
	case old.Version == 0:
		d.App = app
	case o.app != "" && o.app != d.App:
		return nil, ui.Usage("--app %s: the trust document that this follows is of app %s: leave --app out", o.app, d.App)
	}
	if err := release.ValidApp(d.App); err != nil {
		return nil, ui.Usage("--app: %w", err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	d.Issued, d.Expires = verify.Time{Time: now}, verify.Time{Time: now.Add(lifetime)}
	for i, role := range []*verify.Role{&d.Trust, &d.Release, &d.Channel} {
		if o.roles[i] != "" {
			if *role, err = parseRole(o.roles[i]); err != nil {
				return nil, err
			}
		}
	}
	if err := d.Check(); err != nil {
		return nil, ui.Usage("%w", err)
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, err
	}
	return &d, writeNew(o.out, string(b)+"\n", 0o644, "a draft is not overwritten: choose another --out, or remove it")
}

// newest is the newest trust document that follows from the root. from, if not empty, names the file that a person expects
// it to be.
func (p *projectFlags) newest(ctx context.Context, app, from string) (*verify.Trust, error) {
	o, err := p.reader(app)
	if err != nil {
		return nil, err
	}
	var expected *verify.Trust
	if from != "" {
		if expected, err = readTrust(from); err != nil {
			return nil, err
		}
	}
	if o.Root == nil && expected != nil { // a person vouches for it
		o.Root = expected
	}
	newest, err := publisher.Newest(ctx, o)
	if err != nil {
		return nil, err
	}
	if expected != nil && !sameTrust(expected, newest) {
		return nil, ui.Fail(ui.ExitRefused, "%s is not what follows from the root, which is trust document %d: nothing is built on it; if it came from the repository, somebody exchanged it there", from, newest.Version)
	}
	return newest, nil
}

func sameTrust(a, b *verify.Trust) bool {
	if a.Version == 0 && b.Version == 0 {
		return a.Trust.All()[0].Equal(b.Trust.All()[0])
	}
	return a.Version == b.Version && a.ID() == b.ID()
}

// parseRole reads THRESHOLD:FILE,FILE… and names each key after its file.
func parseRole(s string) (r verify.Role, err error) {
	threshold, files, ok := strings.Cut(s, ":")
	if r.Threshold, err = strconv.Atoi(threshold); !ok || err != nil {
		return r, ui.Usage("%q is not N:FILE,FILE…, for example 2:alice.pub,bob.pub,carol.pub", s)
	}
	for _, path := range strings.Split(files, ",") {
		text, err := readRef(path)
		if err != nil {
			return r, err
		}
		key, err := verify.ParseKey(string(text))
		if err != nil {
			return r, ui.Usage("%s: %w", path, err)
		}
		r.Keys = append(r.Keys, verify.NamedKey{Key: key, Name: strings.TrimSuffix(filepath.Base(path), ".pub")})
	}
	return r, nil
}

func trustCheckCommand() *cobra.Command {
	var p projectFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [OLD] NEW",
		Short: "Show a trust document whole, say what it changes, and who still has to sign",
		Long: `Shows the trust document NEW, draft or signed, with every role whole and what changes marked: + for a key that is new,
- for one that goes. Keys are told apart by their fingerprints; names are whatever the writer of the draft chose. Read it
before you sign, and compare new fingerprints with their holders.

It is compared with the newest trust document that follows from the root (theseus.yaml, or --root). OLD, if given, must be
that one. Exit code: 0 if NEW is ready to be published, 1 if signatures are missing, 4 if it can never follow.`,
		Example: `  theseus trust check trust-2
  theseus trust check --root trust-1 trust-2`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := p.load(); err != nil {
				return err
			}
			r, err := trustCheck(c.Context(), &p, args)
			if err != nil {
				return err
			}
			if err := ui.Result(asJSON, r, r.Print); err != nil {
				return err
			}
			if !r.Ready {
				return ui.Silent(ui.ExitError)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&p.repo, "repo", "", "`DIR` of the repository (default: what theseus.yaml says)")
	p.addRoot(c)
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func trustCheck(ctx context.Context, p *projectFlags, args []string) (*publisher.TrustChange, error) {
	path := args[len(args)-1]
	file, err := readRefWithin(ctx, path)
	if err != nil {
		return nil, err
	}
	from := ""
	if len(args) == 2 {
		from = args[0]
		old, err := readTrust(from)
		if err != nil {
			return nil, err
		}
		if root, err := p.trust(); err == nil && root != nil && old.Version < root.Version {
			return publisher.CompareTrust(old, file, path, time.Now()) // of the past: nothing is built on it
		}
	}
	app := ""
	if draft, err := verify.ParseTrustDraft(file); err == nil {
		app = draft.App
	}
	old, err := p.newest(ctx, app, from)
	if err != nil {
		return nil, err
	}
	return publisher.CompareTrust(old, file, path, time.Now())
}

// changeOf is what a document that is a trust document does to the root; an error if it is none.
func changeOf(root *verify.Trust, file []byte, name string) (*publisher.TrustChange, error) {
	if root == nil {
		return nil, errors.New("no root")
	}
	return publisher.CompareTrust(root, file, name, time.Now())
}

type trustPublishOptions struct {
	editFlags
	from string
}

func trustPublishCommand() *cobra.Command {
	var o trustPublishOptions
	c := &cobra.Command{
		Use:   "publish FILE",
		Short: "Put a signed trust document into the repository, and sign the channels anew",
		Long: `Checks that the trust document follows from the root and is signed by all who must, that the releases on offer are signed
by enough of its release keys, then puts it into the repository and signs every channel with the given channel key, so that
clients learn of it at their next look and refuse every channel from before it. It becomes the root of theseus.yaml, if that
names this repository. To run it again after an interruption finishes it.

A channel that was signed elsewhere than theseus.lock knows is not taken over: whoever has the key that is being replaced
could have signed it. Look at it, and add --adopt if it is right.`,
		Example: `  theseus trust publish trust-1 --repo dl --root theseus.pub --key ci.key
  theseus trust publish trust-2 --key ci.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			done, err := trustPublish(c.Context(), &o, args[0])
			if err != nil {
				return err
			}
			return reportTrust(&o.editFlags, done)
		},
	}
	o.add(c)
	c.Flags().StringVar(&o.from, "from", "", "`FILE` with the public key that clients are built with: for version 1, in place of --root")
	return c
}

// reportTrust says what a new trust document came to.
func reportTrust(o *editFlags, done *publisher.PublishedTrust) error {
	t := done.Trust
	v := map[string]any{"app": t.App, "trust": t.Version, "expires": t.Expires, "channels": done.Channels}
	err := ui.Result(o.json, v, func(w io.Writer) {
		fmt.Fprintf(w, "Trust document %d of %s is published. It holds until %s: publish its successor before then.\n", t.Version, t.App, ui.Deadline(t.Expires))
		if o.project.Exists() && !o.another() {
			fmt.Fprintf(w, "It is the root of %s now: commit that, theseus.root and %s.\n", publisher.ProjectFile, publisher.LockFile)
		} else {
			fmt.Fprintln(w, "Keep it: it is what --root names from now on.")
		}
		for _, r := range done.Channels {
			fmt.Fprintln(w, o.deadline(r))
		}
	})
	if err == nil && len(done.Failed) > 0 {
		err = ui.Fail(ui.ExitError, "not every channel could be signed anew, and clients of the others get nothing until they are: %w", errors.Join(done.Failed...))
	}
	return err
}

func trustPublish(ctx context.Context, o *trustPublishOptions, path string) (*publisher.PublishedTrust, error) {
	file, err := readRefWithin(ctx, path)
	if err != nil {
		return nil, err
	}
	lifetime, err := o.lifetime()
	if err != nil {
		return nil, err
	}
	options, folder, err := o.options(ctx)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if o.from != "" {
		from, err := readTrust(o.from)
		switch {
		case err != nil:
			return nil, err
		case options.Root == nil:
			options.Root = from
		case from.Version >= options.Root.Version && !sameTrust(from, options.Root):
			return nil, ui.Fail(ui.ExitRefused, "--from %s is not the root that %s names: leave it out, or give --root", o.from, publisher.ProjectFile)
		}
	}
	if draft, err := verify.ParseTrustDraft(file); err == nil && options.App == "" {
		options.App = draft.App
	}
	done, err := publisher.PublishTrust(ctx, options, file, path, lifetime)
	if err != nil {
		return nil, err
	}
	if len(done.Failed) > 0 {
		return done, nil // the old keys are needed once more
	}
	return done, o.moveRoot(done.Trust, "")
}

type trustRotateOptions struct {
	editFlags
	to, replace, out, holds string
}

func trustRotateCommand() *cobra.Command {
	var o trustRotateOptions
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Replace one key by another, in every role and in one step",
		Long: `Makes the next trust document with a new key in the place of an old one, signs it with the keys that are here, has the
releases on offer signed by the new key too, and publishes: the whole ceremony, where the old key and the new one are in
the same hands. The signed document is kept in the working folder as trust-N. To run it again after an interruption
finishes it. If more holders must sign, it stops there and says who.`,
		Example: `  theseus keygen --out theseus-2
  theseus trust rotate --to theseus-2.pub --key theseus.key --key theseus-2.key`,
		RunE: func(c *cobra.Command, _ []string) error {
			done, err := trustRotate(c.Context(), &o)
			if err != nil {
				return err
			}
			return reportTrust(&o.editFlags, done)
		},
	}
	o.add(c)
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "`FILE` with the new public key")
	f.StringVar(&o.replace, "replace", "", "`FILE` with the public key that it replaces (default: the only one there is)")
	f.StringVar(&o.out, "out", "", "`FILE` for the signed trust document (default: trust-N)")
	f.StringVar(&o.holds, "holds", "365d", "`TIME` that the trust document holds")
	return c
}

func trustRotate(ctx context.Context, o *trustRotateOptions) (*publisher.PublishedTrust, error) {
	if o.to == "" {
		return nil, ui.Usage("--to is missing: give the public key that is new (theseus keygen makes a pair)")
	}
	to, err := readKey(o.to)
	if err != nil {
		return nil, err
	}
	holds, err := ui.ParseSpan(o.holds)
	if err != nil || holds < time.Minute || holds > publisher.LongestLifetime {
		return nil, ui.Usage("--holds %s: want a time from 1m to 3650d, for example 365d", o.holds)
	}
	lifetime, err := o.lifetime()
	if err != nil {
		return nil, err
	}
	options, folder, err := o.options(ctx)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	r := publisher.Rotation{To: verify.NamedKey{Key: to, Name: strings.TrimSuffix(filepath.Base(o.to), ".pub")}, Holds: holds}
	if o.replace != "" {
		old, err := readKey(o.replace)
		if err != nil {
			return nil, err
		}
		r.Replace = &old
	}
	r.Keep = func(version int, made []byte) (kept []byte, err error) {
		path := cmp.Or(o.out, fmt.Sprintf("trust-%d", version))
		if kept, err := readRefWithin(ctx, path); err == nil {
			return kept, nil
		}
		if made == nil {
			return nil, fs.ErrNotExist
		}
		return made, writeNew(path, string(made), 0o644, "choose another --out, or remove it")
	}
	done, err := publisher.Rotate(ctx, options, r, lifetime)
	if err != nil {
		return nil, err
	}
	if len(done.Failed) > 0 {
		return done, nil
	}
	key := ""
	for i, s := range options.Signers {
		if s.Key().Equal(to) && o.keys.keys[i] != "-" {
			key = o.keys.keys[i]
		}
	}
	return done, o.moveRoot(done.Trust, key)
}

// moveRoot makes a trust document the project's root, unless it is of another repository than the project's.
func (e *editFlags) moveRoot(t *verify.Trust, key string) error {
	if e.another() {
		return nil
	}
	return e.project.MoveRoot(t, key)
}

func readKey(path string) (verify.Key, error) {
	text, err := readRef(path)
	if err != nil {
		return verify.Key{}, err
	}
	key, err := verify.ParseKey(string(text))
	if err != nil {
		return verify.Key{}, ui.Usage("%s: %w", path, err)
	}
	return key, nil
}
