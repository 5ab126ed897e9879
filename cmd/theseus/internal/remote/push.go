// Package remote carries a repository between the folder in which it is signed and the stores from which it is served.
//
// It signs nothing. What it takes to a remote is what the root and the memory account for, and what a remote has beyond that
// is a reason to stop: somebody else has published, or somebody else can write there.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// atOnce is how many files are on their way at the same time.
const atOnce = 4

// A Push takes the repository in a folder to a remote.
type Push struct {
	publisher.Options             // Store is the folder
	To                store.Store // where it goes
	Restore           bool        // put what is accounted for in the place of what nobody signed who may
	Quiet             bool        // no progress
}

// Pushed is what a push did.
type Pushed struct {
	App      string          `json:"app"`
	Remote   string          `json:"remote"`
	Files    int             `json:"files"` // that were not there yet
	Bytes    int64           `json:"bytes"`
	Channels []PushedChannel `json:"channels"`
}

// PushedChannel is a channel that is at the remote now.
type PushedChannel struct {
	Channel  string    `json:"channel"`
	Sequence int64     `json:"sequence"`
	Expires  time.Time `json:"expires"`
	Changed  bool      `json:"changed"` // false: it was there already
}

// Print says it to a person.
func (p *Pushed) Print(w io.Writer) {
	for _, c := range p.Channels {
		how := "was there already"
		if c.Changed {
			how = "is there now"
		}
		fmt.Fprintf(w, "%s: channel %s of %s %s (sequence %d, expires %s).\n", p.Remote, c.Channel, p.App, how, c.Sequence, ui.Deadline(c.Expires))
	}
	if p.Files > 0 {
		fmt.Fprintf(w, "%s with %s went up.\n", ui.Plural(p.Files, "file"), ui.Bytes(p.Bytes))
	}
}

// pusher is a push under way.
type pusher struct {
	*Push
	view *publisher.View
	done *Pushed

	versions   []string       // whose files must be visible before the channels name them
	filesThere []store.Object // what the remote has, where it has one place for all
}

// object is something that goes up: a file, or a document in the place of what is there.
type object struct {
	name    string
	data    []byte    // of a document
	id      verify.ID // of a file
	version string    // of the release that a file is kept with

	exchanged bool // something else of this name and size is there
	replaces  store.Version
}

// Run pushes. Files go first, then manifests, trust documents and, last, channels, so that whoever reads at any moment
// finds all of the old or all of the new. To run it again finishes what was interrupted.
func (o *Push) Run(ctx context.Context) (*Pushed, error) {
	view, err := publisher.Look(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	p := &pusher{Push: o, view: view, done: &Pushed{App: view.App(), Remote: o.To.String()}}
	channels, err := p.channels(ctx)
	if err != nil {
		return nil, err
	}
	// Everything is looked at before anything is changed.
	trust, err := p.trust(ctx)
	if err != nil {
		return nil, err
	}
	manifests, files, err := p.releases(ctx, channels)
	if err != nil {
		return nil, err
	}
	if err := p.upload(ctx, files); err != nil {
		return nil, err
	}
	if by, ok := o.To.(store.ByRelease); ok {
		for _, version := range p.versions {
			if err := by.Finish(ctx, version); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range slices.Concat(manifests, trust) {
		if err := p.document(ctx, d); err != nil {
			return nil, err
		}
	}
	for _, c := range channels {
		if err := p.channel(ctx, c); err != nil {
			return nil, err
		}
	}
	return p.done, view.Settle()
}

// planned is a channel, and what of it is at the remote.
type planned struct {
	*publisher.Served
	replaces store.Version
	there    bool // already as it should be
}

// channels judges every channel of the folder, and what the remote has in its place.
func (p *pusher) channels(ctx context.Context) (all []planned, err error) {
	names, err := p.view.Channels(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, ui.Fail(ui.ExitError, "%s has no channel yet: publish a release into it first, or fetch what is published (theseus pull)", p.Store)
	}
	remote, err := publisher.ChannelNames(ctx, p.To)
	if err != nil {
		return nil, err
	}
	for _, name := range remote {
		if slices.Contains(names, name) {
			continue
		}
		if c, err := p.view.ChannelIn(ctx, p.To, name); err == nil {
			return nil, ui.Fail(ui.ExitBusy, "%s has a channel %s (sequence %d, signed by %s), and %s does not: another publisher made it: fetch it first (theseus pull), then push again", p.To, name, c.Sequence, ui.KeyIDs(c.Signers), p.Store)
		}
	}
	for _, name := range names {
		c, err := p.view.Channel(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			err = p.view.Removed(name)
		}
		if errors.Is(err, publisher.ErrForged) {
			err = ui.Fail(ui.ExitRefused, "%s/%s: %w: remove it, or restore it from your backup; nothing was pushed", p.Store, name, err)
		}
		if err == nil {
			err = p.view.Judge(c)
		}
		if err != nil {
			return nil, err
		}
		next := planned{Served: c, replaces: store.Nothing}
		if slices.Contains(remote, name) {
			if next, err = p.against(ctx, c); err != nil {
				return nil, err
			}
		}
		all = append(all, next)
	}
	return all, nil
}

// against compares a channel with what the remote has in its place.
func (p *pusher) against(ctx context.Context, ours *publisher.Served) (planned, error) {
	next := planned{Served: ours}
	theirs, err := p.view.ChannelIn(ctx, p.To, ours.Name)
	if errors.Is(err, fs.ErrNotExist) { // removed since it was listed
		return next, nil
	}
	where := p.To.String() + "/" + ours.Name
	if errors.Is(err, publisher.ErrForged) {
		if !p.Restore {
			return next, ui.Fail(ui.ExitRefused, "%s: %w: somebody else can write there; find out who, then put yours in its place with --restore", where, err)
		}
		next.replaces = theirs.Version
		return next, nil
	}
	if err != nil {
		return next, err
	}
	next.replaces, next.there = theirs.Version, theirs.ID == ours.ID
	switch {
	case next.there || p.view.Known(p.To.String(), theirs.Channel) && theirs.Sequence < ours.Sequence:
		return next, nil
	case theirs.Sequence >= ours.Sequence:
		return next, faster(where, theirs, "newer than yours")
	}
	if lost := publisher.Missing(theirs.Channel, ours.Channel); lost != "" {
		return next, faster(where, theirs, "and yours says nothing of "+lost)
	}
	return next, nil
}

// faster says who has published meanwhile.
func faster(where string, c *publisher.Served, how string) error {
	return ui.Fail(ui.ExitBusy, "another publisher was faster: %s has sequence %d, signed by %s on %s, %s: fetch it (theseus pull --adopt), do again what you did (publish, refresh, …), and push again", where, c.Sequence, ui.KeyIDs(c.Signers), c.Issued.Format(time.RFC3339), how)
}

// trust plans the trust documents. What the remote has and nobody accounts for would have clients believe other keys.
func (p *pusher) trust(ctx context.Context) (all []object, err error) {
	ours, err := p.view.TrustFiles(ctx)
	if err != nil {
		return nil, err
	}
	there, err := publisher.Trusts(ctx, p.To)
	if err != nil {
		return nil, err
	}
	for _, n := range there {
		if ours[n] == nil && n > p.view.Trust().Version {
			return nil, ui.Fail(ui.ExitRefused, "%s has trust document %d, and %d is the last that is known here: fetch it (theseus pull), which checks that it follows from the root; if it does not, remove it there and find out who can write there", p.To, n, p.view.Trust().Version)
		}
	}
	for n := 1; n < p.view.Trust().Version; n++ {
		if ours[n] == nil && !slices.Contains(there, n) {
			p.Say(fmt.Sprintf("warning: trust document %d is neither here nor at the remote: programs that were built before it cannot follow; restore it from your backup", n))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(ours)) {
		d, err := p.plan(ctx, release.TrustPath(n), ours[n], verify.TypeTrust, slices.Contains(there, n))
		if err != nil {
			return nil, err
		}
		if d != nil {
			all = append(all, *d)
		}
	}
	return all, nil
}

// plan compares a document that never changes but for signatures with what the remote has in its place; nil if it is there.
func (p *pusher) plan(ctx context.Context, name string, ours []byte, t verify.Type, there bool) (*object, error) {
	d := &object{name: name, data: ours}
	if !there {
		return d, nil
	}
	theirs, v, err := publisher.ReadDocument(ctx, p.To, name, t)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	d.replaces = v
	switch {
	case bytes.Equal(theirs, ours):
		return nil, nil
	case publisher.MoreSignatures(theirs, ours):
		return nil, nil
	case publisher.Identity(theirs) != publisher.Identity(ours) && !p.Restore:
		return nil, ui.Fail(ui.ExitRefused, "%s/%s is another document than the one that was signed here: compare the two (theseus inspect); somebody else can write there; put yours in its place with --restore", p.To, name)
	}
	return d, nil
}

// releases plans the manifests that the channels name, and their files.
func (p *pusher) releases(ctx context.Context, channels []planned) (manifests, files []object, err error) {
	listed, err := p.To.List(ctx, "releases")
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, c := range channels {
		for _, e := range c.Entries {
			name := release.ManifestPath(e.Version)
			if seen[name] {
				continue
			}
			seen[name] = true
			m, file, err := p.view.Manifest(ctx, e)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil, ui.Fail(ui.ExitRefused, "%s names %s, and it is not in %s: fetch it (theseus pull), or restore it from your backup", c.Name, name, p.Store)
			}
			if err != nil {
				return nil, nil, err
			}
			size := slices.IndexFunc(listed, func(o store.Object) bool { return o.Name == path.Base(name) && o.Size == int64(len(file)) })
			if size < 0 || p.Restore {
				there := slices.Contains(store.Names(listed), path.Base(name))
				d, err := p.plan(ctx, name, file, verify.TypeManifest, there)
				if err != nil {
					return nil, nil, err
				}
				if d != nil {
					manifests = append(manifests, *d)
				}
			}
			p.versions = append(p.versions, m.Version.String())
			more, err := p.files(ctx, m)
			if err != nil {
				return nil, nil, err
			}
			for _, f := range more {
				if key := f.name + " " + f.version; !seen[key] {
					seen[key] = true
					files = append(files, f)
				}
			}
		}
	}
	return manifests, files, nil
}

// shelf is where the files of a release lie: most stores have one place for all.
func shelf(s store.Store, version string) store.Store {
	if by, ok := s.(store.ByRelease); ok {
		return by.Release(version)
	}
	return s
}

// owner is the release that a file is kept with, if the store makes a difference.
func owner(s store.Store, version string) string {
	if _, ok := s.(store.ByRelease); ok {
		return version
	}
	return ""
}

// files plans the files of a release that the remote does not have in full.
func (p *pusher) files(ctx context.Context, m *release.Manifest) (missing []object, err error) {
	there, err := p.listed(ctx, m.Version.String())
	if err != nil {
		return nil, err
	}
	want := func(name string, id verify.ID) error {
		exchanged := slices.Contains(there, store.Object{Name: path.Base(name), Size: id.Size})
		if exchanged {
			whole, err := p.whole(ctx, m.Version.String(), name, id)
			if err != nil || whole {
				return err
			}
		}
		if err := check(ctx, p.Store, name, id); err != nil {
			return err
		}
		missing = append(missing, object{name: name, id: id, version: owner(p.To, m.Version.String()), exchanged: exchanged})
		return nil
	}
	for _, a := range m.Artifacts {
		for _, d := range a.Downloads {
			if err := want(d.Path(), d.Stored); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range m.Attachments {
		if err := want(a.Path(), a.File); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// whole reports whether a file of the right size at the remote may be left there: to restore what somebody may have
// exchanged, it is read.
func (p *pusher) whole(ctx context.Context, version, name string, id verify.ID) (bool, error) {
	if !p.Restore {
		return true, nil
	}
	f, _, err := shelf(p.To, version).Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, err = io.Copy(io.Discard, during(ctx, sealed(f, id))); errors.Is(err, errExchanged) {
		p.Say(fmt.Sprintf("%s/%s is not what was signed, and is put there anew", p.To, short(name)))
		return false, nil
	}
	return err == nil, err
}

// listed returns the files that the remote has for a release.
func (p *pusher) listed(ctx context.Context, version string) ([]store.Object, error) {
	if owner(p.To, version) != "" || p.filesThere == nil {
		objects, err := shelf(p.To, version).List(ctx, "files")
		if err != nil || owner(p.To, version) != "" {
			return objects, err
		}
		p.filesThere = append([]store.Object{}, objects...)
	}
	return p.filesThere, nil
}

// check reads a file of the folder and compares it with what was signed: nothing else goes up under its name.
func check(ctx context.Context, s store.Store, name string, id verify.ID) error {
	where := s.String() + "/" + name
	f, _, err := s.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return ui.Fail(ui.ExitRefused, "%s is neither here nor at the remote: publish that release again with the same files, or fetch it (theseus pull)", where)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	switch _, err := io.Copy(io.Discard, during(ctx, sealed(f, id))); {
	case errors.Is(err, errExchanged):
		return ui.Fail(ui.ExitRefused, "%s is not what was signed: somebody exchanged it; remove it, and publish that release again with the same files", where)
	case err != nil:
		return err
	}
	return nil
}

// upload brings the files to the remote, some at a time, and makes those of each release visible when all of it are there.
func (p *pusher) upload(ctx context.Context, files []object) error {
	var total int64
	for _, f := range files {
		total += f.id.Size
	}
	progress := ui.NewTransfer("pushing", len(files), total, p.Quiet)
	defer progress.Stop()
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, f := range files {
		g.Go(func() error {
			body, _, err := p.Store.Get(inner, f.name)
			if err != nil {
				return err
			}
			defer body.Close()
			if f.exchanged { // a name that is taken is not given again everywhere
				if err := shelf(p.To, f.version).Delete(inner, f.name); err != nil {
					return err
				}
			}
			if err := shelf(p.To, f.version).Put(inner, f.name, sealed(progress.Reader(body), f.id), f.id.Size, store.Anything); err != nil {
				return err
			}
			progress.Done(short(f.name), f.id.Size)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	p.done.Files, p.done.Bytes = len(files), total
	return nil
}

// document brings one document to the remote.
func (p *pusher) document(ctx context.Context, d object) error {
	err := p.To.Put(ctx, d.name, bytes.NewReader(d.data), int64(len(d.data)), d.replaces)
	if !errors.Is(err, store.ErrChanged) {
		return err
	}
	// Somebody else was at it: that is well if it was for the same.
	theirs, _, err := publisher.ReadDocument(ctx, p.To, d.name, verify.TypeManifest)
	if err == nil && publisher.Identity(theirs) == publisher.Identity(d.data) {
		return nil
	}
	return ui.Fail(ui.ExitBusy, "another publisher was faster: %s/%s is there meanwhile, and is another document: fetch what is there (theseus pull --adopt), do again what you did, and push again", p.To, d.name)
}

// channel puts a channel in the place of what was there when this began.
func (p *pusher) channel(ctx context.Context, c planned) error {
	if !c.there {
		err := p.To.Put(ctx, c.Name, bytes.NewReader(c.File), int64(len(c.File)), c.replaces)
		if errors.Is(err, store.ErrChanged) {
			err = p.lost(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	if err := p.view.Adopt(c.Served); err != nil {
		return err
	}
	p.done.Channels = append(p.done.Channels, PushedChannel{c.Name, c.Sequence, c.Expires, !c.there})
	return p.view.Saw(p.To.String(), c.Channel)
}

// lost says who was faster; nil if it is our own document that arrived.
func (p *pusher) lost(ctx context.Context, c planned) error {
	where := p.To.String() + "/" + c.Name
	theirs, err := p.view.ChannelIn(ctx, p.To, c.Name)
	switch {
	case err == nil && theirs.ID == c.ID:
		return nil
	case err == nil:
		return faster(where, theirs, "while this one was on its way")
	case errors.Is(err, publisher.ErrForged):
		return ui.Fail(ui.ExitRefused, "%s was changed while this ran, by somebody who cannot sign: %w: somebody else can write there; find out who, then push again with --restore", where, err)
	}
	return ui.Fail(ui.ExitBusy, "%s was changed while this ran: push again: %w", where, err)
}
