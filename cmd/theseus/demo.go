package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/demo"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

func demoCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch a server update itself under load, and refuse what it should not run",
		Long: `Shows on this machine, in a temporary folder and without the network, what Theseus does: it makes keys, builds a small
server in several versions, publishes them, and lets the server update itself while clients ask it without pause and
without retrying. Then releases fail, and then come the attacks. Everything is real: processes, keys, HTTP, signals.

It needs Go and a checkout of Theseus (or Theseus in the module cache), and takes less than a minute.`,
		Example: `  theseus demo
  theseus demo --json    # one JSON object as the last line of standard output`,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := demo.Run(c.Context())
			if err != nil {
				if asJSON { // a script gets its line whatever happens
					r.OK, r.Problems = false, append(r.Problems, ui.OneLine(err.Error()))
					err = errors.Join(err, ui.Result(true, r, nil))
				}
				return err
			}
			table := os.Stdout
			if asJSON {
				table = os.Stderr
			}
			r.Print(table)
			if asJSON {
				if err := ui.Result(true, r, nil); err != nil {
					return err
				}
			}
			if !r.OK {
				return ui.Silent(ui.ExitError)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object as the last line of standard output")
	return c
}
