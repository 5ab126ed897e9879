package main

import (
	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/remote"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func pushCommand() *cobra.Command {
	var o remoteFlags
	var restore bool
	c := &cobra.Command{
		Use:   "push [REMOTE]",
		Short: "Take the repository to where it is served from",
		Long: `Takes what was signed in the folder to a remote: ` + store.Addresses + `.
REMOTE is such an address, or the name of one in theseus.yaml; without it, the only one there:

  remotes:
    origin: s3://releases/hello?region=eu-central-1

Files go first, then manifests and trust documents, channels last: whoever reads at any moment finds all of the old or all
of the new. What is there already is not sent again, so that the same command finishes what was interrupted.

It takes only what follows from the root and does not fall behind theseus.lock, and a channel takes the place of just the
one that was looked at. If somebody else has published meanwhile, nothing of theirs is lost: exit code 7 says who, and
theseus pull fetches it. If there is something that nobody signed who may, somebody else can write there: exit code 4.

Exit codes: 0 all is there, 4 something does not verify, 5 the remote does not answer, 6 it says no, 7 another publisher
was faster.`,
		Example: `  theseus push
  theseus push s3://releases/hello?endpoint=https://s3.example.com
  theseus push /srv/www/hello --repo dl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.load(); err != nil {
				return err
			}
			address, err := o.address(args)
			if err != nil {
				return err
			}
			if err := o.same(address); err != nil {
				return err
			}
			options, folder, err := o.options(c.Context(), false)
			if err != nil {
				return err
			}
			defer folder.Close()
			to, err := store.Open(c.Context(), address)
			if err != nil {
				return err
			}
			defer to.Close()
			push := remote.Push{Options: options, To: to, Restore: restore, Quiet: o.quiet}
			done, err := push.Run(c.Context())
			if err != nil {
				return err
			}
			return ui.Result(o.json, done, done.Print)
		},
	}
	o.add(c)
	c.Flags().BoolVar(&restore, "restore", false, "put what was signed here in the place of what nobody signed who may; reads every file there to find out")
	return c
}
