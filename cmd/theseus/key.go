package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/verify"
)

// keyFlags are the flags of a verb that signs. No secret is ever an argument, because arguments are seen by every
// process of the machine and stay in the shell's history: the flags name where a secret is.
type keyFlags struct {
	keys       []string
	passphrase string
	signerCmd  string
}

func (k *keyFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&k.keys, "key", nil, "private `KEY` to sign with: a file, env:NAME, or - for standard input (repeat it to sign with several)")
	f.StringVar(&k.passphrase, "passphrase", "", "where the passphrase of the key is: a `FILE`, env:NAME, or -; otherwise THESEUS_PASSPHRASE or the terminal")
	f.StringVar(&k.signerCmd, "signer-cmd", "", "`COMMAND` that signs instead: bytes on its standard input, a minisign signature on its standard output; --key is then the public key")
}

// signers loads the keys, asking for passphrases where it must.
func (k *keyFlags) signers(ctx context.Context) ([]verify.Signer, error) {
	if len(k.keys) == 0 {
		return nil, ui.Usage("no key to sign with: give --key theseus.key (theseus keygen makes one)")
	}
	var signers []verify.Signer
	for _, ref := range k.keys {
		s, err := k.signer(ctx, ref)
		if err != nil {
			return nil, err
		}
		for _, other := range signers {
			if other.Key().Equal(s.Key()) {
				return nil, ui.Usage("%s is the same key as another --key: give each key once", ref)
			}
		}
		signers = append(signers, s)
	}
	return signers, nil
}

func (k *keyFlags) signer(ctx context.Context, ref string) (verify.Signer, error) {
	text, err := readRefWithin(ctx, ref)
	if err != nil {
		return nil, err
	}
	if k.signerCmd != "" {
		public, err := verify.ParseKey(string(text))
		if err != nil {
			return nil, ui.Fail(ui.ExitUsage, "%s: %w (with --signer-cmd, --key is the public key of that signer)", ref, err)
		}
		return commandSigner{ctx, k.signerCmd, public}, nil
	}
	private, err := verify.ParsePrivateKey(string(text))
	if errors.Is(err, verify.ErrEncrypted) {
		var passphrase string
		if passphrase, err = readPassphrase(k.passphrase, "Passphrase of "+ref, false); err != nil {
			return nil, err
		}
		ui.Note("unlocking %s (this takes some seconds and 1 GB of memory, which is what makes guessing dear)", ref)
		private, err = verify.DecryptPrivateKey(string(text), passphrase)
	}
	if err != nil {
		return nil, ui.Fail(ui.ExitUsage, "%s: %w", ref, err)
	}
	warnIfReadable(ref)
	return private.Signer(time.Now()), nil
}

// readRef reads what a flag names: a file, "-" for standard input, or env:NAME. It is the one way for secrets to come in.
func readRef(ref string) ([]byte, error) { return readRefWithin(context.Background(), ref) }

// readRefWithin is readRef that ends with ctx.
func readRefWithin(ctx context.Context, ref string) ([]byte, error) {
	max := verify.TypeTrust.MaxSize() // the largest of what comes in this way
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if v := os.Getenv(name); v != "" {
			return []byte(v), nil
		}
		return nil, ui.Fail(ui.ExitUsage, "the environment variable %s is empty: set it, or name a file", name)
	}
	r := io.Reader(os.Stdin)
	if ref != "-" {
		f, err := openRef(ctx, ref)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := readAll(ctx, r, max)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", ref, err)
	case int64(len(b)) > max:
		return nil, ui.Fail(ui.ExitError, "%s is larger than any key, note or trust document: check the path", ref)
	}
	return b, nil
}

// readPassphrase gets a passphrase from where the flag says, the environment, or a person (twice if it is a new one).
func readPassphrase(ref, prompt string, isNew bool) (string, error) {
	if ref == "" && os.Getenv("THESEUS_PASSPHRASE") != "" {
		ref = "env:THESEUS_PASSPHRASE"
	}
	if ref != "" {
		b, err := readRef(ref)
		if err != nil {
			return "", err
		}
		p := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if p == "" {
			return "", ui.Fail(ui.ExitUsage, "the passphrase in %s is empty: write one into it", ref)
		}
		return p, nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return "", ui.Fail(ui.ExitUsage, "a passphrase is needed and there is no terminal to ask on: set THESEUS_PASSPHRASE, or give --passphrase FILE")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(os.Stderr, prompt+": ")
		defer restoreOnInterrupt(fd)()
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(os.Stderr)
		return string(b), err
	}
	p, err := ask(prompt)
	if err != nil {
		return "", err
	}
	if isNew {
		switch again, err := ask("Again"); {
		case err != nil:
			return "", err
		case again != p:
			return "", ui.Fail(ui.ExitUsage, "the two passphrases differ: nothing was made, try again")
		case p == "":
			return "", ui.Fail(ui.ExitUsage, "the passphrase is empty: leave out --password for a key without one")
		}
	}
	return p, nil
}

// restoreOnInterrupt ends the program on Ctrl-C while it waits for a passphrase, and gives the terminal its echo back.
func restoreOnInterrupt(fd int) (stop func()) {
	before, err := term.GetState(fd)
	if err != nil {
		return func() {}
	}
	interrupts, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		select {
		case <-interrupts:
			term.Restore(fd, before)
			fmt.Fprintln(os.Stderr)
			os.Exit(ui.ExitError)
		case <-done:
		}
	}()
	return func() {
		signal.Stop(interrupts)
		close(done)
	}
}

// warnIfReadable: a private key without a passphrase is only as safe as its mode.
func warnIfReadable(path string) {
	if runtime.GOOS == "windows" || path == "-" || strings.HasPrefix(path, "env:") {
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		ui.Warn("%s can be read by others (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
}

// readTrust reads what a program is built with: a public key, or a trust document.
func readTrust(ref string) (*verify.Trust, error) {
	if ref == "" {
		return nil, ui.Usage("no public key to check with: give --key theseus.pub, or the trust document that the program is built with")
	}
	text, err := readRef(ref)
	if err != nil {
		return nil, err
	}
	t, err := verify.ParseTrust(string(text))
	if err != nil {
		return nil, ui.Fail(ui.ExitUsage, "%s: %w", ref, err)
	}
	return t, nil
}

// commandSigner has someone else sign: a hardware token, a signing service, minisign itself.
type commandSigner struct {
	ctx     context.Context
	command string
	public  verify.Key
}

func (s commandSigner) Key() verify.Key { return s.public }

func (s commandSigner) Sign(text []byte) ([]byte, error) {
	shell, flag := "sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	c := exec.CommandContext(s.ctx, shell, flag, s.command)
	c.Env = append(os.Environ(), "THESEUS_KEY_ID="+s.public.ID())
	c.Stdin, c.Stderr = bytes.NewReader(text), os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, ui.Fail(ui.ExitError, "the signer command failed (%w): run it by hand to see why: %s", err, s.command)
	}
	return out, nil // verify checks that it is a signature by this key
}
