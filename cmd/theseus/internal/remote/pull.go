package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// A Pull brings what is served at a remote into the folder in which it is signed.
type Pull struct {
	publisher.Options         // Store is the folder
	From              *Source // where it comes from
	Documents         bool    // no files: enough to refresh, to withdraw or to change a rollout
	Quiet             bool    // no progress
}

// Pulled is what a pull did.
type Pulled struct {
	App      string          `json:"app"`
	Remote   string          `json:"remote"`
	Files    int             `json:"files"` // that were not here yet
	Bytes    int64           `json:"bytes"`
	Channels []PulledChannel `json:"channels"`
}

// PulledChannel is a channel of the remote.
type PulledChannel struct {
	Channel  string    `json:"channel"`
	Sequence int64     `json:"sequence"` // of what is here now
	Expires  time.Time `json:"expires"`
	State    string    `json:"state"` // "same", "pulled", or "ahead": what is here is newer and was not pushed
}

// Print says it to a person.
func (p *Pulled) Print(w io.Writer) {
	for _, c := range p.Channels {
		how := map[string]string{"same": "was here already", "pulled": "is here now", "ahead": "is newer here: theseus push"}[c.State]
		fmt.Fprintf(w, "%s: channel %s of %s %s (sequence %d, expires %s).\n", p.Remote, c.Channel, p.App, how, c.Sequence, ui.Deadline(c.Expires))
	}
	if p.Files > 0 {
		fmt.Fprintf(w, "%s with %s came down.\n", ui.Plural(p.Files, "file"), ui.Bytes(p.Bytes))
	}
}

type puller struct {
	*Pull
	view *publisher.View // of the remote
	done *Pulled
}

// Run pulls. What the remote has must follow from the root and must not fall behind the memory: nothing of it is believed
// because it is there. Files go first and channels last, as they do in a push.
func (o *Pull) Run(ctx context.Context) (*Pulled, error) {
	there := o.Options
	there.Store = asStore{o.From}
	view, err := publisher.Look(ctx, there)
	if err != nil {
		return nil, err
	}
	p := &puller{o, view, &Pulled{App: view.App(), Remote: o.From.String()}}
	names, err := publisher.ChannelNames(ctx, there.Store)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, ui.Fail(ui.ExitError, "%s has no channel: nothing was pushed there yet", o.From)
	}
	var take []*publisher.Served
	for _, name := range names {
		c, err := p.channel(ctx, name)
		if err != nil {
			return nil, err
		}
		if c != nil {
			take = append(take, c)
		}
	}
	manifests, files, err := p.releases(ctx, take)
	if err != nil {
		return nil, err
	}
	if err := p.download(ctx, files); err != nil {
		return nil, err
	}
	if err := p.trust(ctx); err != nil {
		return nil, err
	}
	for _, m := range manifests {
		if err := p.keep(ctx, m.name, m.data); err != nil {
			return nil, err
		}
	}
	for _, c := range take {
		if err := p.keep(ctx, c.Name, c.File); err != nil {
			return nil, err
		}
		if err := view.Adopt(c); err != nil {
			return nil, err
		}
		if err := view.Saw(o.From.String(), c.Channel); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(p.done.Channels, func(a, b PulledChannel) int { return bytes.Compare([]byte(a.Channel), []byte(b.Channel)) })
	return p.done, view.Settle()
}

// channel judges a channel of the remote. It returns nil if there is nothing to take.
func (p *puller) channel(ctx context.Context, name string) (*publisher.Served, error) {
	theirs, err := p.view.Channel(ctx, name)
	if errors.Is(err, fs.ErrNotExist) { // of a server, a channel that nobody made yet
		return nil, nil
	}
	if err != nil {
		if errors.Is(err, publisher.ErrForged) {
			if _, missing := p.view.ChannelIn(ctx, p.Store, name); errors.Is(missing, fs.ErrNotExist) && !p.view.Remembers(name) {
				// Any file may lie there. One that was never a channel of ours keeps none of them from being fetched.
				p.Say(fmt.Sprintf("%s/%s is left alone: it is no channel that is known here, and %v", p.From, name, err))
				return nil, nil
			}
			err = ui.Fail(ui.ExitRefused, "%s/%s: %w: nothing of it was taken; find out who can write there", p.From, name, err)
		}
		return nil, err
	}
	say := func(c *publisher.Served, state string) {
		p.done.Channels = append(p.done.Channels, PulledChannel{c.Name, c.Sequence, c.Expires, state})
	}
	ours, missing := p.view.ChannelIn(ctx, p.Store, name)
	if missing == nil && !p.Adopt {
		switch {
		case ours.ID == theirs.ID:
			if err := p.view.Judge(theirs); err != nil {
				return nil, err
			}
			say(ours, "same")
			return theirs, nil // its files may be missing here
		case ours.Sequence > theirs.Sequence && publisher.Missing(theirs.Channel, ours.Channel) == "" && p.view.Judge(ours) == nil:
			say(ours, "ahead")
			return nil, p.view.Saw(p.From.String(), theirs.Channel)
		}
	}
	if err := p.view.Judge(theirs); err != nil {
		return nil, err
	}
	dropped := p.view.Dropped(theirs)
	if missing == nil {
		dropped = publisher.Missing(ours.Channel, theirs.Channel)
	}
	if p.Adopt && dropped != "" {
		p.Say(fmt.Sprintf("channel %s: what is here is given up for what is served, and with it %s: say it again if it still holds", name, dropped))
	}
	say(theirs, "pulled")
	return theirs, nil
}

// releases finds out which manifests and files are missing here.
func (p *puller) releases(ctx context.Context, channels []*publisher.Served) (manifests, files []object, err error) {
	here, err := p.Store.List(ctx, "files")
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
				err = ui.Fail(ui.ExitRefused, "%s names %s, and it is not there: restore it from a backup, and push it", c.Name, p.From.String()+"/"+name)
			}
			if err != nil {
				return nil, nil, err
			}
			ours, _, err := publisher.ReadDocument(ctx, p.Store, name, verify.TypeManifest)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, nil, err
			}
			if !bytes.Equal(ours, file) && !publisher.MoreSignatures(ours, file) {
				manifests = append(manifests, object{name: name, data: file})
			}
			if p.Documents {
				continue
			}
			want := func(name string, id verify.ID) {
				if !seen[name] && !slices.Contains(here, store.Object{Name: name[len("files/"):], Size: id.Size}) {
					seen[name] = true
					files = append(files, object{name: name, id: id, version: m.Version.String()})
				}
			}
			for _, a := range m.Artifacts {
				for _, d := range a.Downloads {
					want(d.Path(), d.Stored)
				}
			}
			for _, a := range m.Attachments {
				want(a.Path(), a.File)
			}
		}
	}
	return manifests, files, nil
}

// download brings the files here, each judged before it gets its name.
func (p *puller) download(ctx context.Context, files []object) error {
	var total int64
	for _, f := range files {
		total += f.id.Size
	}
	progress := ui.NewTransfer("pulling", len(files), total, p.Quiet)
	defer progress.Stop()
	for _, f := range files {
		if err := p.file(ctx, f, progress); err != nil {
			return err
		}
		progress.Done(short(f.name), f.id.Size)
	}
	p.done.Files, p.done.Bytes = len(files), total
	return nil
}

func (p *puller) file(ctx context.Context, f object, progress *ui.Transfer) error {
	temp, err := os.CreateTemp("", "theseus-pull-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if err := p.From.File(ctx, f.version, f.name, f.id, temp); err != nil {
		return err
	}
	return p.Store.Put(ctx, f.name, progress.Reader(sealed(temp, f.id)), f.id.Size, store.Anything)
}

// trust brings the trust documents here that follow from the root.
func (p *puller) trust(ctx context.Context) error {
	files, err := p.view.TrustFiles(ctx)
	if err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(files)) {
		if err := p.keep(ctx, release.TrustPath(n), files[n]); err != nil {
			return err
		}
	}
	return nil
}

// keep puts a document that was judged into the folder, whatever lies there.
func (p *puller) keep(ctx context.Context, name string, data []byte) error {
	ours, v, err := publisher.ReadDocument(ctx, p.Store, name, verify.TypeManifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v = store.Nothing
	case err != nil:
		return err
	case bytes.Equal(ours, data):
		return nil
	}
	return p.Store.Put(ctx, name, bytes.NewReader(data), int64(len(data)), v)
}
