package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func refreshCommand() *cobra.Command {
	var o editFlags
	var channels []string
	c := &cobra.Command{
		Use:   "refresh",
		Short: "Sign channels again, so that clients go on believing them",
		Long: `Signs channels again with the same content, the next sequence number and a new expiry. Clients refuse a channel that
nobody has vouched for until its expiry, because someone may be hiding newer releases from them: run this from a timer,
well within the time that --expires gives.

What is signed again must be what was signed last: theseus.lock knows its sequence, its identity and what is withdrawn.
From a lock that is older, it takes what follows from the root and is newer; with refresh-within in theseus.yaml it
refuses what was signed longer ago than that, so that nobody can have an old channel signed anew. A channel that is refused
keeps none of the others from being signed; a repository without a channel is an error.`,
		Example: `  theseus refresh --repo dl --key theseus.key
  theseus refresh --repo dl --channel stable --key env:CHANNEL_KEY --expires 14d`,
		RunE: func(c *cobra.Command, _ []string) error {
			lifetime, err := o.lifetime()
			if err != nil {
				return err
			}
			var reports []publisher.ChannelReport
			err = o.edit(c.Context(), func(p *publisher.Publisher) error {
				reports, err = p.Refresh(c.Context(), channels, lifetime)
				return err
			})
			if err != nil && len(reports) == 0 {
				return err
			}
			return errors.Join(err, ui.Result(o.json, map[string]any{"channels": reports}, func(w io.Writer) {
				for _, r := range reports {
					fmt.Fprintf(w, "Refreshed channel %s of %s (sequence %d).\n", r.Channel, r.App, r.Sequence)
					fmt.Fprintln(w, o.deadline(r))
				}
			}))
		},
	}
	o.add(c)
	c.Flags().StringArrayVar(&channels, "channel", nil, "`NAME` of the channel (default: every channel of the repository)")
	return c
}
