package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// remoteFlags are the flags of every verb that goes between the folder and a remote.
type remoteFlags struct {
	projectFlags
	quiet, json bool
}

func (r *remoteFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.repo, "repo", "", "`DIR` in which the repository is signed (default: what theseus.yaml says)")
	r.addRoot(c)
	f.BoolVar(&r.quiet, "quiet", false, "do not say how far it is")
	f.BoolVar(&r.json, "json", false, "print one JSON object")
}

// address is where a remote is: by its name in theseus.yaml or as it is written; the only one of theseus.yaml if none is named.
func (p *projectFlags) address(args []string) (string, error) {
	names := slices.Sorted(maps.Keys(p.project.Remotes))
	if len(args) == 0 {
		switch len(names) {
		case 0:
			return "", ui.Usage("no remote: name %s, or write it into %s under remotes", store.Addresses, publisher.ProjectFile)
		case 1:
			return p.project.At(p.project.Remotes[names[0]]), nil
		}
		return "", ui.Usage("%s has the remotes %s: say which one", publisher.ProjectFile, strings.Join(names, ", "))
	}
	if known, ok := p.project.Remotes[args[0]]; ok {
		return p.project.At(known), nil
	}
	if !store.IsRemote(args[0]) && len(names) > 0 && !strings.ContainsAny(args[0], `/\.`) {
		return "", ui.Usage("there is no remote %q: %s has %s (a folder is written ./%s)", args[0], publisher.ProjectFile, strings.Join(names, ", "), args[0])
	}
	return args[0], nil
}

// options locks the folder and gathers what is needed to judge what is in it and at the remote. Whoever calls it closes the
// folder.
func (r *remoteFlags) options(ctx context.Context, adopt bool) (o publisher.Options, folder *store.Folder, err error) {
	if r.repo == "" {
		return o, nil, ui.Usage("no repository: give --repo DIR, or name it in %s", publisher.ProjectFile)
	}
	if err = r.project.Apart(r.repo); err != nil {
		return o, nil, err
	}
	if o.Root, err = r.trust(); err != nil {
		return o, nil, err
	}
	if o.Within, err = r.project.RefreshWithin(); err != nil {
		return o, nil, err
	}
	if folder, err = store.OpenFolder(r.repo); err != nil {
		return o, nil, err
	}
	if o.Memory, err = r.project.Memory(ctx, r.repo); err != nil {
		folder.Close()
		return o, nil, err
	}
	o.Store, o.App, o.Adopt, o.Say = folder, r.app(), adopt, say
	return o, folder, nil
}

// same refuses a remote that is the folder itself.
func (r *remoteFlags) same(address string) error {
	if publisher.SameFolder(r.repo, address) {
		return ui.Usage("%s is the folder in which the repository is signed: name where it is served from", address)
	}
	return nil
}
