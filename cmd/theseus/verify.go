package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/audit"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

type verifyOptions struct {
	projectFlags
	app       string
	channels  []string
	as        []string
	within    string
	allowHTTP bool
	json      bool
}

func verifyCommand() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check a repository as a client would: signatures, dates, and every byte that can be downloaded",
		Long: `Checks a repository, in a folder or behind a URL, by the code that clients use: the trust documents from the given key
on, each channel, each manifest that a channel names, and each file that a manifest names, which is downloaded, unpacked
and hashed. Of a folder everything in it is checked; of a URL the channels that are named.

With --as it is a client of that platform and version instead, and takes one update after the other until there is no
other: so a publisher finds out who is stuck before they do. --as all asks for every platform of every release on offer.

In a folder with theseus.yaml it also says what is older than what theseus.lock knows, or lacks a withdrawal in it; of a
URL too, where the project's repository was copied to.

Exit code: 0 all is well, 3 a client of --as is stuck, 4 something does not hold, 5 the source does not answer.`,
		Example: `  theseus verify --repo dl --key theseus.pub
  theseus verify --repo https://dl.example.com/hello --key theseus.pub \
      --channel stable --expires-within 14d
  theseus verify --repo dl --key theseus.pub --as linux/amd64@1.0.0
  theseus verify --repo hello.bundle --key theseus.pub`,
		RunE: func(c *cobra.Command, _ []string) error {
			look, err := o.options()
			if err != nil {
				return err
			}
			if len(o.as) > 0 {
				r, err := audit.Replay(c.Context(), look)
				if err != nil {
					return err
				}
				if err := ui.Result(o.json, r, r.Print); err != nil || r.OK {
					return err
				}
				return ui.Silent(ui.ExitNothing)
			}
			r, err := audit.Verify(c.Context(), look)
			if err != nil {
				return err
			}
			if err := ui.Result(o.json, r, r.Print); err != nil {
				return err
			}
			return r.Exit()
		},
	}
	f := c.Flags()
	f.StringVar(&o.repo, "repo", "", "`DIR, URL or bundle` to check (default: what theseus.yaml says)")
	o.addKey(c)
	f.StringVar(&o.app, "app", "", "`NAME` of the program (default: what the first channel says)")
	f.StringArrayVar(&o.channels, "channel", nil, "`NAME` of a channel (default: all of a folder, stable of a URL)")
	f.StringArrayVar(&o.as, "as", nil, "say where a client of this `OS/ARCH[/VARIANT]@VERSION` would get to, or all")
	f.StringVar(&o.within, "expires-within", "", "also fail if something expires within this `TIME`, for example 14d: for monitoring")
	addHTTP(c, &o.allowHTTP)
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

// addHTTP adds the flag of every verb that reads a repository which may be on another machine.
func addHTTP(c *cobra.Command, allow *bool) {
	c.Flags().BoolVar(allow, "allow-http", false, "plain http to other machines too: what is signed is still checked, who listens can see and withhold it")
}

// addKey adds the flag that names what clients are built with, under the two names that it has.
func (o *verifyOptions) addKey(c *cobra.Command) {
	c.Flags().StringVar(&o.root, "key", "", "`FILE` with what the program is built with: a public key or a trust document (default: the root of theseus.yaml)")
	c.Flags().StringVar(&o.root, "root", "", "`FILE`: the same as --key")
}

func (o *verifyOptions) options() (look audit.Options, err error) {
	if err := o.load(); err != nil {
		return look, err
	}
	look = audit.Options{Repo: o.repo, App: o.app, Channels: o.channels, As: o.as, AllowHTTP: o.allowHTTP}
	if o.within != "" {
		if look.Within, err = ui.ParseSpan(o.within); err != nil || look.Within <= 0 {
			return look, ui.Usage("--expires-within %s: want a time, for example 14d", o.within)
		}
	}
	if look.Root, err = o.trust(); err != nil {
		return look, err
	}
	if look.Root == nil {
		_, err := readTrust("")
		return look, err
	}
	signed := o.repo // what is known of it
	if store.IsRemote(o.repo) && o.project.Repo != "" {
		signed = o.project.At(o.project.Repo) // that is where it was copied to
	}
	if signed != "" {
		look.Memory, err = o.project.Memory(context.Background(), signed) // a reader keeps nothing, and waits for nobody
	}
	return look, err
}
