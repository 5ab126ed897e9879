package testrelease

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/theseus-go/theseus/verify"
	"golang.org/x/crypto/blake2b"
)

// Key is a real minisign key pair, made from a name: the same name gives the same key in every run, and the same text the
// same signature. It is a verify.Signer.
type Key struct {
	verify.Signer
	file []byte
}

// NewKey makes the key with this name.
func NewKey(tb testing.TB, name string) *Key {
	tb.Helper()
	id := blake2b.Sum256(seed(name).Public().(ed25519.PublicKey))
	return NewKeyWithID(tb, name, binary.LittleEndian.Uint64(id[:8]))
}

// NewKeyWithID makes the key with this name under another key id: an id is not bound to a key.
func NewKeyWithID(tb testing.TB, name string, id uint64) *Key {
	tb.Helper()
	// The unencrypted form of the secret key (https://jedisct1.github.io/minisign/): algorithm, no key derivation, checksum
	// algorithm, unused salt and limits, key id, key, checksum. There is no other way to a key that is the same every time.
	ed := seed(name)
	pair := append(binary.LittleEndian.AppendUint64(nil, id), ed...)
	sum := blake2b.Sum256(append([]byte("Ed"), pair...))
	secret := append([]byte("Ed\x00\x00B2"), make([]byte, 32+8+8)...)
	secret = append(append(secret, pair...), sum[:]...)

	k := &Key{file: fmt.Appendf(nil, "untrusted comment: minisign secret key %016X\n%s\n", id, base64.StdEncoding.EncodeToString(secret))}
	private, err := verify.ParsePrivateKey(string(k.file))
	if err != nil {
		tb.Fatal(err)
	}
	k.Signer = private.Signer(signed)
	return k
}

// signed is when every signature was made, for its trusted comment.
var signed = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func seed(name string) ed25519.PrivateKey {
	s := sha256.Sum256([]byte("theseus test key: " + name))
	return ed25519.NewKeyFromSeed(s[:])
}

// String is the public key as one line of base64: what a program is built with.
func (k *Key) String() string { return k.Key().String() }

// File is the secret key as an unencrypted minisign key file.
func (k *Key) File() []byte { return bytes.Clone(k.file) }

// SignLegacy makes a block with the algorithm that signs the text without hashing it first, which nobody accepts.
func (k *Key) SignLegacy(text []byte) []byte {
	var private minisign.PrivateKey
	if err := private.UnmarshalText(bytes.TrimSpace(k.file)); err != nil {
		panic(err) // cannot fail: ParsePrivateKey has taken it
	}
	return minisign.Sign(private, text)
}
