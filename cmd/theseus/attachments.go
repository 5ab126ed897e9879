package main

import (
	"os"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/audit"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/release"
)

func attachmentsCommand() *cobra.Command {
	var o verifyOptions
	var text string
	c := &cobra.Command{
		Use:   "attachments [NAME]",
		Short: "List what is attached to a release, or print one of it",
		Long: `Lists the attachments of a release: bills of materials, provenance, signatures of others, as its manifest names them.
With NAME it downloads that one and prints it, after size and hash were found to be those that were signed. What it says is
not looked at by anything in Theseus.

Exit codes: 3 there is no such release or attachment, 4 something does not verify, 5 the source does not answer.`,
		Example: `  theseus attachments --repo https://dl.example.com/hello --key theseus.pub
  theseus attachments hello.spdx.json --version 1.2.0 > hello.spdx.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			look, err := o.options()
			if err != nil {
				return err
			}
			var version *semver.Version
			if text != "" {
				if version, err = release.ParseVersion(text); err != nil {
					return ui.Usage("--version: %w", err)
				}
			}
			a, err := audit.Attachments(c.Context(), look, version)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.Fetch(c.Context(), args[0], os.Stdout)
			}
			return ui.Result(o.json, a, a.Print)
		},
	}
	f := c.Flags()
	f.StringVar(&o.repo, "repo", "", "`DIR, URL or bundle` (default: what theseus.yaml says)")
	o.addKey(c)
	f.StringArrayVar(&o.channels, "channel", nil, "`NAME` of a channel (default: all of a folder, stable of a URL)")
	f.StringVar(&text, "version", "", "`VERSION` of the release (default: the newest)")
	addHTTP(c, &o.allowHTTP)
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}
