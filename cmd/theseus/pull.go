package main

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/remote"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func pullCommand() *cobra.Command {
	var o remoteFlags
	var channels []string
	var documents, adopt, allowHTTP bool
	c := &cobra.Command{
		Use:   "pull [REMOTE]",
		Short: "Fetch what is served into the folder in which it is signed",
		Long: `Fetches what another machine of yours has published, so that the next channel is built on it. REMOTE is as for push, or
an http or https URL that serves the repository.

Nothing is believed because it is there: trust documents must follow from the root, a channel must be signed and must not
fall behind theseus.lock, and files must be those that were signed. What is newer here stays: theseus push takes it there.
If both sides have published, --adopt takes what is served in place of what is here, and says what is given up.

A job that signs channels anew needs no files:

  theseus pull --documents && theseus refresh && theseus push`,
		Example: `  theseus pull
  theseus pull https://dl.example.com/hello --repo dl --root theseus.pub`,
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
			options, folder, err := o.options(c.Context(), adopt)
			if err != nil {
				return err
			}
			defer folder.Close()
			if len(channels) == 0 {
				channels = remembered(options.Memory)
			}
			from, err := remote.OpenSource(c.Context(), address, allowHTTP, channels...)
			if err != nil {
				return err
			}
			defer from.Close()
			pull := remote.Pull{Options: options, From: from, Documents: documents, Quiet: o.quiet}
			done, err := pull.Run(c.Context())
			if err != nil {
				return err
			}
			return ui.Result(o.json, done, done.Print)
		},
	}
	o.add(c)
	f := c.Flags()
	f.StringArrayVar(&channels, "channel", nil, "`NAME` of a channel of a URL, which cannot be asked what it has (default: those that theseus.lock knows, or stable)")
	f.BoolVar(&documents, "documents", false, "no files, only what says which there are")
	f.BoolVar(&adopt, "adopt", false, "take what is served in place of what is here, although theseus.lock says that it should be something else")
	addHTTP(c, &allowHTTP)
	return c
}

// remembered are the channels that the lock knows.
func remembered(m *publisher.Memory) []string { return slices.Sorted(maps.Keys(m.Channels)) }
