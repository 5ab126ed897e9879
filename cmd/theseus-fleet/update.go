package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/restart"
	"github.com/theseus-go/theseus/updater"
)

// Where releases of this program come from, and who signs them: set by whoever builds it, with -ldflags
// "-X main.updateKey=… -X main.updateSource=https://…". Without them it does not update itself.
var updateKey, updateSource string

func options() updater.Options {
	return updater.Options{App: "theseus-fleet", Version: version, Key: updateKey, Source: updateSource}
}

// keepCurrent lets the program update itself while it serves: it is one of those that it is made for.
func (s *server) keepCurrent(r *restart.Restarter) error {
	if updateKey == "" {
		return nil
	}
	o := options()
	o.Restart, o.Logger = r.Handover, s.log
	u, err := updater.New(o)
	if err != nil {
		return err
	}
	r.Go(u.Run)
	r.OnFailure(u.Undo)
	return nil
}

func selfUpdateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "self-update [flags]", Short: "Install the newest release of this program", DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			u, err := updater.New(options())
			if err != nil {
				return err
			}
			os.Exit(u.Command(c.Context(), args))
			return nil
		},
	}
}
