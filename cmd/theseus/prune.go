package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/remote"
	"github.com/theseus-go/theseus/cmd/theseus/internal/store"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func pruneCommand() *cobra.Command {
	var o remoteFlags
	var after string
	var del bool
	c := &cobra.Command{
		Use:   "prune [REMOTE]",
		Short: "Remove what no channel has needed for a time",
		Long: `Says which manifests and files no channel needs any more, in the folder or at a remote. With --delete it removes what has
been so for as long as --after says, and remembers in unneeded.json since when the rest is: clients that have read an older
channel may still ask for it. So the first run removes nothing.

Everything that the channels list is needed, and all that their releases name. If a channel or manifest does not verify,
nothing is removed.`,
		Example: `  theseus prune
  theseus prune s3://releases/hello --after 60d --delete`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			span, err := ui.ParseSpan(after)
			if err != nil || span < 0 || span > 10*365*24*time.Hour {
				return ui.Usage("--after %s: want a time, for example 30d", after)
			}
			if err := o.load(); err != nil {
				return err
			}
			options, folder, err := o.options(c.Context(), false)
			if err != nil {
				return err
			}
			defer folder.Close()
			if len(args) > 0 {
				address, err := o.address(args)
				if err != nil {
					return err
				}
				if err := o.same(address); err != nil {
					return err
				}
				there, err := store.Open(c.Context(), address)
				if err != nil {
					return err
				}
				defer there.Close()
				options.Store = there
			}
			prune := remote.Prune{Options: options, After: span, Delete: del}
			done, err := prune.Run(c.Context())
			if err != nil {
				return err
			}
			return ui.Result(o.json, done, done.Print)
		},
	}
	o.add(c)
	c.Flags().Lookup("quiet").Hidden = true
	c.Flags().StringVar(&after, "after", "30d", "`TIME` for which something must have been unneeded")
	c.Flags().BoolVar(&del, "delete", false, "do it")
	return c
}
