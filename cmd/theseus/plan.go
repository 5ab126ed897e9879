package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/verify"
)

// plan is publish --dry-run: it says what would be signed, and why not.
func plan(ctx context.Context, o *publishOptions) error {
	r, err := o.prepare()
	if err != nil {
		return err
	}
	if o.repo == "" {
		return ui.Usage("no repository: give --repo DIR, or name it in %s", publisher.ProjectFile)
	}
	options := publisher.Options{Store: store.NewAside(store.ReadFolder(o.repo)), App: o.app, Adopt: o.adopt, Say: say}
	if options.Root, err = o.trust(); err != nil {
		return err
	}
	if options.Within, err = o.project.RefreshWithin(); err != nil {
		return err
	}
	if options.Root == nil && !o.project.Exists() { // the first of all would believe its own key
		signers, err := o.keys.signers(ctx)
		if err != nil {
			return err
		}
		if len(signers) == 1 {
			if options.Root, err = verify.ParseTrust(signers[0].Key().String()); err != nil {
				return err
			}
		}
	}
	memory, err := o.project.Memory(ctx, o.repo)
	if err != nil {
		return err
	}
	options.Memory = memory.Aside()
	if err := o.files(ctx, options.Store, r); err != nil {
		return err
	}
	p, err := publisher.Open(ctx, options)
	if err != nil {
		return err
	}
	done, err := p.Plan(ctx, r)
	if err != nil {
		return err
	}
	if err := ui.Result(o.json, done, func(w io.Writer) { printPlan(w, done) }); err != nil {
		return err
	}
	if len(done.Mistakes) > 0 {
		return ui.Silent(ui.ExitError)
	}
	return nil
}

func printPlan(w io.Writer, p *publisher.Plan) {
	switch p.Does {
	case publisher.DoesNothing:
		fmt.Fprintf(w, "%s %s is in channel %s already: nothing would be done.\n", p.App, p.Version, p.Channel)
		return
	case publisher.DoesPromote:
		fmt.Fprintf(w, "Would offer %s %s, which is signed already, in channel %s.\n", p.App, p.Version, p.Channel)
	default:
		fmt.Fprintf(w, "Would sign %s %s and offer it in channel %s:\n", p.App, p.Version, p.Channel)
	}
	ui.Table(w, func(w io.Writer) {
		for _, f := range p.Files {
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s", f.Platform, ui.Bytes(f.Size), f.SHA256.String()[:16], f.Path)
			if len(f.Deltas) > 0 {
				fmt.Fprintf(w, "\tdeltas from %s", strings.Join(f.Deltas, ", "))
			}
			fmt.Fprintln(w)
		}
	})
	if len(p.Attached) > 0 {
		fmt.Fprintf(w, "Attached would be %s.\n", strings.Join(p.Attached, ", "))
	}
	if len(p.Withdrawn) > 0 {
		fmt.Fprintf(w, "No longer on offer would be %s.\n", strings.Join(p.Withdrawn, ", "))
	}
	if p.Notes != "" {
		fmt.Fprintf(w, "Notes:\n  %s\n", strings.ReplaceAll(p.Notes, "\n", "\n  "))
	}
	if len(p.Mistakes) == 0 {
		return
	}
	fmt.Fprintln(w, "But nothing would be signed, because")
	for _, m := range p.Mistakes {
		fmt.Fprintf(w, "  - %s (%s)\n", m.Text, m.Check)
	}
}
