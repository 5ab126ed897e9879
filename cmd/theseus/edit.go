package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// An editor changes the channels of one repository on behalf of the keys that are here. It is what publish, refresh and
// every verb that restricts a release have in common.
type editor struct {
	*repo
	app     string
	trust   *verify.Trust   // who may sign
	signers []verify.Signer // who of them is here
	now     time.Time       // whole seconds
}

// editFlags are the flags of every verb that changes a channel.
type editFlags struct {
	repo    string
	expires string
	keys    keyFlags
	json    bool
}

func (e *editFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&e.repo, "repo", "", "`DIR` of the repository")
	f.StringVar(&e.expires, "expires", "", "`TIME` that clients may believe the channel without a refresh, for example 90d or 12h (default: as before; 90d for a new channel)")
	e.keys.add(c)
	f.BoolVar(&e.json, "json", false, "print one JSON object")
}

// open locks the repository and finds out who may sign there. app may be empty if some channel is there already.
func (e *editFlags) open(ctx context.Context, app string) (*editor, error) {
	if _, err := e.lifetime(nil); err != nil {
		return nil, err
	}
	signers, err := e.keys.signers(ctx)
	if err != nil {
		return nil, err
	}
	r, err := openRepo(e.repo)
	if err != nil {
		return nil, err
	}
	ed := &editor{repo: r, app: app, signers: signers, now: time.Now().UTC().Truncate(time.Second)}
	if err := ed.prepare(); err != nil {
		r.close()
		return nil, err
	}
	return ed, nil
}

func (e *editor) prepare() (err error) {
	if e.app == "" {
		if e.app, err = e.repo.app(); err != nil {
			return err
		}
	}
	if err := e.sameApp(e.app); err != nil {
		return err
	}
	if e.trust, err = e.repo.trust(); err != nil {
		return err
	}
	switch {
	case e.trust == nil && len(e.signers) > 1:
		return usage("this repository has no trust document, so one key signs everything: give one --key (or make a trust document: theseus trust init)")
	case e.trust == nil:
		e.trust, err = verify.ParseTrust(e.signers[0].Key().String())
		return err
	case e.trust.App != e.app:
		return fail(exitRefused, "%s belongs to app %q, not to %q: use another folder", e.path(release.TrustPath(e.trust.Version)), e.trust.App, e.app)
	case !e.now.Before(e.trust.Expires):
		return fail(exitRefused, "the trust document %d expired on %s: clients refuse everything until its successor is published (theseus trust init)", e.trust.Version, dateText(e.trust.Expires))
	}
	return nil
}

// app returns the app that the repository's channels name.
func (r *repo) app() (string, error) {
	names, err := r.channels()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		file, err := r.read(name, verify.TypeChannel.MaxSize())
		if err != nil {
			return "", err
		}
		if c, err := peek(file); err == nil {
			return c.App, nil
		}
	}
	return "", fail(exitError, "%s has no channel yet: publish a release into it first", r.dir)
}

// of returns the signers here that hold a role.
func (e *editor) of(role verify.Keys) []verify.Signer {
	return slices.DeleteFunc(slices.Clone(e.signers), func(s verify.Signer) bool {
		return !slices.ContainsFunc(role.All(), s.Key().Equal)
	})
}

// channel opens a channel; nil if there is none.
func (e *editor) channel(name string) (*release.Channel, error) {
	file, err := e.read(name, verify.TypeChannel.MaxSize())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := release.OpenChannel(file, e.trust.Channel, e.app, name)
	if err != nil {
		return nil, fmt.Errorf("%s was not signed by a key that may sign it now: give the key that it was published with, or restore the file: %w", e.path(name), err)
	}
	return c, nil
}

// put signs the channel as the successor of old (nil: the first) and puts it in its place.
func (e *editor) put(c, old *release.Channel, lifetime time.Duration) error {
	if old != nil {
		if e.now.Before(old.Issued) {
			return fail(exitError, "this machine's clock says %s, and the channel was signed at %s: set the clock, for clients judge by these dates", e.now.Format(time.RFC3339), old.Issued.Format(time.RFC3339))
		}
		if old.Sequence == release.MaxSequence {
			return fail(exitError, "the channel has used up its sequence numbers: replace the channel key in the trust document and start at 1 (doc/operations.md)")
		}
		c.Sequence = old.Sequence + 1
	} else {
		c.Sequence = 1
	}
	c.App, c.Issued, c.Expires, c.Trust = e.app, e.now, e.now.Add(lifetime), e.trust.Version
	signers := e.of(e.trust.Channel)
	if need := e.trust.Channel.Threshold(); len(signers) < need {
		return fail(exitError, "the channel needs %s, and of its keys (%s) %s: give them with --key", plural(need, "signature"), keyIDs(e.trust.Channel.All()), available(len(signers)))
	}
	file, err := release.SignChannel(c, signers...)
	if err != nil {
		return err
	}
	// What clients would refuse is not published, whatever went wrong in signing.
	signed, err := release.OpenChannel(file, e.trust.Channel, e.app, c.Name)
	if err != nil {
		return fmt.Errorf("the signed channel does not verify, nothing was published: %w", err)
	}
	if err := e.unchanged(c.Name, old); err != nil {
		return err
	}
	*c = *signed
	return e.write(c.Name, file)
}

// unchanged refuses to overwrite what another publisher has written since it was read: the lock does not reach across
// machines, and two documents with one sequence number look like an attack to clients.
func (e *editor) unchanged(name string, old *release.Channel) error {
	file, err := e.read(name, verify.TypeChannel.MaxSize())
	if errors.Is(err, fs.ErrNotExist) && old == nil {
		return nil
	}
	if err != nil {
		return err
	}
	text, _, err := verify.Split(file)
	if err != nil || old == nil || verify.IDOf(text) != old.ID {
		return fail(exitError, "%s was changed by someone else meanwhile: run the command again", e.path(name))
	}
	return nil
}

func available(n int) string {
	if n == 0 {
		return "none is here"
	}
	return fmt.Sprintf("only %d of them is here", n)
}

const (
	defaultLifetime = 90 * 24 * time.Hour
	longestLifetime = 10 * 365 * 24 * time.Hour
)

// lifetime is what --expires says, otherwise that of the channel as it is.
func (e *editFlags) lifetime(old *release.Channel) (time.Duration, error) {
	switch {
	case e.expires == "" && old != nil:
		return old.Expires.Sub(old.Issued), nil
	case e.expires == "":
		return defaultLifetime, nil
	}
	d, err := parseSpan(e.expires)
	if err != nil || d < time.Second || d > longestLifetime {
		return 0, usage("--expires %s: want a time from 1s to 3650d, for example 90d or 12h", e.expires)
	}
	return d.Truncate(time.Second), nil
}

// parseSpan is time.ParseDuration with days, which is what people count expiry in.
func parseSpan(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 16)
		return time.Duration(days) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// channelReport is what a verb that signed a channel says about it.
type channelReport struct {
	App      string    `json:"app"`
	Channel  string    `json:"channel"`
	Sequence int64     `json:"sequence"`
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	Changed  bool      `json:"changed"` // false: everything was there already
}

func reportChannel(c *release.Channel, changed bool) channelReport {
	return channelReport{c.App, c.Name, c.Sequence, c.Issued, c.Expires, changed}
}

// deadline tells a person the one thing that must not be forgotten.
func (r channelReport) deadline(repo string) string {
	return fmt.Sprintf("Clients stop updating from channel %s on %s unless it is refreshed before: theseus refresh --repo %s --channel %s --key FILE",
		r.Channel, dateText(r.Expires), repo, r.Channel)
}
