package audit

import (
	"context"
	"io"

	"github.com/Masterminds/semver/v3"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Attached are the attachments of one release.
type Attached struct {
	App     string         `json:"app"`
	Version string         `json:"version"`
	Files   []AttachedFile `json:"attachments"`

	v *verifier
}

// AttachedFile is one of them.
type AttachedFile struct {
	Name   string        `json:"name"`
	Type   string        `json:"type,omitempty"`
	Size   int64         `json:"size"`
	SHA256 verify.Digest `json:"sha256"`
}

// Attachments lists what is attached to a release of a channel; of the newest if no version is named.
func Attachments(ctx context.Context, o Options, version *semver.Version) (*Attached, error) {
	v, err := newVerifier(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, c := range v.Checks {
		if c.err != nil {
			return nil, c.err
		}
	}
	var entry *release.Entry
	for _, name := range v.channels {
		c, _, err := v.docs.Channel(ctx, name, nil)
		if err == nil {
			err = c.Fresh(v.clock)
		}
		if err != nil {
			return nil, err
		}
		for _, e := range c.Entries {
			if version != nil && e.Version.Equal(version) || version == nil && e.Yanked == nil && (entry == nil || entry.Version.LessThan(e.Version)) {
				entry = &e
			}
		}
	}
	if entry == nil {
		return nil, ui.Fail(ui.ExitNothing, "%s has no such release on offer: theseus inspect shows what a channel lists", o.Repo)
	}
	m, _, err := v.docs.Manifest(ctx, *entry)
	if err != nil {
		return nil, missing(err)
	}
	a := &Attached{App: m.App, Version: m.Version.String(), Files: []AttachedFile{}, v: v}
	for _, f := range m.Attachments {
		a.Files = append(a.Files, AttachedFile{f.Name, f.Type, f.File.Size, f.File.SHA256})
		v.home[f.Path()] = a.Version
	}
	return a, nil
}

// Fetch downloads one of them. Not a byte is written before size and hash are those of the manifest.
func (a *Attached) Fetch(ctx context.Context, name string, to io.Writer) error {
	var names []string
	for _, f := range a.Files {
		if f.Name != name {
			names = append(names, f.Name)
			continue
		}
		file, err := a.v.stored(ctx, release.Download{Stored: verify.ID{Size: f.Size, SHA256: f.SHA256}})
		if err != nil {
			return missing(err)
		}
		defer discard(file)
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err = io.Copy(to, file)
		return err
	}
	return ui.Fail(ui.ExitNothing, "%s %s has no attachment %s%s", a.App, a.Version, ui.Clean(name), ui.DidYouMean(name, names))
}

func (a *Attached) Print(w io.Writer) {
	if len(a.Files) == 0 {
		io.WriteString(w, a.App+" "+a.Version+" has no attachments.\n")
	}
	ui.Table(w, func(w io.Writer) {
		for _, f := range a.Files {
			io.WriteString(w, f.Name+"\t"+ui.Bytes(f.Size)+"\t"+f.Type+"\n")
		}
	})
}
