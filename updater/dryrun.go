package updater

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/screen"
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
	// Running are the processes that go on with what they run: this command restarts nothing.
	Running []int  `json:"running,omitzero"`
	Code    int    `json:"code"` // that the update would end with, as far as can be foreseen
	Error   string `json:"error,omitzero"`

	service bool
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

// rehearse is an update up to its download. It does not keep the lock while it asks the source: whoever has to undo something
// must not wait for the network.
func (j *job) rehearse(ctx context.Context) (p plan, err error) {
	p = plan{App: j.opts.App, Path: j.disk.Path, Installed: j.opts.running.String(), service: j.opts.Restart != nil}
	if j.invoked != j.disk.Path {
		p.Invoked = j.invoked
	}
	barred := j.lock(ctx, installation.ToUpdate)
	j.unlock()
	if barred == nil {
		barred = j.moved()
	}
	if barred != nil && !errors.Is(barred, ErrPermission) {
		return p, fail(StepPlanning, "", barred)
	}
	if j.keptHere(ctx) {
		p.Offered, p.Installed = j.want.String(), j.Status().Installed
		return p, fail(StepPlanning, p.Offered, barred)
	}
	_, err = j.look(ctx)
	if j.installed != nil {
		p.Installed = j.installed.String()
	}
	if err != nil || j.offer == nil {
		return p, err
	}
	p.Offered = j.offer.Entry.Version.String()
	seen := p.foresee(ctx, j)
	if barred != nil {
		return p, fail(StepPlanning, "", barred)
	}
	return p, fail(StepPlanning, p.Offered, seen)
}

// foresee looks at everything that the update would do, and what would stop it.
func (p *plan) foresee(ctx context.Context, j *job) error {
	w, tried := j.tryOut(ctx)
	for _, l := range w.route {
		p.Downloads = append(p.Downloads, planLeg{j.address(l.Path()), l.Encoding, l.Stored.Size, l.to.Size})
	}
	p.Space, p.Staged = w.space(), j.disk.Home
	if err := p.describe(j, w.gone); tried == nil {
		tried = err
	}
	return tried
}

// describe says what will be there afterwards.
func (p *plan) describe(j *job, gone []state.File) error {
	if err := p.files(j, gone); err != nil {
		return err
	}
	like, err := j.disk.Likeness()
	if err != nil {
		return err
	}
	p.Mode, p.Owner, p.Attributes = like.Mode.String(), like.Owner, like.Attributes
	for _, in := range j.instances() {
		p.Running = append(p.Running, in.PID)
	}
	return nil
}

// files says which earlier versions will be there afterwards, by doing to a copy of the state what the update will do
// to it.
func (p *plan) files(j *job, gone []state.File) error {
	st, err := j.recall(j.events)
	if err != nil {
		return err
	}
	old, err := j.disk.FileAt(st, p.Installed)
	if err != nil {
		return err
	}
	old.Proved = old.Proved || j.vouches(&old)
	before := kept(st)
	forget(st, gone)
	installation.Installed(st, state.Journal{From: old, To: state.File{Version: p.Offered, ID: onDisk(j.offer.Artifact.File)}}, j.opts.Keep)
	after := map[string]bool{}
	for _, f := range kept(st) {
		here := planFile{f.Version, filepath.Join(j.disk.Home, "previous-"+hex.EncodeToString(f.ID.SHA256[:]))}
		after[here.File] = true
		p.Kept = append(p.Kept, here)
	}
	for _, f := range before {
		gone := planFile{f.Version, filepath.Join(j.disk.Home, "previous-"+hex.EncodeToString(f.ID.SHA256[:]))}
		if !after[gone.File] {
			p.Removed = append(p.Removed, gone)
		}
	}
	return nil
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
		say("download", "%s (%s) for a file of %s: %s", screen.Bytes(l.Bytes), encoding, screen.Bytes(l.Makes), l.From)
	}
	if len(p.Downloads) == 0 {
		say("download", "nothing: it is kept here")
		return
	}
	say("staged in", "%s, at most %s at once", p.Staged, screen.Bytes(p.Space))
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
	if p.service || len(p.Running) > 0 {
		restart := "nothing: a running service takes the new version " + nextStart
		if len(p.Running) > 0 {
			restart += fmt.Sprintf(" (processes %s)", strings.Trim(fmt.Sprint(p.Running), "[]"))
		}
		say("restarts", "%s", restart)
	}
}
