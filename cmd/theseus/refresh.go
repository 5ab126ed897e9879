package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/release"
)

func refreshCommand() *cobra.Command {
	var o editFlags
	var channels []string
	c := &cobra.Command{
		Use:   "refresh",
		Short: "Sign channels again, so that clients go on believing them",
		Long: `Signs channels again with the same content, the next sequence number and a new expiry. Clients refuse a channel that
nobody has vouched for until its expiry, because someone may be hiding newer releases from them: run this from a timer,
well within the time that --expires gives.`,
		Example: `  theseus refresh --repo dl --key theseus.key
  theseus refresh --repo dl --channel stable --key env:CHANNEL_KEY --expires 14d`,
		RunE: func(c *cobra.Command, _ []string) error {
			reports, err := refresh(c.Context(), &o, channels)
			if err != nil {
				return err
			}
			return result(o.json, map[string]any{"channels": reports}, func(w io.Writer) {
				for _, r := range reports {
					fmt.Fprintf(w, "Refreshed channel %s of %s (sequence %d).\n", r.Channel, r.App, r.Sequence)
					fmt.Fprintln(w, r.deadline(o.repo))
				}
			})
		},
	}
	o.add(c)
	c.Flags().StringArrayVar(&channels, "channel", nil, "`NAME` of the channel (default: every channel of the repository)")
	return c
}

func refresh(ctx context.Context, o *editFlags, names []string) ([]channelReport, error) {
	e, err := o.open(ctx, "")
	if err != nil {
		return nil, err
	}
	defer e.close()
	all, err := e.channels()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = all
	}
	var reports []channelReport
	for _, name := range names {
		if !slices.Contains(all, name) {
			return reports, noChannel(name, all)
		}
		old, err := e.channel(name)
		if err != nil {
			return reports, err
		}
		lifetime, err := o.lifetime(old)
		if err != nil {
			return reports, err
		}
		next := &release.Channel{Name: name, Entries: old.Entries}
		if err := e.put(next, old, lifetime); err != nil {
			return reports, err
		}
		reports = append(reports, reportChannel(next, true))
	}
	return reports, nil
}
