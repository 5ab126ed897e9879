package verify

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

// cheapKey is a private key file with a passphrase whose scrypt costs almost nothing, which the format can say.
func cheapKey(t *testing.T, seed byte, passphrase string) string {
	t.Helper()
	plain, err := base64.StdEncoding.DecodeString(strings.Split(privateText(t, seed), "\n")[1])
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(plain)
	copy(b[2:], "Sc")
	binary.LittleEndian.PutUint64(b[38:], 1<<15) // operations
	binary.LittleEndian.PutUint64(b[46:], 1<<24) // memory
	sum := blake2b.Sum256(append([]byte("Ed"), b[54:126]...))
	copy(b[126:], sum[:])
	const n, r, p = 1 << 10, 8, 1 // what libsodium makes of the two numbers: N is the power of two above operations/32
	stream, err := scrypt.Key([]byte(passphrase), b[6:38], n, r, p, 104)
	if err != nil {
		t.Fatal(err)
	}
	for i := range stream {
		b[54+i] ^= stream[i]
	}
	return comment + "minisign encrypted secret key\n" + base64.StdEncoding.EncodeToString(b) + "\n"
}

func TestPrivateKey(t *testing.T) {
	text := privateText(t, 1)
	want := testKey(t, 1).Public()
	line := strings.Split(text, "\n")[1]
	for _, good := range []string{text, line, line + "\n"} {
		key, err := ParsePrivateKey(good)
		if err != nil || key.Public() != want {
			t.Errorf("%v", err)
		}
	}
	key, err := DecryptPrivateKey(cheapKey(t, 1, "sesame"), "sesame")
	if err != nil || key.Public() != want {
		t.Errorf("with the passphrase: %v", err)
	}
	for name, c := range map[string]struct {
		read func() (*PrivateKey, error)
		want error
	}{
		"passphrase missing":   {func() (*PrivateKey, error) { return ParsePrivateKey(cheapKey(t, 1, "sesame")) }, ErrEncrypted},
		"passphrase wrong":     {func() (*PrivateKey, error) { return DecryptPrivateKey(cheapKey(t, 1, "sesame"), "Sesame") }, ErrPassphrase},
		"passphrase for none":  {func() (*PrivateKey, error) { return DecryptPrivateKey(text, "sesame") }, ErrMalformed},
		"public key":           {func() (*PrivateKey, error) { return ParsePrivateKey(want.File()) }, ErrMalformed},
		"public key decrypted": {func() (*PrivateKey, error) { return DecryptPrivateKey(want.File(), "x") }, ErrMalformed},
		"empty":                {func() (*PrivateKey, error) { return ParsePrivateKey("") }, ErrMalformed},
		"CR LF":                {func() (*PrivateKey, error) { return ParsePrivateKey(strings.ReplaceAll(text, "\n", "\r\n")) }, ErrMalformed},
		"not base64":           {func() (*PrivateKey, error) { return ParsePrivateKey("!" + line[1:]) }, ErrMalformed},
		"another kind":         {func() (*PrivateKey, error) { return ParsePrivateKey("A" + line[1:]) }, ErrMalformed},
		"damaged": {func() (*PrivateKey, error) {
			b, err := base64.StdEncoding.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			b[70] ^= 1 // in the secret half
			return ParsePrivateKey(base64.StdEncoding.EncodeToString(b))
		}, ErrMalformed},
		"worthless": {func() (*PrivateKey, error) {
			b, err := base64.StdEncoding.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			clear(b[94:126])
			return ParsePrivateKey(base64.StdEncoding.EncodeToString(b))
		}, ErrMalformed},
	} {
		key, err := c.read()
		if !errors.Is(err, c.want) || key != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		oneSentence(t, err)
	}
}

func TestSignerIsDeterministic(t *testing.T) {
	key := testKey(t, 1)
	const text = "theseus/channel/v1\n{}\n"
	one, err := key.Signer(signed).Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	same, err := key.Signer(signed.Add(time.Second / 2)).Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	other, err := key.Signer(signed.Add(time.Second)).Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, same) || bytes.Equal(one, other) || !bytes.Contains(one, []byte("\ntrusted comment: timestamp:1795251600\n")) {
		t.Errorf("%s%s%s", one, same, other)
	}
}

func TestGenerateKey(t *testing.T) {
	public, private, err := GenerateKey(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(public)
	if err != nil || !strings.HasPrefix(public, comment+"minisign public key "+key.ID()+"\n") || !strings.HasSuffix(public, "\n") {
		t.Errorf("%q, %v", public, err)
	}
	if p, err := ParsePrivateKey(private); err != nil || p.Public() != key {
		t.Error(err)
	}
	if other, _, err := GenerateKey(rand.Reader, ""); err != nil || other == public {
		t.Errorf("the same key twice: %v", err)
	}
	if _, _, err := GenerateKey(strings.NewReader("too little"), ""); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too little randomness: %v", err)
	}
}
