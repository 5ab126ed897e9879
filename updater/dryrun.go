package updater

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/theseus-go/theseus/internal/state"
)

// plan is what an update would do: what --dry-run prints.
type plan struct {
	App  string `json:"app"`
	Path string `json:"path"`
	// Invoked is the link that leads to Path, "" if there is none; it stays.
	Invoked   string     `json:"invoked,omitzero"`
	Installed string     `json:"installed"`
	Offered   string     `json:"offered,omitzero"`
	Downloads []planLeg  `json:"downloads,omitzero"`
	Space     int64      `json:"space,omitzero"`  // bytes on disk at the widest, besides what is there
	Staged    string     `json:"staged,omitzero"` // the folder in which the new file is made
	Kept      []planFile `json:"kept,omitzero"`   // for --rollback, the next first
	Removed   []planFile `json:"removed,omitzero"`
	// Mode, Owner and Attributes are what the new file gets, as the old one has it.
	Mode       string   `json:"mode,omitzero"`
	Owner      string   `json:"owner,omitzero"`
	Attributes []string `json:"attributes,omitzero"`
	// Running are the processes that go on with what they run: this command
	// restarts nothing.
	Running []int  `json:"running,omitzero"`
	Code    int    `json:"code"` // that the update would end with, as far as can be foreseen
	Error   string `json:"error,omitzero"`
}

type planLeg struct {
	From     string `json:"from"` // URL; a mirror is asked for the same if this fails
	Encoding string `json:"encoding,omitzero"`
	Bytes    int64  `json:"bytes"`
	Makes    int64  `json:"makes"` // bytes of the file that comes of it
}

type planFile struct {
	Version string `json:"version"`
	File    string `json:"file"`
}

// rehearsal is an update up to its download.
func (u *Updater) rehearsal(ctx context.Context, req request) (p plan, err error) {
	p = plan{App: u.opts.App, Path: u.target.Path, Installed: u.running.String()}
	if u.invoked != u.target.Path {
		p.Invoked = u.invoked
	}
	if err := u.foreign(); err != nil {
		return p, fail(Planning, "", err)
	}
	if err := u.moved(); err != nil {
		return p, fail(Planning, "", err)
	}
	v, err := u.check(ctx, req)
	if v != nil && v.installed != nil {
		p.Installed = v.installed.String()
	}
	if err != nil || v.offer == nil {
		return p, err
	}
	p.Offered = v.offer.Entry.Version.String()
	routes, err := u.routes(ctx, v)
	if err != nil {
		return p, fail(Planning, p.Offered, err)
	}
	for _, l := range routes[0] {
		p.Downloads = append(p.Downloads, planLeg{u.from(l.Path()), l.Encoding, l.Stored.Size, l.to.Size})
	}
	p.Space, p.Staged = routes[0].space(), u.target.Home
	if err := p.files(u, v); err != nil {
		return p, fail(Planning, p.Offered, err)
	}
	like, err := u.target.Likeness()
	if err != nil {
		return p, fail(Planning, p.Offered, err)
	}
	p.Mode, p.Owner, p.Attributes = like.Mode.String(), like.Owner, like.Attributes
	for _, in := range u.instances() {
		p.Running = append(p.Running, in.PID)
	}
	if err := u.target.Prepare(p.Space); err != nil {
		return p, fail(Planning, p.Offered, err)
	}
	_, release, err := u.acquire()
	if err != nil {
		return p, fail(Planning, p.Offered, err)
	}
	release()
	return p, nil
}

// files says which earlier versions will be there afterwards, by doing to a
// copy of the state what the update will do to it.
func (p *plan) files(u *Updater, v *view) error {
	st, err := u.load()
	if err != nil {
		return err
	}
	old, err := u.fileAt(st, p.Installed)
	if err != nil {
		return err
	}
	before := kept(st)
	st.Swapped(state.Journal{From: old, To: state.File{Version: p.Offered, ID: onDisk(v.offer.Artifact.File)}})
	st.Trim(u.opts.Keep)
	after := map[string]bool{}
	for _, f := range kept(st) {
		here := planFile{f.Version, filepath.Join(u.target.Home, "previous-"+hex.EncodeToString(f.ID.SHA256[:]))}
		after[here.File] = true
		p.Kept = append(p.Kept, here)
	}
	for _, f := range before {
		gone := planFile{f.Version, filepath.Join(u.target.Home, "previous-"+hex.EncodeToString(f.ID.SHA256[:]))}
		if !after[gone.File] {
			p.Removed = append(p.Removed, gone)
		}
	}
	return nil
}

func kept(st *state.State) (files []*state.File) {
	if st.Previous != nil {
		files = append(files, st.Previous)
	}
	return append(files, st.Older...)
}

// from is where a path of the repository is asked for first, without secrets.
func (u *Updater) from(path string) string {
	base, err := url.Parse(u.fetch.Sources[0])
	if err != nil {
		return u.opts.App
	}
	return strings.TrimSuffix(base.Redacted(), "/") + "/" + path
}

func (p plan) print(w io.Writer) {
	if p.Offered == "" {
		if p.Error == "" {
			fmt.Fprintf(w, "%s %s is current: an update would do nothing.\n", p.App, p.Installed)
		}
		return
	}
	say := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%s %s would be replaced by %s.\n", p.App, p.Installed, p.Offered)
	say("program", "%s", p.Path)
	if p.Invoked != "" {
		say("link", "%s leads to it, and stays", p.Invoked)
	}
	for _, l := range p.Downloads {
		encoding := l.Encoding
		if encoding == "" {
			encoding = "as it is"
		}
		say("download", "%d bytes (%s) for a file of %d bytes: %s", l.Bytes, encoding, l.Makes, l.From)
	}
	say("staged in", "%s, at most %d bytes at once", p.Staged, p.Space)
	for _, f := range p.Kept {
		say("kept", "%s as %s", f.Version, f.File)
	}
	for _, f := range p.Removed {
		say("removed", "%s, %s", f.Version, f.File)
	}
	like := "mode " + p.Mode
	if p.Owner != "" {
		like += ", owner " + p.Owner
	}
	if len(p.Attributes) > 0 {
		like += ", attributes " + strings.Join(p.Attributes, " ")
	}
	say("stays", "%s", like)
	restart := "nothing: a running service takes the new version " + nextStart
	if len(p.Running) > 0 {
		restart += fmt.Sprintf(" (processes %s)", strings.Trim(fmt.Sprint(p.Running), "[]"))
	}
	say("restarts", "%s", restart)
}
