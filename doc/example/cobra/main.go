// A command-line program on cobra whose self-update is updater's: the flags, the help text and the exit codes are those of
// every program that embeds it. This is a module of its own, so that nobody who imports updater requires cobra.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/updater"
)

var (
	version = "0.0.0-dev" // go build -ldflags "-X main.version=1.2.3 -X main.key=RWQ…"
	key     = ""
)

func main() {
	root := &cobra.Command{
		Use: "tool", Version: version,
		Run: func(c *cobra.Command, _ []string) {
			if u, err := newUpdater(); err == nil {
				defer u.Notice(c.Context())() // at a terminal, once a day, if there is a newer version
			}
			fmt.Println("hello")
		},
	}
	root.SetVersionTemplate("{{.Version}}\n") // a new release is asked this before it is installed
	root.AddCommand(selfUpdate())
	if root.ExecuteContext(context.Background()) != nil {
		os.Exit(updater.ExitUsage)
	}
}

func selfUpdate() *cobra.Command {
	return &cobra.Command{
		Use:                "self-update",
		Short:              "Install the newest release",
		DisableFlagParsing: true, // updater parses them, --help too
		Run: func(c *cobra.Command, args []string) {
			u, err := newUpdater()
			if err != nil {
				log.Fatal(err)
			}
			os.Exit(u.Command(c.Context(), args))
		},
	}
}

func newUpdater() (*updater.Updater, error) {
	return updater.New(updater.Options{App: "tool", Version: version, Key: key, Source: "https://dl.example.com/tool"})
}
