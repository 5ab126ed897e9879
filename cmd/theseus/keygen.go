package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/durable"
	"github.com/theseus-go/theseus/verify"
)

func keygenCommand() *cobra.Command {
	var out, passphrase string
	var password, asJSON bool
	c := &cobra.Command{
		Use:   "keygen",
		Short: "Make a key pair: PREFIX.key to sign with, PREFIX.pub to build into the program",
		Long: `Makes a key pair in the format of minisign.

PREFIX.key signs releases. Whoever has it can update every installation: keep it where your other secrets are, and
keep a copy, because without it no installation can be updated any more. PREFIX.pub goes into the program.`,
		Example: `  theseus keygen
  theseus keygen --out ~/keys/release --password`,
		RunE: func(c *cobra.Command, _ []string) error {
			made, err := keygen(out, password || passphrase != "", passphrase)
			if err != nil {
				return err
			}
			return ui.Result(asJSON, made, func(w io.Writer) {
				fmt.Fprintf(w, "%s  private key: keep it secret, and keep a copy\n", made.PrivateKey)
				fmt.Fprintf(w, "%s  public key %s: build it into the program\n", made.PublicKey, made.ID)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "theseus", "`PREFIX` of the two files")
	f.BoolVar(&password, "password", false, "protect the private key with a passphrase")
	f.StringVar(&passphrase, "passphrase", "", "where the passphrase is: a `FILE`, env:NAME, or -; otherwise THESEUS_PASSPHRASE or the terminal")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

type keyPair struct {
	PrivateKey string `json:"private_key"` // path
	PublicKey  string `json:"public_key"`  // path
	ID         string `json:"id"`
	Key        string `json:"key"` // the public key as one line
}

func keygen(prefix string, protect bool, passphraseRef string) (*keyPair, error) {
	made := &keyPair{PrivateKey: prefix + ".key", PublicKey: prefix + ".pub"}
	for _, path := range []string{made.PrivateKey, made.PublicKey} {
		if _, err := os.Lstat(path); err == nil {
			return nil, ui.Fail(ui.ExitError, "%s is already there: %s", path, keyIsThere)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var passphrase string
	if protect {
		var err error
		if passphrase, err = readPassphrase(passphraseRef, "New passphrase", true); err != nil {
			return nil, err
		}
		ui.Note("protecting the key (this takes some seconds and 1 GB of memory)")
	}
	public, private, err := verify.GenerateKey(nil, passphrase)
	if err != nil {
		return nil, err
	}
	key, err := verify.ParseKey(public)
	if err != nil {
		return nil, err
	}
	made.ID, made.Key = key.ID(), key.String()
	if err := writeNew(made.PrivateKey, private, 0o600, keyIsThere); err != nil {
		return nil, err
	}
	if err := writeNew(made.PublicKey, public, 0o644, keyIsThere); err != nil {
		os.Remove(made.PrivateKey) // half a pair is worse than none: the next keygen would refuse
		return nil, err
	}
	return made, durable.Sync(filepath.Dir(prefix))
}

// writeNew writes a file that must not exist yet, so that nothing is ever overwritten, not even by two at once.
func writeNew(path, data string, perm fs.FileMode, otherwise string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if errors.Is(err, fs.ErrExist) {
		return ui.Fail(ui.ExitError, "%s is already there: %s", path, otherwise)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
	}
	return err
}

const keyIsThere = "a key that is overwritten is lost for ever, so choose another --out, or move it away"
