package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// marksName is where a store keeps since when something is needed by no channel. It is the name of no document.
const marksName = "unneeded.json"

// A Prune removes what no channel has needed for a time: clients that read an older channel may still ask for it before.
type Prune struct {
	publisher.Options               // Store is the place
	After             time.Duration // how long something must have been unneeded
	Delete            bool          // otherwise it only says what it would do
}

// Pruned is what a prune found.
type Pruned struct {
	Place   string     `json:"place"`
	Deleted bool       `json:"deleted"` // false: nothing was changed
	Objects []Unneeded `json:"objects"`
}

// Unneeded is an object that no channel needs.
type Unneeded struct {
	Name  string    `json:"name"`
	Size  int64     `json:"size"`
	Since time.Time `json:"since"` // when that was first seen
	Gone  bool      `json:"gone"`  // long enough ago: it was removed, or would be
}

// Print says it to a person.
func (p *Pruned) Print(w io.Writer) {
	var n int
	var size int64
	for _, o := range p.Objects {
		how := "needed by no channel since " + ui.Date(o.Since)
		if o.Gone {
			how, n, size = how+", is due", n+1, size+o.Size
		}
		fmt.Fprintf(w, "%s (%s) %s\n", short(o.Name), ui.Bytes(o.Size), how)
	}
	switch {
	case len(p.Objects) == 0:
		fmt.Fprintf(w, "%s: everything in it is needed.\n", p.Place)
	case p.Deleted:
		fmt.Fprintf(w, "%s: %s removed, %s.\n", p.Place, ui.Plural(n, "object"), ui.Bytes(size))
	default:
		fmt.Fprintf(w, "%s: %s would be removed, %s; nothing was changed (--delete does it, and remembers the rest).\n", p.Place, ui.Plural(n, "object"), ui.Bytes(size))
	}
}

// Run prunes.
func (o *Prune) Run(ctx context.Context) (*Pruned, error) {
	if _, by := o.Store.(store.ByRelease); by {
		return nil, ui.Usage("%s keeps files with their releases: delete old releases there, when no channel lists them any more", o.Store)
	}
	view, err := publisher.Look(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	needed, err := needed(ctx, view)
	if err != nil {
		return nil, err
	}
	marks, version, err := o.marks(ctx)
	if err != nil {
		return nil, err
	}
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	now = now.UTC().Truncate(time.Second)
	done, still := &Pruned{Place: o.Store.String(), Deleted: o.Delete, Objects: []Unneeded{}}, map[string]time.Time{}
	for _, folder := range []string{"releases", "files"} {
		objects, err := o.Store.List(ctx, folder)
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			name := folder + "/" + object.Name
			if needed[name] {
				continue
			}
			u := Unneeded{Name: name, Size: object.Size, Since: now}
			if since, ok := marks[name]; ok && since.Before(now) {
				u.Since = since
			}
			_, seen := marks[name]
			if u.Gone = seen && now.Sub(u.Since) >= o.After; !u.Gone {
				still[name] = u.Since
			}
			done.Objects = append(done.Objects, u)
		}
	}
	if !o.Delete {
		return done, nil
	}
	for _, u := range done.Objects {
		if u.Gone {
			if err := o.Store.Delete(ctx, u.Name); err != nil {
				return nil, err
			}
		}
	}
	return done, o.mark(ctx, marks, still, version)
}

// needed is what the channels name, and what their releases name in turn. If any of that cannot be had, nothing is known to be
// unneeded.
func needed(ctx context.Context, view *publisher.View) (map[string]bool, error) {
	names, err := view.Channels(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, ui.Fail(ui.ExitError, "there is no channel, so nothing says what is needed: is it the right place?")
	}
	all := map[string]bool{}
	for _, name := range names {
		c, err := view.Channel(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			err = view.Removed(name)
		}
		if errors.Is(err, publisher.ErrForged) {
			err = ui.Fail(ui.ExitRefused, "%s: %w: remove it, or restore it from your backup; nothing was pruned", name, err)
		}
		if err == nil {
			err = view.Judge(c)
		}
		if err != nil {
			return nil, err
		}
		for _, e := range c.Entries {
			m, _, err := view.Manifest(ctx, e)
			if errors.Is(err, fs.ErrNotExist) {
				err = ui.Fail(ui.ExitRefused, "channel %s names %s, and it is not there: restore it from your backup, or fetch it (theseus pull); nothing was pruned", name, release.ManifestPath(e.Version))
			}
			if err != nil {
				return nil, err
			}
			all[release.ManifestPath(e.Version)] = true
			for _, a := range m.Artifacts {
				for _, d := range a.Downloads {
					all[d.Path()] = true
				}
			}
			for _, a := range m.Attachments {
				all[a.Path()] = true
			}
		}
	}
	return all, nil
}

// marks reads what was seen before. What cannot be read says nothing.
func (o *Prune) marks(ctx context.Context) (map[string]time.Time, store.Version, error) {
	b, version, err := publisher.ReadDocument(ctx, o.Store, marksName, verify.TypeManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, store.Nothing, nil
	}
	var marks map[string]time.Time
	if json.Unmarshal(b, &marks) != nil {
		marks = nil
	}
	return marks, version, err
}

func (o *Prune) mark(ctx context.Context, before, now map[string]time.Time, version store.Version) error {
	if maps.Equal(before, now) {
		return nil
	}
	b, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		return err
	}
	err = o.Store.Put(ctx, marksName, bytes.NewReader(b), int64(len(b)), version)
	if errors.Is(err, store.ErrChanged) {
		return ui.Fail(ui.ExitBusy, "%s/%s was changed by another prune: run this again", o.Store, marksName)
	}
	return err
}
