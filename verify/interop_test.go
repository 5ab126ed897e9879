package verify

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
)

// These tests run the C program minisign, both ways.

// stock runs minisign in dir with input on its standard input, where it reads passphrases when there is no terminal.
func stock(t *testing.T, dir, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "minisign", args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustStock(t *testing.T, dir, input string, args ...string) string {
	t.Helper()
	out, err := stock(t, dir, input, args...)
	if err != nil {
		t.Fatalf("minisign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stockSigner is an outside signer: the C program with a key file.
type stockSigner struct {
	t         *testing.T
	dir       string
	key       Key
	input     string // the passphrase, if there is one
	arguments []string
}

func (s stockSigner) Key() Key { return s.key }

func (s stockSigner) Sign(text []byte) ([]byte, error) {
	write(s.t, s.dir, "text", string(text))
	mustStock(s.t, s.dir, s.input, append([]string{"-S", "-s", "key", "-m", "text"}, s.arguments...)...)
	return []byte(read(s.t, s.dir, "text.minisig")), nil
}

// oursThere: what we sign with key, the C program verifies under public, which it reads from a file.
func oursThere(t *testing.T, dir string, key *PrivateKey) {
	t.Helper()
	file, err := Sign(TypeChannel, note{"hello", 42}, key.Signer(time.Unix(1795251600, 0)))
	if err != nil {
		t.Fatal(err)
	}
	text, blocks, err := Split(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ours", string(text))
	write(t, dir, "ours.minisig", string(blocks[0]))
	write(t, dir, "ours.pub", key.Public().File())
	if out := mustStock(t, dir, "", "-V", "-H", "-p", "ours.pub", "-m", "ours"); !strings.Contains(out, "timestamp:1795251600") {
		t.Errorf("minisign says %q", out)
	}
	mustStock(t, dir, "", "-V", "-P", key.Public().String(), "-m", "ours")
	write(t, dir, "ours", string(text)+"\n")
	if out, err := stock(t, dir, "", "-V", "-p", "ours.pub", "-m", "ours"); err == nil {
		t.Errorf("minisign verifies the text with the empty line too: %s", out)
	}
}

// theirsHere: what the C program signs is a document here.
func theirsHere(t *testing.T, s stockSigner) {
	t.Helper()
	file, err := Sign(TypeChannel, note{"hello", 42}, s)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := NewKeys(1, s.key)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Open(file, TypeChannel, keys); err != nil || len(d.Signers) != 1 {
		t.Errorf("%v, %v", d, err)
	}
}

var plainComment = []string{"-t", "timestamp:1795251600"}

func TestInteropKeyWithoutPassphrase(t *testing.T) {
	testenv.Need(t, "minisign")
	t.Run("made by minisign", func(t *testing.T) {
		dir := t.TempDir()
		mustStock(t, dir, "", "-G", "-W", "-p", "pub", "-s", "key")
		key, err := ParsePrivateKey(read(t, dir, "key"))
		if err != nil {
			t.Fatal(err)
		}
		public, err := ParseKey(read(t, dir, "pub"))
		if err != nil || public != key.Public() {
			t.Fatalf("the two files are of different keys: %v", err)
		}
		if unpadded(public.File()) != unpadded(read(t, dir, "pub")) {
			t.Errorf("we write %q and minisign %q", public.File(), read(t, dir, "pub"))
		}
		oursThere(t, dir, key)
		theirsHere(t, stockSigner{t, dir, public, "", plainComment})
	})
	t.Run("made here", func(t *testing.T) {
		dir := t.TempDir()
		public, private, err := GenerateKey(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "key", private)
		mustStock(t, dir, "", "-R", "-s", "key", "-p", "pub")
		if got := read(t, dir, "pub"); unpadded(got) != unpadded(public) {
			t.Errorf("minisign makes the public key %q of it, and it is %q", got, public)
		}
		key, err := ParsePrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		oursThere(t, dir, key)
		theirsHere(t, stockSigner{t, dir, key.Public(), "", plainComment})
	})
}

// A key file says what its scrypt costs, and minisign reads a cheap one too.
func TestInteropCheapPassphrase(t *testing.T) {
	testenv.Need(t, "minisign")
	dir := t.TempDir()
	write(t, dir, "key", cheapKey(t, 1, "sesame"))
	theirsHere(t, stockSigner{t, dir, testKey(t, 1).Public(), "sesame\n", plainComment})
	if out, err := stock(t, dir, "Sesame\n", "-S", "-s", "key", "-m", "text"); err == nil {
		t.Errorf("minisign takes another passphrase: %s", out)
	}
}

func TestP13InteropLegacyIsRefused(t *testing.T) {
	testenv.Need(t, "minisign")
	dir := t.TempDir()
	mustStock(t, dir, "", "-G", "-W", "-p", "pub", "-s", "key")
	key, err := ParseKey(read(t, dir, "pub"))
	if err != nil {
		t.Fatal(err)
	}
	legacy := stockSigner{t, dir, key, "", append([]string{"-l"}, plainComment...)}
	if _, err := Sign(TypeChannel, note{}, legacy); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("signing: %v", err)
	}
	const text = "theseus/channel/v1\n{}\n"
	block, err := legacy.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if out := mustStock(t, dir, "", "-V", "-p", "pub", "-m", "text"); !strings.Contains(out, "verified") {
		t.Errorf("minisign itself does not take it: %s", out)
	}
	keys, err := NewKeys(1, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(join(text, block), TypeChannel, keys); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("opening: %v", err)
	}
}

// Left alone, minisign puts tabs into its trusted comment. The error says what to do.
func TestInteropTrustedCommentWithTabs(t *testing.T) {
	testenv.Need(t, "minisign")
	dir := t.TempDir()
	mustStock(t, dir, "", "-G", "-W", "-p", "pub", "-s", "key")
	key, err := ParseKey(read(t, dir, "pub"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Sign(TypeChannel, note{}, stockSigner{t, dir, key, "", nil})
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "-t 'timestamp:") {
		t.Errorf("got %v", err)
	}
}

// The C program and this package agree about every document vector that both can judge: one whose text and first block
// can be told apart. minisign takes more than we do, never less.
func TestInteropVectors(t *testing.T) {
	testenv.Need(t, "minisign")
	dir := t.TempDir()
	judged := 0
	for name, v := range vectors(t, "document", 50) {
		if v.get("expect") != "ok" || len(v.header["signer"]) == 0 {
			continue
		}
		text, blocks, err := Split(v.body)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range v.keys(t).All() {
			for _, b := range blocks {
				f := file{text: text, blocks: mustBlocks(t, b)}
				signers, err := f.signers(Keys{1, []Key{k}})
				if err != nil || len(signers) == 0 {
					continue
				}
				write(t, dir, "text", string(text))
				write(t, dir, "text.minisig", string(b))
				if out, err := stock(t, dir, "", "-V", "-H", "-P", k.String(), "-m", "text"); err != nil {
					t.Errorf("%s: we say that key %s signed it, minisign says %s", name, k.ID(), bytes.TrimSpace([]byte(out)))
				}
				judged++
			}
		}
	}
	if judged < 10 {
		t.Errorf("only %d signatures were judged", judged)
	}
}

func mustBlocks(t *testing.T, b []byte) []block {
	t.Helper()
	blocks, err := parseBlocks(b)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// unpadded is a public key file whose comment has the id as minisign prints it: without leading zeros, which one key in
// sixteen has.
func unpadded(file string) string {
	head, id, _ := strings.Cut(file, "public key ")
	return head + "public key " + strings.TrimLeft(id, "0")
}
