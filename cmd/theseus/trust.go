package main

import (
	"bytes"
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

A ceremony has four steps: init writes a draft, the holders sign it (theseus sign), check says in words what it changes
and who still has to sign, publish puts it into the repository. doc/operations.md has a page for each occasion.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(trustInitCommand(), trustCheckCommand(), trustPublishCommand())
	return c
}

type trustInitOptions struct {
	from, app, out, expires string
	roles                   [3]string // trust, release, channel: THRESHOLD:FILE,…
	json                    bool
}

func trustInitCommand() *cobra.Command {
	var o trustInitOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Write the draft of the next trust document",
		Long: `Writes the trust document that follows the given one as plain JSON, to be edited and then signed. The roles that are not
given stay as they are. It is dated when it is written and clients refuse it when it has expired: choose a time in
which you will hold the next ceremony for certain.`,
		Example: `  theseus trust init --from theseus.pub --app hello --out trust-1 \
      --trust 2:alice.pub,bob.pub,carol.pub \
      --release 2:alice.pub,bob.pub,carol.pub --channel 1:ci.pub
  theseus trust init --from dl/trust/1 --channel 1:ci2.pub --out trust-2`,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := trustInit(&o)
			if err != nil {
				return err
			}
			return result(o.json, map[string]any{"draft": o.out, "app": d.App, "trust": d.Version, "expires": d.Expires}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is the draft of trust document %d of %s. Edit it if you like, and have it signed: theseus sign %s --key FILE\n", o.out, d.Version, d.App, o.out)
				fmt.Fprintf(w, "What it changes, and who still has to sign: theseus trust check %s %s\n", o.from, o.out)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "`FILE` that it follows: the newest trust document, or the public key if there is none yet")
	f.StringVar(&o.app, "app", "", "`NAME` of the program (needed for version 1)")
	f.StringVar(&o.out, "out", "", "`FILE` to write, which must not be there yet")
	f.StringVar(&o.expires, "expires", "365d", "`TIME` that it holds")
	f.StringVar(&o.roles[0], "trust", "", "who signs the next trust document: `N:FILE,FILE…`, a threshold and public keys")
	f.StringVar(&o.roles[1], "release", "", "who signs releases: `N:FILE,FILE…`")
	f.StringVar(&o.roles[2], "channel", "", "who signs channels: `N:FILE,FILE…`")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

func trustInit(o *trustInitOptions) (*verify.TrustDraft, error) {
	if o.from == "" || o.out == "" {
		return nil, usage("--from and --out are needed: see 'theseus trust init --help'")
	}
	lifetime, err := parseSpan(o.expires)
	if err != nil || lifetime < time.Minute || lifetime > longestLifetime {
		return nil, usage("--expires %s: want a time from 1m to 3650d, for example 365d", o.expires)
	}
	old, err := readTrust(o.from)
	if err != nil {
		return nil, err
	}
	d := old.Draft()
	switch {
	case old.Version == 0 && o.app == "":
		return nil, usage("--app is missing: a bare key does not know whose it is")
	case old.Version == 0:
		d.App = o.app
	case o.app != "" && o.app != d.App:
		return nil, usage("--app %s: %s is of app %s: leave --app out", o.app, o.from, d.App)
	}
	if err := release.ValidApp(d.App); err != nil {
		return nil, usage("--app: %w", err)
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
		return nil, usage("%w", err)
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, err
	}
	return &d, writeNew(o.out, string(b)+"\n", 0o644, "a draft is not overwritten: choose another --out, or remove it")
}

// parseRole reads THRESHOLD:FILE,FILE… and names each key after its file.
func parseRole(s string) (r verify.Role, err error) {
	threshold, files, ok := strings.Cut(s, ":")
	if r.Threshold, err = strconv.Atoi(threshold); !ok || err != nil {
		return r, usage("%q is not N:FILE,FILE…, for example 2:alice.pub,bob.pub,carol.pub", s)
	}
	for _, path := range strings.Split(files, ",") {
		text, err := readRef(path)
		if err != nil {
			return r, err
		}
		key, err := verify.ParseKey(string(text))
		if err != nil {
			return r, usage("%s: %w", path, err)
		}
		r.Keys = append(r.Keys, verify.NamedKey{Key: key, Name: strings.TrimSuffix(filepath.Base(path), ".pub")})
	}
	return r, nil
}

func trustCheckCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check OLD NEW",
		Short: "Say in words what a trust document changes, and who still has to sign",
		Long: `Compares the trust document NEW, draft or signed, with OLD, the one before it or the bare public key. Read it before you
sign. Exit code: 0 if NEW is ready to be published, 1 if signatures are missing, 4 if it can never follow OLD.`,
		Example: `  theseus trust check theseus.pub trust-1
  theseus trust check dl/trust/1 trust-2`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := trustCheck(args[0], args[1])
			if err != nil {
				return err
			}
			if err := result(asJSON, r, r.print); err != nil {
				return err
			}
			if !r.Ready {
				return errSilent(exitError)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// trustChange is what NEW does to OLD.
type trustChange struct {
	App      string    `json:"app"`
	Version  int       `json:"version"`
	Expires  time.Time `json:"expires"`
	Changes  []string  `json:"changes"`
	Warnings []string  `json:"warnings"`
	Signed   []string  `json:"signed"`  // names of the keys that have signed
	Missing  []string  `json:"missing"` // what is still needed, in words
	Ready    bool      `json:"ready"`
}

func (r *trustChange) print(w io.Writer) {
	fmt.Fprintf(w, "Trust document %d of %s, which holds until %s.\n", r.Version, r.App, dateText(r.Expires))
	for _, section := range []struct {
		title string
		lines []string
		none  string
	}{
		{"What it changes", r.Changes, "nothing but its dates"},
		{"Consider", r.Warnings, ""},
		{"Signed by", r.Signed, "nobody yet"},
		{"Still needed", r.Missing, "nothing: it can be published"},
	} {
		if len(section.lines) == 0 && section.none == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", section.title)
		for _, l := range section.lines {
			fmt.Fprintf(w, "  - %s\n", l)
		}
		if len(section.lines) == 0 {
			fmt.Fprintf(w, "  - %s\n", section.none)
		}
	}
}

func trustCheck(oldPath, newPath string) (*trustChange, error) {
	old, err := readTrust(oldPath)
	if err != nil {
		return nil, err
	}
	file, err := readRef(newPath)
	if err != nil {
		return nil, err
	}
	return compareTrust(old, file, newPath)
}

func compareTrust(old *verify.Trust, file []byte, name string) (*trustChange, error) {
	next, err := verify.ParseTrustDraft(file)
	if err != nil {
		return nil, fail(exitRefused, "%s: %w", name, err)
	}
	before := old.Draft()
	if before.App == "" {
		before.App = next.App
	}
	switch {
	case next.App != before.App:
		return nil, fail(exitRefused, "%s is of app %s, and what it should follow is of %s: these two do not belong together", name, next.App, before.App)
	case next.Version != before.Version:
		return nil, fail(exitRefused, "%s is version %d, and version %d follows: make it anew with theseus trust init", name, next.Version, before.Version)
	case !time.Now().Before(next.Expires.Time):
		return nil, fail(exitRefused, "%s expired on %s: make it anew with theseus trust init", name, dateText(next.Expires.Time))
	}
	own, err := next.Trust.Set()
	if err != nil {
		return nil, fail(exitRefused, "%s: %w", name, err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) {
		if file, err = verify.Text(verify.TypeTrust, next); err != nil {
			return nil, err
		}
	}
	r := &trustChange{App: next.App, Version: next.Version, Expires: next.Expires.Time, Ready: true,
		Changes: []string{}, Warnings: []string{}, Signed: []string{}, Missing: []string{}}
	names := namesOf(before, next)
	for _, c := range before.Compare(next) {
		r.Changes = append(r.Changes, roleWords(c, names)...)
	}
	r.Warnings = trustWarnings(next)
	signed := map[verify.Digest]bool{}
	for _, side := range []struct {
		keys verify.Keys
		who  string
	}{{old.Trust, fmt.Sprintf("the trust keys of version %d", old.Version)}, {own, "its own trust keys"}} {
		p, err := side.keys.Progress(file)
		if err != nil {
			return nil, fail(exitRefused, "%s: %w", name, err)
		}
		for _, k := range p.Signed {
			if !signed[k.Fingerprint()] {
				signed[k.Fingerprint()] = true
				r.Signed = append(r.Signed, names.of(k))
			}
		}
		if p.Needed > 0 {
			r.Ready = false
			var left []string
			for _, k := range p.Missing {
				left = append(left, names.of(k))
			}
			r.Missing = append(r.Missing, fmt.Sprintf("%d of %s: %s", p.Needed, side.who, strings.Join(left, ", ")))
		}
	}
	return r, nil
}

// keyNames says whose a key is, by its bytes.
type keyNames map[verify.Digest]string

func namesOf(drafts ...verify.TrustDraft) keyNames {
	n := keyNames{}
	for _, d := range drafts {
		for _, role := range []verify.Role{d.Trust, d.Release, d.Channel} {
			for _, k := range role.Keys {
				if k.Name != "" {
					n[k.Key.Fingerprint()] = clean(k.Name)
				}
			}
		}
	}
	return n
}

func (n keyNames) of(k verify.Key) string {
	if name := n[k.Fingerprint()]; name != "" {
		return fmt.Sprintf("%s (%s)", name, k.ID())
	}
	return k.ID()
}

func roleWords(c verify.RoleChange, names keyNames) (words []string) {
	signs := map[string]string{"trust": "the next trust document", "release": "releases", "channel": "channels"}[c.Role]
	for _, k := range c.Added {
		words = append(words, fmt.Sprintf("%s may sign %s", names.of(k.Key), signs))
	}
	for _, k := range c.Removed {
		words = append(words, fmt.Sprintf("%s may no longer sign %s", names.of(k.Key), signs))
	}
	if c.From != c.To {
		words = append(words, fmt.Sprintf("it takes %s instead of %d to sign %s", plural(c.To, "signature"), c.From, signs))
	}
	return words
}

// trustWarnings is what a person should have thought of before signing.
func trustWarnings(d verify.TrustDraft) []string {
	warnings := []string{}
	if n := len(d.Trust.Keys); n == d.Trust.Threshold {
		what := fmt.Sprintf("all %d trust keys must sign: if one is lost, trust can never change again", n)
		if n == 1 {
			what = "one trust key alone decides: if it is lost, trust can never change again; if it leaks, everything is lost"
		}
		warnings = append(warnings, what)
	}
	for _, c := range d.Channel.Keys {
		for _, r := range append(append([]verify.NamedKey{}, d.Release.Keys...), d.Trust.Keys...) {
			if c.Key.Equal(r.Key) {
				return append(warnings, "key "+c.Key.ID()+" signs channels, which is done by machines, and more than that: a key of its own for channels can do less harm")
			}
		}
	}
	return warnings
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
		Long: `Checks that the trust document follows from the one before it and is signed by all who must, that the releases on offer are
signed by enough of its release keys, then puts it into the repository and signs every channel with the given channel key,
so that clients learn of it at their next look. To run it again after an interruption finishes it.`,
		Example: `  theseus trust publish trust-1 --repo dl --from theseus.pub --key ci.key
  theseus trust publish trust-2 --repo dl --key ci.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, reports, err := trustPublish(c.Context(), &o, args[0])
			if err != nil {
				return err
			}
			v := map[string]any{"app": t.App, "trust": t.Version, "expires": t.Expires, "channels": reports}
			return result(o.json, v, func(w io.Writer) {
				fmt.Fprintf(w, "Trust document %d of %s is published. It holds until %s: publish its successor before then.\n", t.Version, t.App, dateText(t.Expires))
				for _, r := range reports {
					fmt.Fprintln(w, r.deadline(o.repo))
				}
			})
		},
	}
	o.add(c)
	c.Flags().StringVar(&o.from, "from", "", "`FILE` with the public key that clients are built with (only for version 1)")
	return c
}

func trustPublish(ctx context.Context, o *trustPublishOptions, path string) (*verify.Trust, []channelReport, error) {
	file, err := readRef(path)
	if err != nil {
		return nil, nil, err
	}
	signers, err := o.keys.signers(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := openRepo(o.repo)
	if err != nil {
		return nil, nil, err
	}
	defer r.close()
	old, err := o.predecessor(r, file)
	if err != nil {
		return nil, nil, err
	}
	change, err := compareTrust(old, file, path)
	if err != nil {
		return nil, nil, err
	}
	if !change.Ready {
		return nil, nil, fail(exitError, "%s is not signed by all who must: still needed are %s", path, strings.Join(change.Missing, ", and "))
	}
	next, err := old.Next(file, change.App)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	e := &editor{repo: r, app: next.App, trust: next, signers: signers, now: time.Now().UTC().Truncate(time.Second)}
	if err := e.sameApp(e.app); err != nil {
		return nil, nil, err
	}
	channels, err := e.underEither(old.Channel)
	if err != nil {
		return nil, nil, err
	}
	if n, need := len(e.of(next.Channel)), next.Channel.Threshold(); n < need && len(channels) > 0 {
		return nil, nil, fail(exitError, "the channels must be signed anew, by %s of %s: give them with --key", plural(need, "key"), keyIDs(next.Channel.All()))
	}
	if err := e.releasesHold(channels); err != nil {
		return nil, nil, err
	}
	if err := e.write(release.TrustPath(next.Version), file); err != nil {
		return nil, nil, err
	}
	var reports []channelReport
	for _, c := range channels {
		lifetime, err := o.lifetime(c)
		if err != nil {
			return nil, nil, err
		}
		if c.Trust == next.Version { // done before an interruption
			reports = append(reports, reportChannel(c, false))
			continue
		}
		fresh := &release.Channel{Name: c.Name, Entries: c.Entries}
		if err := e.put(fresh, c, lifetime); err != nil {
			return nil, nil, err
		}
		reports = append(reports, reportChannel(fresh, true))
	}
	return next, reports, nil
}

// predecessor is the trust document that file should follow: the repository's newest, or the one before it if file itself is
// there already, or the public key that clients are built with.
func (o *trustPublishOptions) predecessor(r *repo, file []byte) (*verify.Trust, error) {
	newest, err := r.trust()
	if err != nil {
		return nil, err
	}
	if newest != nil && newest.Version > 1 {
		if d, err := verify.ParseTrustDraft(file); err == nil && d.Version == newest.Version && bytes.Equal(newest.File, file) {
			before, err := r.read(release.TrustPath(newest.Version-1), verify.TypeTrust.MaxSize())
			if err != nil {
				return nil, err
			}
			return verify.ParseTrust(string(before))
		}
	}
	if newest != nil && (newest.Version > 1 || !bytes.Equal(newest.File, file)) {
		return newest, nil
	}
	if o.from == "" {
		return nil, usage("--from is missing: the first trust document follows the public key that clients are built with, give it")
	}
	old, err := readTrust(o.from)
	if err == nil && old.Version != 0 {
		err = usage("--from %s is a trust document, and this repository has none yet: give the public key that clients are built with", o.from)
	}
	return old, err
}

// underEither opens every channel, signed by the channel keys of before or of now.
func (e *editor) underEither(before verify.Keys) (channels []*release.Channel, err error) {
	names, err := e.channels()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		file, err := e.read(name, verify.TypeChannel.MaxSize())
		if err != nil {
			return nil, err
		}
		c, err := release.OpenChannel(file, e.trust.Channel, e.app, name)
		if err != nil {
			if c, err = release.OpenChannel(file, before, e.app, name); err != nil {
				return nil, fmt.Errorf("%s: %w", e.path(name), err)
			}
		}
		channels = append(channels, c)
	}
	return channels, nil
}

// releasesHold refuses to strand clients: what is on offer must be signed by the new release keys before these rule.
func (e *editor) releasesHold(channels []*release.Channel) error {
	for _, c := range channels {
		for _, entry := range c.Entries {
			name := release.ManifestPath(entry.Version)
			file, err := e.read(name, verify.TypeManifest.MaxSize())
			if errors.Is(err, fs.ErrNotExist) {
				return fail(exitRefused, "%s is not there, and channel %s offers it: restore it from your backup", e.path(name), c.Name)
			}
			if err != nil {
				return err
			}
			if _, err := release.OpenManifest(file, e.trust.Release, e.app, entry); err != nil {
				return fail(exitError, "%s is on offer and not signed by %s of the new release keys: have them run 'theseus sign %s --key FILE' first: %w",
					e.path(name), plural(e.trust.Release.Threshold(), "holder"), e.path(name), err)
			}
		}
	}
	return nil
}
