// Command theseus is the publisher's half of Theseus: it makes keys, publishes signed releases into a
// repository (a folder that any static web server can serve), keeps them fresh, and checks them as a client would.
// "theseus demo" shows the whole on one machine.
//
// One file per verb, which reads flags and prints; project.go has what the verbs share, key.go keys and passphrases. What
// they do is in internal/publisher (signs), internal/audit (looks), internal/web (serves) and internal/demo; internal/ui
// holds how the tool speaks.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// version is set by a release build: -ldflags "-X main.version=1.2.3".
var version = "0.0.0-dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	os.Exit(ui.Report(err))
}

// root is the command without a verb. Every verb is a function that returns its *cobra.Command.
func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "theseus",
		Short: "Publish signed releases for programs that update themselves",
		Long: `Theseus keeps a Go program up to date while it runs.

This is the publisher's tool. A first release takes three commands:

  theseus keygen
  theseus publish --repo dl --app hello --version 1.0.0 --channel stable \
      --key theseus.key --artifact linux/amd64=./hello
  theseus verify --repo dl --key theseus.pub

The folder dl is then served by any static web server. "theseus demo" shows what the clients do with it. The first publish
also writes theseus.yaml (what need not be typed again) and theseus.lock (what was signed): commit both.

Exit codes: 0 done, 1 error, 2 usage, 3 nothing for such a client, 4 something does not verify, 5 the source does not
answer, 6 no permission, 7 another theseus is at work on the repository, or was faster.`,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.NoArgs,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	c.SetFlagErrorFunc(wrongFlag)
	c.AddCommand(
		initCommand(),
		keygenCommand(),
		publishCommand(),
		refreshCommand(),
		rolloutCommand(),
		pauseCommand(),
		resumeCommand(),
		yankCommand(),
		markCommand(),
		pushCommand(),
		pullCommand(),
		statusCommand(),
		pruneCommand(),
		verifyCommand(),
		attachmentsCommand(),
		inspectCommand(),
		recoverCommand(),
		signCommand(),
		trustCommand(),
		lockCommand(),
		bundleCommand(),
		serveCommand(),
		deltaCommand(),
		demoCommand(),
	)
	wrapArgs(c)
	foldHelp(c)
	c.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	return c
}
