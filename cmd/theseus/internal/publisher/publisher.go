// Package publisher signs releases and keeps the repository that offers them.
//
// It believes nobody who can write the repository. Three things decide what is signed: the pinned root, from which the
// trust documents of the repository must follow; the memory of what was signed before, which what lies in the repository
// must not fall behind; and the files of this machine. Whatever a repository says beyond that is a reason to refuse, never
// to sign.
package publisher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Options say on whose behalf a Publisher works, and where.
type Options struct {
	Store   Store
	Root    *verify.Trust // whom to believe; everything is walked from here
	App     string        // name of the program; "" for the one that root, memory or the repository names
	Memory  *Memory       // what was signed before
	Signers []verify.Signer
	Within  time.Duration     // a channel that was issued longer ago is not built upon; 0: one that has expired is not
	Adopt   bool              // the person vouches for a base that the memory does not
	Now     time.Time         // zero: the clock
	Say     func(text string) // what a person should know meanwhile; nil: nobody listens
}

// A Publisher changes one repository on behalf of the keys that are here.
type Publisher struct {
	repository
	app     string
	earlier []*verify.Trust // what leads to the root
	chain   []*verify.Trust // the root and all that follows from it
	trust   *verify.Trust   // the last of them: who may sign now
	memory  *Memory
	signers []verify.Signer
	within  time.Duration
	adopt   bool
	now     time.Time // whole seconds
	say     func(string)
}

// Open reads which keys may sign in the repository.
func Open(ctx context.Context, o Options) (*Publisher, error) {
	p, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := p.putRootBack(ctx); err != nil {
		return nil, err
	}
	if err := p.settled(); err != nil {
		return nil, err
	}
	switch {
	case p.trust.Version == 0 && len(p.signers) > 1:
		return nil, ui.Usage("this repository has no trust document, so one key signs everything: give one --key (or make a trust document: theseus trust init)")
	case p.trust.Expired(p.now):
		return nil, ui.Fail(ui.ExitRefused, "the trust document %d expired on %s: clients refuse everything until its successor is published (theseus trust init)", p.trust.Version, ui.Deadline(p.trust.Expires))
	}
	return p, nil
}

func prepare(ctx context.Context, o Options) (*Publisher, error) {
	p, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := p.sameApp(ctx, p.app); err != nil {
		return nil, err
	}
	return p, p.follow(ctx, o.Root)
}

// begin settles on whose behalf and of which app.
func begin(ctx context.Context, o Options) (*Publisher, error) {
	if o.Root == nil {
		return nil, noRoot()
	}
	p := &Publisher{repository: repository{o.Store}, app: o.App, memory: o.Memory, signers: o.Signers, within: o.Within, adopt: o.Adopt, now: o.Now, say: o.Say}
	if p.now.IsZero() {
		p.now = time.Now()
	}
	p.now = p.now.UTC().Truncate(time.Second)
	if p.say == nil {
		p.say = func(string) {}
	}
	if p.memory == nil {
		p.memory = NewMemory()
	}
	for _, known := range []string{o.Root.App, p.memory.App} {
		switch {
		case known != "" && p.app == "":
			p.app = known
		case known != "" && p.app != known:
			return nil, ui.Fail(ui.ExitRefused, "%s belongs to app %q, not to %q: a repository holds one app, use another folder", p.repository, known, p.app)
		}
	}
	if p.app == "" {
		var err error
		if p.app, err = p.claimedApp(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func noRoot() error {
	return ui.Usage("nothing says whose signatures to believe: give --root FILE with the public key or the newest trust document, or name it in %s", ProjectFile)
}

// follow walks from the root through the trust documents of the repository, and compares them with those that were followed
// before. A chain that differs or became shorter would revive keys that were revoked.
func (p *Publisher) follow(ctx context.Context, root *verify.Trust) error {
	versions, err := p.trusts(ctx)
	if err != nil {
		return err
	}
	p.chain = []*verify.Trust{root}
	known := map[int]verify.Digest{}
	for v, id := range p.memory.Trust {
		known[v] = id
	}
	if root.Version > 0 {
		if id, ok := known[root.Version]; ok && id != root.ID().SHA256 {
			return ui.Fail(ui.ExitRefused, "the root is trust document %d with SHA-256 %s, and %s remembers another one, %s: one of the two was exchanged, compare them with the copies of the key holders", root.Version, root.ID().SHA256, LockFile, id)
		}
		known[root.Version] = root.ID().SHA256
	}
	for v, id := range known {
		if !slices.Contains(versions, v) {
			if v >= root.Version {
				continue // the root is put back, and what is above it said below
			}
			return p.trustRemoved(v)
		}
		file, _, err := p.read(ctx, release.TrustPath(v), verify.TypeTrust)
		if err != nil {
			return err
		}
		if c, err := Peek(file); err != nil || c.ID.SHA256 != id {
			return ui.Fail(ui.ExitRefused, "%s is not the document that was followed before (SHA-256 %s): somebody exchanged it; restore it from your backup", p.path(release.TrustPath(v)), id)
		}
	}
	docs := p.documents(root)
	followed, err := docs.Walk(ctx)
	if err != nil {
		if !catalog.Refused(err) {
			return err
		}
		return ui.Fail(ui.ExitRefused, "%s does not follow from the root, and nothing is signed because of it: remove it, and find out who put it there: %w", p.path(release.TrustPath(docs.Trust.Version+1)), err)
	}
	p.chain = append(p.chain, followed...)
	if err := p.walkBack(ctx, root); err != nil {
		return err
	}
	if newest := p.memory.newestTrust(); newest > p.last().Version {
		return p.trustRemoved(newest)
	}
	p.trust = p.last()
	return nil
}

// documents opens what lies in the repository by what follows from a root.
func (p *Publisher) documents(root *verify.Trust) *catalog.Documents {
	return &catalog.Documents{Source: p.source(), App: p.app, Trust: root}
}

func (p *Publisher) last() *verify.Trust { return p.chain[len(p.chain)-1] }

func (p *Publisher) trustRemoved(version int) error {
	return ui.Fail(ui.ExitRefused, "%s was removed: without it clients and this tool would believe keys that it revoked; restore it from your backup, or publish it again (theseus trust publish FILE)", p.path(release.TrustPath(version)))
}

// putRootBack brings the pinned trust document into a repository that has lost it, or never had it: nobody has to be
// believed for that, and clients that were built with an older one cannot follow without it.
func (p *Publisher) putRootBack(ctx context.Context) error {
	root := p.chain[0]
	if root.Version == 0 {
		return nil
	}
	name := release.TrustPath(root.Version)
	_, _, err := p.read(ctx, name, verify.TypeTrust)
	if !errors.Is(err, fs.ErrNotExist) {
		return err // follow has compared it
	}
	p.say(fmt.Sprintf("%s was not there, and is the root: put there again", p.path(name)))
	return p.write(ctx, name, root.File, Nothing)
}

// settled writes down what was followed.
func (p *Publisher) settled() error {
	changed := p.memory.App != p.app
	p.memory.App = p.app
	for _, t := range slices.Concat(p.earlier, p.chain) {
		if _, ok := p.memory.Trust[t.Version]; t.Version > 0 && !ok {
			if p.memory.Trust == nil {
				p.memory.Trust = map[int]verify.Digest{}
			}
			p.memory.Trust[t.Version] = t.ID().SHA256
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return p.memory.keep()
}

// of returns the signers here that hold a role.
func (p *Publisher) of(role verify.Keys) []verify.Signer {
	return slices.DeleteFunc(slices.Clone(p.signers), func(s verify.Signer) bool {
		return !slices.ContainsFunc(role.All(), s.Key().Equal)
	})
}

// put signs a channel as the successor of its base and puts it in its place. What was signed is in the memory before it is
// in the repository, so that a run that is cut off can be finished by the next.
func (p *Publisher) put(ctx context.Context, c *release.Channel, old base, lifetime time.Duration) error {
	known := p.memory.Channels[c.Name]
	var highest, before int64
	if known != nil {
		highest = known.highest()
	}
	if old.Channel != nil {
		before = old.Sequence
	}
	c.Sequence = max(before+1, highest+1, secondsAt(p.now))
	if c.Sequence > release.MaxSequence {
		return ui.Fail(ui.ExitError, "the channel has used up its sequence numbers: replace the channel key in the trust document (doc/operations.md)")
	}
	c.App, c.Issued, c.Expires, c.Trust = p.app, p.now, p.now.Add(lifetime), p.trust.Version
	signers := p.of(p.trust.Channel)
	if need := p.trust.Channel.Threshold(); len(signers) < need {
		return ui.Fail(ui.ExitError, "the channel needs %s, and of its keys (%s) %s: give them with --key", ui.Plural(need, "signature"), ui.KeyIDs(p.trust.Channel.All()), available(len(signers)))
	}
	file, err := release.SignChannel(c, signers...)
	if err != nil {
		return err
	}
	// What clients would refuse is not published, whatever went wrong in signing.
	signed, err := release.OpenChannel(file, p.trust.Channel, p.app, c.Name)
	if err != nil {
		return fmt.Errorf("the signed channel does not verify, nothing was published: %w", err)
	}
	known = p.memory.channel(c.Name)
	signedBefore, interrupted := known.Signed, known.Pending
	known.Signed = known.saidBy(signedOf(signed)) // what is taken back here is on purpose, also for the run that finishes this
	known.Pending = &Pending{signed.Sequence, signed.ID.SHA256, string(file)}
	if err := p.memory.keep(); err != nil {
		return fmt.Errorf("writing %s, without which nothing is published: %w", LockFile, err)
	}
	if err := p.write(ctx, c.Name, file, old.version); err != nil {
		if errors.Is(err, ErrChanged) { // for certain it did not arrive
			known.Signed = signedBefore
			if known.Pending = interrupted; interrupted == nil && known.Sequence == 0 {
				delete(p.memory.Channels, c.Name)
			}
			return errors.Join(err, p.memory.keep())
		}
		return err
	}
	*c = *signed
	known.Signed, known.Pending = signedOf(signed), nil
	return p.memory.keep()
}

func available(n int) string {
	if n == 0 {
		return "none is here"
	}
	return fmt.Sprintf("only %d of them is here", n)
}

const (
	DefaultLifetime = 90 * 24 * time.Hour
	LongestLifetime = 10 * 365 * 24 * time.Hour
)

// lifetime is what was asked for, otherwise that of the channel as it is.
func (b base) lifetime(asked time.Duration) time.Duration {
	switch {
	case asked != 0:
		return asked
	case b.Channel != nil:
		return b.Expires.Sub(b.Issued)
	}
	return DefaultLifetime
}

// ChannelReport is what a verb that signed a channel says about it.
type ChannelReport struct {
	App      string    `json:"app"`
	Channel  string    `json:"channel"`
	Sequence int64     `json:"sequence"`
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	Changed  bool      `json:"changed"` // false: everything was there already
}

func reportChannel(c *release.Channel, changed bool) ChannelReport {
	return ChannelReport{c.App, c.Name, c.Sequence, c.Issued, c.Expires, changed}
}
