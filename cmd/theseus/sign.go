package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/theseus-go/theseus/cmd/theseus/internal/publisher"
	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/verify"
)

type signOptions struct {
	projectFlags
	keys           keyFlags
	first          bool
	sha256         string
	artifacts      []string
	attach         []string
	notes, minimum string
	json           bool
}

func signCommand() *cobra.Command {
	var o signOptions
	c := &cobra.Command{
		Use:   "sign FILE...",
		Short: "Add a signature to a document, if your root, a hash or your files account for it",
		Long: `Adds a signature to documents, in place. Where several holders must sign, each runs this and passes the file on. A document
that is signed stays the same document: signatures are not part of its identity.

What merely lies in a repository gets no signature, because anybody who can write there may have put it there. So

  a trust document, or the draft of one that theseus trust init has written,
      must follow the newest trust document that you know: --root, or the root
      of theseus.yaml. The first that you ever see: --first;
  a release must be signed by enough of the release keys that this root names,
      or be made again here from the same files with --artifact (and --notes
      and --minimum, if it has them), or be named with --sha256 by its maker;
  a channel must be named with --sha256.

On a terminal each document is shown, and you are asked.`,
		Example: `  theseus sign trust-2 --root trust-1 --key alice.key
  theseus sign dl/releases/1.1.0.manifest --key bob.key \
      --artifact linux/amd64=dist/hello
  theseus sign dl/releases/*.manifest --key dora.key`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			all, err := signAll(c.Context(), &o, files)
			if err != nil {
				return err
			}
			return ui.Result(o.json, map[string]any{"files": all}, func(w io.Writer) {
				for _, s := range all {
					fmt.Fprintf(w, "Signed %s: %s.\n", s.File, s.What)
				}
			})
		},
	}
	o.keys.add(c)
	o.addRoot(c)
	f := c.Flags()
	f.StringVar(&o.repo, "repo", "", "`DIR` of the repository, for --artifact (default: what theseus.yaml says)")
	f.BoolVar(&o.first, "first", false, "this is the first trust document that I see: there is none to compare it with")
	f.StringVar(&o.sha256, "sha256", "", "sign exactly the document with this `HASH`, which theseus inspect prints and its maker tells you")
	f.StringArrayVar(&o.artifacts, "artifact", nil, "`OS/ARCH[/VARIANT]=FILE` that the release is made of (repeat it for each)")
	f.StringArrayVar(&o.attach, "attach", nil, "`FILE[=TYPE]` that is attached to the release (repeat it for each)")
	f.StringVar(&o.notes, "notes", "", "`FILE` with the release notes, or -")
	f.StringVar(&o.minimum, "minimum", "", "lowest `VERSION` that may update to the release directly")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return c
}

type signedFile struct {
	File string `json:"file"`
	What string `json:"what"` // what was signed, in words
}

func signAll(ctx context.Context, o *signOptions, files []string) (all []signedFile, err error) {
	if err := o.load(); err != nil {
		return nil, err
	}
	d := publisher.ToSign{First: o.first, Again: &publisher.Release{}}
	if o.sha256 != "" {
		var hash verify.Digest
		if err := hash.UnmarshalText([]byte(o.sha256)); err != nil {
			return nil, ui.Usage("--sha256: %w", err)
		}
		if d.SHA256 = &hash; len(files) > 1 {
			return nil, ui.Usage("--sha256 names one document: sign one file at a time")
		}
	}
	if d.Again.Artifacts, err = publisher.ParseArtifacts(o.artifacts); err != nil {
		return nil, err
	}
	if d.Again.Attachments, err = publisher.ParseAttachments(o.attach); err != nil {
		return nil, err
	}
	if d.Again.Notes, d.Again.Minimum, err = contents(o.notes, o.minimum); err != nil {
		return nil, err
	}
	signers, err := o.keys.signers(ctx)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		options, err := o.reader("")
		if err != nil {
			return nil, err
		}
		options.Signers = signers
		s, err := sign(ctx, options, d, path)
		if err != nil {
			return nil, err
		}
		all = append(all, *s)
	}
	return all, nil
}

func sign(ctx context.Context, o publisher.Options, d publisher.ToSign, path string) (*signedFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() && !info.IsDir() { // a pipe, which has nobody's document and keeps no signature
		return nil, ui.Fail(ui.ExitRefused, "%s is no file: remove it, or restore it from your backup", path)
	}
	d.Name = path
	if d.File, err = readDocument(ctx, path); err != nil {
		return nil, err
	}
	file, claims, err := publisher.Sign(ctx, o, d)
	if err != nil {
		return nil, err
	}
	if err := confirm(o.Root, d, claims); err != nil {
		return nil, err
	}
	return &signedFile{path, claims.String()}, durable.WriteFile(path, file, info.Mode().Perm())
}

// confirm shows a person what is about to be signed, and asks: until then no signature has left the process. Where there is
// no terminal, a log gets what a trust document changes.
func confirm(root *verify.Trust, d publisher.ToSign, claims *publisher.Claims) error {
	change, noTrust := changeOf(root, d.File, d.Name)
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		if noTrust == nil {
			for _, c := range change.Changes {
				ui.Note("%s: %s", d.Name, c)
			}
		}
		return nil
	}
	fmt.Fprintf(os.Stderr, "%s is %s, SHA-256 %s\n\n", d.Name, claims, claims.ID.SHA256)
	if noTrust == nil {
		change.Print(os.Stderr)
	} else {
		newBodyPrinter(os.Stderr, claims.Body).value("", "")
	}
	fmt.Fprint(os.Stderr, "\nSign it? [y/N] ")
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return ui.Fail(ui.ExitError, "%s was not signed", d.Name)
	}
	return nil
}
