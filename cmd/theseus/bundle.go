package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/audit"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

type bundleOptions struct {
	verifyOptions
	out       string
	versions  []string
	platforms []string
}

func bundleCommand() *cobra.Command {
	var o bundleOptions
	var channel string
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Put what an update needs into one file, for machines without a network",
		Long: `Writes a channel, its trust documents, its manifests and the files of some of its releases into one file: a tar archive
that "theseus verify", "theseus serve" and clients take in place of a repository. Everything is checked on the way in, and
again by whoever takes it. A bundle expires when its channel does.

Without --version it has the files of the newest release and of every floor below it.`,
		Example: `  theseus bundle --repo dl --key theseus.pub --channel stable --out hello.bundle
  theseus bundle --repo https://dl.example.com/hello --key theseus.pub \
      --platform linux/amd64 --out hello.bundle`,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.out == "" {
				return ui.Usage("--out is missing: say which file to write")
			}
			look, err := o.options()
			if err != nil {
				return err
			}
			look.Channels = []string{channel}
			r, err := audit.WriteBundle(c.Context(), look, o.out, o.versions, o.platforms)
			if err != nil {
				return err
			}
			return ui.Result(o.json, r, func(w io.Writer) {
				fmt.Fprintf(w, "%s (%s) has %s %s for %s, from channel %s.\n", r.Bundle, ui.Bytes(r.Size), r.App, strings.Join(r.Versions, ", "), strings.Join(r.Platforms, ", "), channel)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.repo, "repo", "", "`DIR or URL` of the repository (default: what theseus.yaml says)")
	o.addKey(c)
	f.StringVar(&channel, "channel", "stable", "`NAME` of the channel")
	f.StringArrayVar(&o.versions, "version", nil, "`VERSION` whose files it has (repeat it for more)")
	f.StringArrayVar(&o.platforms, "platform", nil, "`OS/ARCH[/VARIANT]` that it is for (default: all)")
	f.StringVar(&o.out, "out", "", "`FILE` to write")
	addHTTP(c, &o.allowHTTP)
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}
