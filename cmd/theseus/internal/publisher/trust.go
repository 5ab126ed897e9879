package publisher

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

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// TrustChange is what a trust document, draft or signed, does to the one before it.
type TrustChange struct {
	App      string      `json:"app"`
	Version  int         `json:"version"`
	Expires  time.Time   `json:"expires"`
	Roles    []RoleWhole `json:"roles"` // every role whole, so that nothing hides between two changes
	Changes  []string    `json:"changes"`
	Warnings []string    `json:"warnings"`
	Signed   []string    `json:"signed"`  // names of the keys that have signed
	Missing  []string    `json:"missing"` // what is still needed, in words
	Ready    bool        `json:"ready"`
}

// RoleWhole is one role as the new document has it, with the keys that it takes away.
type RoleWhole struct {
	Role      string    `json:"role"`
	Signs     string    `json:"signs"`
	Threshold int       `json:"threshold"`
	Was       int       `json:"was"` // threshold before
	Keys      []RoleKey `json:"keys"`
}

// RoleKey is a key in a role. People compare fingerprints: names are chosen by whoever wrote the draft.
type RoleKey struct {
	Name        string        `json:"name,omitempty"`
	ID          string        `json:"id"`
	Fingerprint verify.Digest `json:"fingerprint"`
	Change      string        `json:"change,omitempty"` // new or gone; "": as before
}

// Print shows the document to a person who is to sign it.
func (r *TrustChange) Print(w io.Writer) {
	fmt.Fprintf(w, "Trust document %d of %s, which holds until %s.\n", r.Version, r.App, ui.Date(r.Expires))
	for _, role := range r.Roles {
		takes := ui.Plural(role.Threshold, "signature")
		if role.Was != role.Threshold {
			takes += fmt.Sprintf(", %d before", role.Was)
		}
		fmt.Fprintf(w, "\nWho signs %s (%s):\n", role.Signs, takes)
		ui.Table(w, func(w io.Writer) {
			for _, k := range role.Keys {
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", map[string]string{"new": "+", "gone": "-"}[k.Change], k.Name, k.ID, k.Fingerprint)
			}
		})
	}
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

// CompareTrust says what file, a draft or a signed document, does to the trust document before it. name is what it is
// called in messages.
func CompareTrust(old *verify.Trust, file []byte, name string, now time.Time) (*TrustChange, error) {
	next, err := verify.ParseTrustDraft(file)
	if err != nil {
		return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
	}
	before := old.Draft()
	if before.App == "" {
		before.App = next.App
	}
	switch {
	case next.App != before.App:
		return nil, ui.Fail(ui.ExitRefused, "%s is of app %s, and what it should follow is of %s: these two do not belong together", name, next.App, before.App)
	case next.Version != before.Version:
		return nil, ui.Fail(ui.ExitRefused, "%s is version %d, and version %d follows: make it anew with theseus trust init", name, next.Version, before.Version)
	case !now.Before(next.Expires.Time):
		return nil, ui.Fail(ui.ExitRefused, "%s expired on %s: make it anew with theseus trust init", name, ui.Date(next.Expires.Time))
	}
	own, err := next.Trust.Set()
	if err != nil {
		return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) {
		if file, err = verify.Text(verify.TypeTrust, next); err != nil {
			return nil, err
		}
	}
	r := &TrustChange{App: next.App, Version: next.Version, Expires: next.Expires.Time, Ready: true,
		Changes: []string{}, Warnings: []string{}, Signed: []string{}, Missing: []string{}}
	names := namesOf(before, next)
	changes := before.Compare(next)
	for i, role := range []verify.Role{next.Trust, next.Release, next.Channel} {
		r.Changes = append(r.Changes, roleWords(changes[i], names)...)
		r.Roles = append(r.Roles, wholeRole(changes[i], role, names))
	}
	r.Warnings = trustWarnings(next)
	signed := map[verify.Digest]bool{}
	for _, side := range []struct {
		keys verify.Keys
		who  string
	}{{old.Trust, fmt.Sprintf("the trust keys of version %d", old.Version)}, {own, "its own trust keys"}} {
		p, err := side.keys.Progress(file)
		if err != nil {
			return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
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
					n[k.Key.Fingerprint()] = ui.Clean(k.Name)
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

// roleSigns is what the keys of a role sign.
var roleSigns = map[string]string{"trust": "the next trust document", "release": "releases", "channel": "channels"}

func wholeRole(c verify.RoleChange, now verify.Role, names keyNames) RoleWhole {
	w := RoleWhole{Role: c.Role, Signs: roleSigns[c.Role], Threshold: c.To, Was: c.From}
	add := func(k verify.Key, change string) {
		w.Keys = append(w.Keys, RoleKey{names[k.Fingerprint()], k.ID(), k.Fingerprint(), change})
	}
	for _, k := range now.Keys {
		change := ""
		if slices.ContainsFunc(c.Added, func(a verify.NamedKey) bool { return a.Key.Equal(k.Key) }) {
			change = "new"
		}
		add(k.Key, change)
	}
	for _, k := range c.Removed {
		add(k.Key, "gone")
	}
	return w
}

func roleWords(c verify.RoleChange, names keyNames) (words []string) {
	signs := roleSigns[c.Role]
	for _, k := range c.Added {
		words = append(words, fmt.Sprintf("%s may sign %s", names.of(k.Key), signs))
	}
	for _, k := range c.Removed {
		words = append(words, fmt.Sprintf("%s may no longer sign %s", names.of(k.Key), signs))
	}
	if c.From != c.To {
		words = append(words, fmt.Sprintf("it takes %s instead of %d to sign %s", ui.Plural(c.To, "signature"), c.From, signs))
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

// Newest returns the newest trust document that follows from the root: what the next one is built on and compared with.
// Where there is no store, that is the root itself.
func Newest(ctx context.Context, o Options) (*verify.Trust, error) {
	if o.Root == nil {
		return nil, noRoot()
	}
	if o.Store == nil {
		return o.Root, nil
	}
	p, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	return p.trust, nil
}

// Followed returns the trust document of a version that leads to the newest one; nil if it is none that was followed.
func (p *Publisher) Followed(version int) *verify.Trust {
	for _, t := range p.chain {
		if t.Version == version {
			return t
		}
	}
	return nil
}

// PublishedTrust is what came of publishing a trust document.
type PublishedTrust struct {
	Trust    *verify.Trust
	Channels []ChannelReport
	Failed   []error // channels that could not be signed anew, each with its reason
}

// PublishTrust puts a trust document into the repository and signs every channel anew, so that clients learn of it at their
// next look and refuse what was signed before. To say it again after an interruption finishes it.
func PublishTrust(ctx context.Context, o Options, file []byte, name string, lifetime time.Duration) (*PublishedTrust, error) {
	draft, err := verify.ParseTrustDraft(file)
	if err != nil {
		return nil, ui.Fail(ui.ExitRefused, "%s: %w", name, err)
	}
	// Killed between the lock and the upload, the memory is ahead of the repository by this document.
	if peeked, err := Peek(file); err == nil && o.Memory != nil && o.Memory.Trust[draft.Version] == peeked.ID.SHA256 {
		delete(o.Memory.Trust, draft.Version)
	}
	p, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	old := p.trust
	if draft.Version <= p.trust.Version { // it is there already
		there := p.Followed(draft.Version)
		if there == nil || !sameText(there.File, file) {
			return nil, ui.Fail(ui.ExitRefused, "%s is trust document %d, and another one is in force already: make the next one with theseus trust init", name, draft.Version)
		}
		if draft.Version < p.trust.Version {
			return nil, ui.Fail(ui.ExitError, "%s is trust document %d, and %d is in force already: there is nothing to do", name, draft.Version, p.trust.Version)
		}
		if old = p.Followed(draft.Version - 1); old == nil {
			old = there // the root has moved, which is the last step
		}
	}
	if err := p.putRootBack(ctx); err != nil {
		return nil, err
	}
	change, next := (*TrustChange)(nil), p.trust
	if old.Version < draft.Version {
		if change, err = CompareTrust(old, file, name, p.now); err != nil {
			return nil, err
		}
		if !change.Ready {
			return nil, ui.Fail(ui.ExitError, "%s is not signed by all who must: still needed are %s", name, strings.Join(change.Missing, ", and "))
		}
		if next, err = old.Next(file, p.app); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p.enforce(ctx, old, next, lifetime)
}

func sameText(a, b []byte) bool {
	x, _, err := verify.Split(a)
	if err != nil {
		return false
	}
	y, _, err := verify.Split(b)
	return err == nil && bytes.Equal(x, y)
}

// enforce makes next the trust document in force, in place of old.
func (p *Publisher) enforce(ctx context.Context, old, next *verify.Trust, lifetime time.Duration) (*PublishedTrust, error) {
	there := p.trust.Version == next.Version
	p.trust = next
	names, err := p.channels(ctx)
	if err != nil {
		return nil, err
	}
	for name, known := range p.memory.Channels {
		if known.Sequence > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if n, need := len(p.of(next.Channel)), next.Channel.Threshold(); n < need && len(names) > 0 {
		return nil, ui.Fail(ui.ExitError, "the channels must be signed anew, by %s of %s: give them with --key", ui.Plural(need, "key"), ui.KeyIDs(next.Channel.All()))
	}
	done := &PublishedTrust{Trust: next}
	var bases []base
	for _, name := range names {
		b, err := p.baseBefore(ctx, name, old, next)
		if err == nil && b.Channel == nil {
			err = ui.Fail(ui.ExitError, "%s is not there: publish a release into it", p.path(name))
		}
		if err != nil {
			done.Failed = append(done.Failed, err)
			continue
		}
		bases = append(bases, b)
	}
	if len(done.Failed) > 0 && (!there || len(bases) == 0) {
		// Nothing is in force yet: better all channels later than some now.
		return nil, errors.Join(done.Failed...)
	}
	if err := p.releasesHold(ctx, bases); err != nil {
		return nil, err
	}
	if !there {
		if p.memory.Trust == nil {
			p.memory.Trust = map[int]verify.Digest{}
		}
		p.memory.Trust[next.Version] = next.ID().SHA256
		if err := p.settled(); err != nil {
			return nil, err
		}
		if err := p.memory.keep(); err != nil {
			return nil, err
		}
		name := release.TrustPath(next.Version)
		if err := p.write(ctx, name, next.File, Nothing); err != nil {
			if errors.Is(err, ErrChanged) { // for certain it did not arrive
				delete(p.memory.Trust, next.Version)
				err = errors.Join(err, p.memory.keep())
			}
			return nil, err
		}
	} else if err := p.settled(); err != nil {
		return nil, err
	}
	for _, b := range bases {
		if b.Trust == next.Version { // done before an interruption
			done.Channels = append(done.Channels, reportChannel(b.Channel, false))
			continue
		}
		fresh := b.next(b.Name)
		if err := p.put(ctx, fresh, b, b.lifetime(lifetime)); err != nil {
			return nil, err
		}
		done.Channels = append(done.Channels, reportChannel(fresh, true))
	}
	return done, nil
}

// baseBefore opens a channel for the change from one trust document to the next. The keys of before may be in the wrong
// hands now, so it must be what was signed here last, or nothing vouches for it but a person.
func (p *Publisher) baseBefore(ctx context.Context, name string, old, next *verify.Trust) (base, error) {
	p.trust = old
	defer func() { p.trust = next }()
	if file, _, err := p.read(ctx, name, verify.TypeChannel); err == nil {
		if c, err := release.OpenChannel(file, next.Channel, p.app, name); err == nil && c.Trust == next.Version {
			p.trust = next // done before an interruption
			return p.base(ctx, name)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return base{}, err
	}
	b, err := p.base(ctx, name)
	if known := p.memory.Channels[name]; err == nil && b.Channel != nil && !p.adopt && known != nil && known.Sequence > 0 && b.ID.SHA256 != known.SHA256 {
		err = ui.Fail(ui.ExitRefused, "%s (sequence %d) was signed elsewhere than what %s knows (%d), by a key that may be the one you replace: look at it (theseus inspect %s), and add --adopt if it is right",
			p.path(name), b.Sequence, LockFile, known.Sequence, p.path(name))
	}
	return b, err
}

// releasesHold refuses to strand clients: what is on offer must be signed by the new release keys before these rule.
func (p *Publisher) releasesHold(ctx context.Context, channels []base) error {
	for _, c := range channels {
		for _, entry := range c.Entries {
			name := release.ManifestPath(entry.Version)
			file, _, err := p.read(ctx, name, verify.TypeManifest)
			if errors.Is(err, fs.ErrNotExist) {
				return ui.Fail(ui.ExitRefused, "%s is not there, and channel %s offers it: restore it from your backup", p.path(name), c.Name)
			}
			if err != nil {
				return err
			}
			if _, err := release.OpenManifest(file, p.trust.Release, p.app, entry); err != nil {
				return ui.Fail(ui.ExitError, "%s is on offer and not signed by %s of the new release keys: have them run 'theseus sign %s --key FILE' first: %w",
					p.path(name), ui.Plural(p.trust.Release.Threshold(), "holder"), p.path(name), err)
			}
		}
	}
	return nil
}

// A Rotation puts one key in the place of another.
type Rotation struct {
	To      verify.NamedKey
	Replace *verify.Key   // nil: the only key there is
	Holds   time.Duration // lifetime of the trust document

	// Keep stores the signed trust document of a version before it is published, or returns the one that an interrupted
	// run has stored. If made is nil it only looks.
	Keep func(version int, made []byte) (kept []byte, err error)
}

// Rotate makes, signs and publishes the trust document that replaces a key, and has what is on offer signed by the new key.
func Rotate(ctx context.Context, o Options, r Rotation, lifetime time.Duration) (*PublishedTrust, error) {
	p, err := prepare(ctx, interruptedRotation(o, r))
	if err != nil {
		return nil, err
	}
	old := p.trust
	if old.Version > 0 && only(old, r.To.Key) { // published, and perhaps not all that follows
		return PublishTrust(ctx, o, old.File, release.TrustPath(old.Version), lifetime)
	}
	draft, err := r.draft(p)
	if err != nil {
		return nil, err
	}
	made, err := draft.Sign(p.signersOf(old.Trust, draft)...)
	if err != nil {
		return nil, err
	}
	file, err := r.Keep(draft.Version, made)
	if err != nil {
		return nil, err
	}
	kept, err := verify.ParseTrustDraft(file)
	if err != nil || !sameRoles(kept, draft) {
		return nil, ui.Fail(ui.ExitError, "there is a trust document %d already, and it is another rotation: publish or remove it first", draft.Version)
	}
	const name = "the new trust document"
	change, err := CompareTrust(old, file, name, p.now)
	if err != nil {
		return nil, err
	}
	if !change.Ready {
		return nil, ui.Fail(ui.ExitError, "trust document %d is written, and others must sign it (theseus sign), then publish it (theseus trust publish): still needed are %s", draft.Version, strings.Join(change.Missing, ", and "))
	}
	next, err := old.Next(file, p.app)
	if err != nil {
		return nil, err
	}
	if err := p.countersign(ctx, next); err != nil {
		return nil, err
	}
	return PublishTrust(ctx, o, file, name, lifetime)
}

// interruptedRotation forgives that the memory is ahead by the document that a killed run was about to upload.
func interruptedRotation(o Options, r Rotation) Options {
	if o.Memory == nil || o.Root == nil {
		return o
	}
	newest := o.Memory.newestTrust()
	if kept, err := r.Keep(newest, nil); newest > o.Root.Version && err == nil {
		if c, err := Peek(kept); err == nil && c.ID.SHA256 == o.Memory.Trust[newest] {
			forgiving := *o.Memory
			forgiving.Trust = map[int]verify.Digest{}
			for v, id := range o.Memory.Trust {
				if v != newest {
					forgiving.Trust[v] = id
				}
			}
			o.Memory = &forgiving
		}
	}
	return o
}

func (r Rotation) draft(p *Publisher) (verify.TrustDraft, error) {
	d := p.trust.Draft()
	d.App = p.app
	d.Issued, d.Expires = verify.Time{Time: p.now}, verify.Time{Time: p.now.Add(r.Holds)}
	replace := r.Replace
	if replace == nil {
		first := d.Trust.Keys[0].Key
		if !only(p.trust, first) {
			return d, ui.Usage("there is more than one key: say with --replace which one goes")
		}
		replace = &first
	}
	found := false
	for _, role := range []*verify.Role{&d.Trust, &d.Release, &d.Channel} {
		for i, k := range role.Keys {
			if k.Key.Equal(*replace) {
				role.Keys[i], found = r.To, true
			}
		}
	}
	if !found {
		return d, ui.Usage("the key %s has no role: there is nothing to replace", replace.ID())
	}
	if err := d.Check(); err != nil {
		return d, ui.Usage("%w", err)
	}
	return d, nil
}

// only reports whether one key has every role, alone.
func only(t *verify.Trust, k verify.Key) bool {
	for _, role := range []verify.Keys{t.Trust, t.Release, t.Channel} {
		if all := role.All(); len(all) != 1 || !all[0].Equal(k) {
			return false
		}
	}
	return true
}

// signersOf returns who of those here may sign a trust document.
func (p *Publisher) signersOf(old verify.Keys, d verify.TrustDraft) []verify.Signer {
	return slices.DeleteFunc(slices.Clone(p.signers), func(s verify.Signer) bool {
		return !slices.ContainsFunc(old.All(), s.Key().Equal) &&
			!slices.ContainsFunc(d.Trust.Keys, func(k verify.NamedKey) bool { return k.Key.Equal(s.Key()) })
	})
}

func sameRoles(a, b verify.TrustDraft) bool {
	for _, c := range a.Compare(b) {
		if len(c.Added) > 0 || len(c.Removed) > 0 || c.From != c.To {
			return false
		}
	}
	return a.App == b.App && a.Version == b.Version
}

// countersign has the release keys of next that are here sign every release that enough of today's keys have signed: what
// is on offer, and what waits for its promotion.
func (p *Publisher) countersign(ctx context.Context, next *verify.Trust) error {
	versions, err := p.versions(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		path := release.ManifestPath(v)
		file, version, err := p.read(ctx, path, verify.TypeManifest)
		if err != nil {
			return err
		}
		if _, err := openManifest(file, p.trust.Release, p.app, v); err != nil {
			continue // if a channel offers it, releasesHold says what is wrong
		}
		progress, err := next.Release.Progress(file)
		if err != nil {
			return err
		}
		signed := file
		for _, s := range p.of(next.Release) {
			if slices.ContainsFunc(progress.Signed, s.Key().Equal) {
				continue
			}
			if signed, err = verify.AddSignature(signed, s); err != nil {
				return err
			}
		}
		if !bytes.Equal(signed, file) {
			if err := p.write(ctx, path, signed, version); err != nil {
				return err
			}
		}
	}
	return nil
}
