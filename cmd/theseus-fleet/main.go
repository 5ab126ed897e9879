// Command theseus-fleet lets one machine of many update itself first, then a few, then the rest, and none once they fail.
// doc/fleet.md is its manual.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

var version = "0.0.0-dev" // go build -ldflags "-X main.version=1.2.3"

func main() {
	if err := root().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "theseus-fleet:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use: "theseus-fleet", Short: "Let one machine of many update itself first, then a few, then the rest",
		Version: version, SilenceErrors: true, SilenceUsage: true,
	}
	c.SetVersionTemplate("{{.Version}}\n") // a new release is asked this before it is installed
	c.CompletionOptions.DisableDefaultCmd = true
	c.AddCommand(serveCommand(), statusCommand(), verbCommand("halt"), verbCommand("resume"), verbCommand("clear"), watchCommand())
	if updateKey != "" {
		c.AddCommand(selfUpdateCommand())
	}
	return c
}

// interrupted ends with the first Ctrl-C or SIGTERM.
func interrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
