//go:build !race

package verify

import (
	"errors"
	"testing"

	"github.com/theseus-go/theseus/internal/testenv"
)

// Each passphrase costs seconds and 1 GB, so each direction is tried once, and not with the race detector, which makes
// it three times as long and has nothing to see: no goroutine is involved.
func TestInteropKeyWithPassphrase(t *testing.T) {
	testenv.NeedEffort(t, testenv.Long) // each use of a passphrase takes 1 GB of memory and a second or two
	testenv.Need(t, "minisign")
	t.Run("made by minisign", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		mustStock(t, dir, "correct horse\ncorrect horse\n", "-G", "-p", "pub", "-s", "key")
		if _, err := ParsePrivateKey(read(t, dir, "key")); !errors.Is(err, ErrEncrypted) {
			t.Errorf("without the passphrase: %v", err)
		}
		key, err := DecryptPrivateKey(read(t, dir, "key"), "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		if public, err := ParseKey(read(t, dir, "pub")); err != nil || public != key.Public() {
			t.Fatalf("the two files are of different keys: %v", err)
		}
		oursThere(t, dir, key)
	})
	t.Run("made here", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		public, private, err := GenerateKey(nil, "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParseKey(public)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "key", private)
		theirsHere(t, stockSigner{t, dir, key, "correct horse\n", plainComment})
	})
}
