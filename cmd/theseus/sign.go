package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/verify"
)

func signCommand() *cobra.Command {
	var k keyFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "sign FILE...",
		Short: "Add a signature to a document",
		Long: `Adds a signature to documents of any kind, in place: a channel, a manifest, a trust document, or the draft of one that
theseus trust init has written. Where several holders must sign, each runs this and passes the file on. A document
that is signed stays the same document: signatures are not part of its identity.`,
		Example: `  theseus sign trust-2 --key alice.key
  theseus sign dl/releases/*.manifest --key alice.key`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			signers, err := k.signers(c.Context())
			if err != nil {
				return err
			}
			var all []signedFile
			for _, path := range files {
				s, err := sign(c.Context(), path, signers)
				if err != nil {
					return err
				}
				all = append(all, *s)
			}
			return result(asJSON, map[string]any{"files": all}, func(w io.Writer) {
				for _, s := range all {
					fmt.Fprintf(w, "Signed %s: %s.\n", s.File, s.What)
				}
			})
		},
	}
	k.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

type signedFile struct {
	File string `json:"file"`
	What string `json:"what"` // what was signed, in words
}

func sign(ctx context.Context, path string, signers []verify.Signer) (*signedFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	file, err := readDocument(ctx, path)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("{")) { // a draft as a person edits it
		draft, err := verify.ParseTrustDraft(file)
		if err != nil {
			return nil, fail(exitRefused, "%s: %w", path, err)
		}
		if file, err = verify.Text(verify.TypeTrust, draft); err != nil {
			return nil, err
		}
	}
	for _, s := range signers {
		if file, err = verify.AddSignature(file, s); err != nil {
			return nil, fail(exitRefused, "%s: %w", path, err)
		}
	}
	claimed, err := peek(file)
	if err != nil {
		return nil, fail(exitRefused, "%s: %w", path, err)
	}
	return &signedFile{path, claimed.String()}, durable.WriteFile(path, file, info.Mode().Perm())
}

// String is the document in words.
func (c *claims) String() string {
	app := clean(c.App)
	switch c.Type {
	case verify.TypeChannel:
		return fmt.Sprintf("channel %s of %s, sequence %d", clean(fmt.Sprint(c.Channel)), app, c.Sequence)
	case verify.TypeManifest:
		return fmt.Sprintf("release %s of %s", clean(fmt.Sprint(c.Version)), app)
	case verify.TypeTrust:
		return fmt.Sprintf("trust document %s of %s", clean(fmt.Sprint(c.Version)), app)
	}
	return "a document of type " + clean(string(c.Type))
}
