package publisher

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// An Attachment is a file on this machine about a release.
type Attachment struct {
	Name string // under which it is attached
	Type string // media type; "" if nobody says
	Path string
	Sum  verify.Digest // that its builder wrote down; zero if nobody has
}

// attachmentTypes are the media types of what people attach, by how its name ends.
var attachmentTypes = []struct{ ending, is string }{
	{".spdx.json", "application/spdx+json"},
	{".cdx.json", "application/vnd.cyclonedx+json"},
	{".intoto.jsonl", "application/vnd.in-toto+json"},
	{".sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json"},
	{".json", "application/json"},
	{".txt", "text/plain"},
}

// TypeOf is the media type of an attachment by its name; "" if that says nothing.
func TypeOf(name string) string {
	for _, t := range attachmentTypes {
		if strings.HasSuffix(strings.ToLower(name), t.ending) {
			return t.is
		}
	}
	return ""
}

// ParseAttachments reads FILE or FILE=TYPE.
func ParseAttachments(specs []string) (files []Attachment, err error) {
	for _, spec := range specs {
		path, is, said := strings.Cut(spec, "=")
		a := Attachment{Name: filepath.Base(path), Path: path, Type: is}
		if !said {
			a.Type = TypeOf(a.Name)
		}
		if path == "" || said && is == "" {
			return nil, ui.Usage("--attach %s: want FILE or FILE=TYPE, for example hello.spdx.json", spec)
		}
		files = append(files, a)
	}
	return files, nil
}

// attach brings attachments into the repository, as they are.
func (r repository) attach(ctx context.Context, files []Attachment) (all []release.Attachment, err error) {
	for _, a := range files {
		f := Artifact{Path: a.Path, Sum: a.Sum}
		src, id, err := f.open(ctx)
		if err != nil {
			return nil, fmt.Errorf("attachment %s: %w", a.Name, err)
		}
		_, err = r.encode(ctx, src, f, id, "")
		src.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, release.Attachment{Name: a.Name, Type: a.Type, File: id})
	}
	return all, nil
}

// attached is what the manifest would say of the files, without storing them.
func (r *Release) attached(ctx context.Context) (all []release.Attachment, err error) {
	for _, a := range r.Attachments {
		src, id, err := Artifact{Path: a.Path, Sum: a.Sum}.open(ctx)
		if err != nil {
			return nil, fmt.Errorf("attachment %s: %w", a.Name, err)
		}
		src.Close()
		all = append(all, release.Attachment{Name: a.Name, Type: a.Type, File: id})
	}
	slices.SortFunc(all, func(a, b release.Attachment) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// sameAttachments compares those of a manifest with those that are given now, and puts back what the repository has lost.
func (p *Publisher) sameAttachments(ctx context.Context, m *release.Manifest, r *Release) error {
	now, err := r.attached(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(now, m.Attachments) {
		return r.differs(m, "other attachments")
	}
	_, err = p.attach(ctx, r.Attachments)
	return err
}
