package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/remote"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func statusCommand() *cobra.Command {
	var o remoteFlags
	var within string
	var allowHTTP bool
	c := &cobra.Command{
		Use:   "status [REMOTE...]",
		Short: "Say how the repository stands, here and where it is served from",
		Long: `Says of the folder and of every remote of theseus.yaml, or of those that are named, which channels there are, what they
offer to whom at this moment, what is paused or withdrawn, when they expire, and in what a remote differs from the folder.
It looks at documents only; theseus verify looks at every file.

Exit codes, for monitoring: 0 all is as it should be, 4 something does not verify, has expired (or will, with
--expires-within), or differs from the folder, 5 a remote does not answer, 6 it says no.`,
		Example: `  theseus status
  theseus status s3://releases/hello --expires-within 14d --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.load(); err != nil {
				return err
			}
			s, err := o.look(c.Context(), args, within, allowHTTP)
			if err != nil {
				return err
			}
			if err := ui.Result(o.json, s, s.Print); err != nil {
				return err
			}
			return s.Exit()
		},
	}
	o.add(c)
	c.Flags().Lookup("quiet").Hidden = true
	c.Flags().StringVar(&within, "expires-within", "", "a channel that expires within this `TIME` is a problem, for example 14d")
	addHTTP(c, &allowHTTP)
	return c
}

// look reads the folder, if there is one here, and the remotes.
func (r *remoteFlags) look(ctx context.Context, args []string, within string, allowHTTP bool) (*remote.Status, error) {
	var soon time.Duration
	var err error
	if within != "" {
		if soon, err = ui.ParseSpan(within); err != nil || soon <= 0 {
			return nil, ui.Usage("--expires-within %s: want a time, for example 14d", within)
		}
	}
	o, err := r.reader("")
	if err != nil {
		return nil, err
	}
	if r.repo != "" && o.Memory == nil {
		if o.Memory, err = r.project.Memory(ctx, r.repo); err != nil { // a reader keeps nothing
			return nil, err
		}
	}
	if o.Within, err = r.project.RefreshWithin(); err != nil {
		return nil, err
	}
	if len(args) == 0 {
		args = slices.Sorted(maps.Keys(r.project.Remotes))
	}
	var addresses []string
	for _, a := range args {
		address, err := r.address([]string{a})
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	if o.Store == nil && len(addresses) == 0 {
		if _, err := os.Stat(r.repo); r.repo != "" && errors.Is(err, os.ErrNotExist) {
			return nil, ui.Fail(ui.ExitError, "there is no %s: publish a release into it, or fetch what is published (theseus pull)", r.repo)
		}
		return nil, ui.Usage("nothing to look at: give --repo DIR, or name a remote: %s", store.Addresses)
	}
	var channels []string
	if o.Memory != nil {
		channels = remembered(o.Memory)
	}
	open := func(address string) (*remote.Source, error) {
		return remote.OpenSource(ctx, address, allowHTTP, channels...)
	}
	return remote.Look(ctx, o, addresses, open, soon)
}
