package testrelease

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"aead.dev/minisign"
	"github.com/theseus-go/theseus/verify"
	"golang.org/x/crypto/blake2b"
)

// Key is a real minisign key pair, made from a name: the same name gives the same key in every run.
type Key struct {
	private minisign.PrivateKey
	public  verify.Key
	file    []byte
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
	// algorithm, unused salt and limits, key id, key, checksum. The library takes a key that it has not made itself in no other way.
	ed := seed(name)
	pair := append(binary.LittleEndian.AppendUint64(nil, id), ed...)
	sum := blake2b.Sum256(append([]byte("Ed"), pair...))
	secret := append([]byte("Ed\x00\x00B2"), make([]byte, 32+8+8)...)
	secret = append(append(secret, pair...), sum[:]...)

	k := &Key{file: fmt.Appendf(nil, "untrusted comment: minisign secret key %016X\n%s\n", id, base64.StdEncoding.EncodeToString(secret))}
	if err := k.private.UnmarshalText(bytes.TrimSpace(k.file)); err != nil {
		tb.Fatal(err)
	}
	public := append(binary.LittleEndian.AppendUint64([]byte("Ed"), id), ed.Public().(ed25519.PublicKey)...)
	var err error
	if k.public, err = verify.ParseKey(base64.StdEncoding.EncodeToString(public)); err != nil {
		tb.Fatal(err)
	}
	return k
}

func seed(name string) ed25519.PrivateKey {
	s := sha256.Sum256([]byte("theseus test key: " + name))
	return ed25519.NewKeyFromSeed(s[:])
}

// Key is the public key.
func (k *Key) Key() verify.Key { return k.public }

// String is the public key as one line of base64: what a program is built with.
func (k *Key) String() string { return k.public.String() }

// File is the secret key as an unencrypted minisign key file.
func (k *Key) File() []byte { return bytes.Clone(k.file) }

// Sign makes one block of four lines. The comments are fixed, so that documents are the same in every run.
func (k *Key) Sign(text []byte) ([]byte, error) {
	r := minisign.NewReader(bytes.NewReader(text))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return r.SignWithComments(k.private, "timestamp:1795251600", "signature from minisign secret key "+k.public.ID()), nil
}

// SignLegacy makes a block with the algorithm that signs the text without hashing it first, which nobody accepts.
func (k *Key) SignLegacy(text []byte) []byte { return minisign.Sign(k.private, text) }
