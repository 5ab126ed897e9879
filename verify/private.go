package verify

import (
	"fmt"
	"io"
	"time"

	"aead.dev/minisign"
)

// PrivateKey is a minisign private key in memory.
type PrivateKey struct {
	private minisign.PrivateKey
	public  Key
}

// ParsePrivateKey reads a minisign private key without passphrase (minisign -G -W, theseus keygen): the file, or its
// base64 line alone. ErrEncrypted for one that has a passphrase.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	line, err := privateLine(text)
	if err != nil {
		return nil, err
	}
	if minisign.IsEncrypted(line) {
		return nil, refuse(ErrEncrypted, "the private key has a passphrase: give it")
	}
	var private minisign.PrivateKey
	if err := private.UnmarshalText(line); err != nil {
		return nil, refuse(ErrMalformed, "this is not a minisign private key (%v)", err)
	}
	return newPrivateKey(private)
}

// DecryptPrivateKey reads a minisign private key that has a passphrase. It takes seconds and about 1 GB of memory: that
// is minisign's defence against guessing. ErrPassphrase if the passphrase is wrong.
func DecryptPrivateKey(text, passphrase string) (*PrivateKey, error) {
	line, err := privateLine(text)
	if err != nil {
		return nil, err
	}
	if !minisign.IsEncrypted(line) {
		return nil, refuse(ErrMalformed, "the private key has no passphrase: do not give one")
	}
	private, err := minisign.DecryptKey(passphrase, line)
	if err != nil {
		return nil, refuse(ErrPassphrase, "the passphrase does not open the private key")
	}
	return newPrivateKey(private)
}

// GenerateKey makes a key pair from 32 bytes of random (nil: the system's) and returns it as the files of stock
// minisign: .pub and .key. With a passphrase the private key is encrypted, which takes seconds and about 1 GB of
// memory, see [DecryptPrivateKey].
func GenerateKey(random io.Reader, passphrase string) (public, private string, err error) {
	_, key, err := minisign.GenerateKey(random)
	if err != nil {
		return "", "", within(err, "making a key")
	}
	k, err := newPrivateKey(key)
	if err != nil {
		return "", "", err
	}
	var text []byte
	if passphrase == "" {
		text, err = key.MarshalText()
	} else {
		text, err = minisign.EncryptKey(passphrase, key)
	}
	if err != nil {
		return "", "", within(err, "writing the private key")
	}
	return k.public.File(), string(text) + "\n", nil
}

// Public returns the public half.
func (p *PrivateKey) Public() Key { return p.public }

// Signer returns a signer whose signatures say in their trusted comment when they were made; this package has no clock.
// The same text, key and second give the same block.
func (p *PrivateKey) Signer(now time.Time) Signer {
	return signer{p, fmt.Sprintf("timestamp:%d", now.Unix())}
}

// signer is a private key with the trusted comment of its signatures.
type signer struct {
	*PrivateKey
	trusted string
}

func (s signer) Key() Key { return s.public }

func (s signer) Sign(text []byte) ([]byte, error) {
	return hashed(text).SignWithComments(s.private, s.trusted, "signature from key "+s.public.ID()), nil
}

// newPrivateKey refuses a pair whose halves do not belong together. The file holds both, and signing with a wrong
// public half gives the private one away to whoever sees the signatures.
func newPrivateKey(private minisign.PrivateKey) (*PrivateKey, error) {
	public, err := ParseKey(private.Public().(minisign.PublicKey).String())
	if err != nil {
		return nil, err
	}
	p := &PrivateKey{private, public}
	if _, err := signBlock([]byte("do the halves belong together?"), p.Signer(time.Time{})); err != nil {
		return nil, refuse(ErrMalformed, "the private key %s is damaged, its halves do not belong together: restore it from a copy", public.ID())
	}
	return p, nil
}

func privateLine(text string) ([]byte, error) {
	line, err := keyLine(text, "private key")
	if err != nil {
		return nil, err
	}
	b, err := decodeBase64([]byte(line))
	switch {
	case err == nil && len(b) == keySize:
		return nil, refuse(ErrMalformed, "this is a public key where the private one belongs: give the .key file")
	case err != nil || len(b) != privateSize:
		return nil, refuse(ErrMalformed, "this is not a minisign private key: give the file as minisign or theseus keygen made it")
	}
	return []byte(line), nil
}
