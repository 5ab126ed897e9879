package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"aead.dev/minisign"
)

// Key is a minisign public key. Two keys are the same key if their 32 bytes are, whatever their ids say: the id is a
// random number that nothing binds to the key. The zero Key is no key and no [Keys] can hold it.
type Key struct {
	id    uint64
	bytes [32]byte
}

const (
	keyAlgorithm = "Ed"       // of keys; of signatures it means the legacy kind
	keySize      = 2 + 8 + 32 // algorithm, id, key
	comment      = "untrusted comment: "
	privateSize  = 2*3 + 32 + 2*8 + 104
)

// ParseKey reads a minisign public key: the .pub file (a comment line and a base64 line) or the base64 line alone, with
// or without a final LF. Anything else is ErrMalformed, and so is a key for which anybody can make signatures.
func ParseKey(text string) (Key, error) {
	line, err := keyLine(text, "public key")
	if err != nil {
		return Key{}, err
	}
	var k Key
	err = k.UnmarshalText([]byte(line))
	return k, err
}

// UnmarshalText takes exactly what MarshalText makes.
func (k *Key) UnmarshalText(line []byte) error {
	b, err := decodeBase64(line)
	switch {
	case err != nil:
		return refuse(ErrMalformed, "this is not a minisign public key (%v): give the .pub file or its last line, which begins with RW", err)
	case len(b) == privateSize:
		return refuse(ErrMalformed, "this is a private key where the public one belongs: give the .pub file, and keep the private key where only signers can read it")
	case len(b) != keySize || string(b[:2]) != keyAlgorithm:
		return refuse(ErrMalformed, "this is not a minisign public key, which has 56 characters and begins with RW: give the .pub file or its last line")
	}
	n := Key{id: binary.LittleEndian.Uint64(b[2:]), bytes: [32]byte(b[10:])}
	if n.weak() {
		return refuse(ErrMalformed, "public key %s is worthless, anybody can sign for it: make a new one", n.ID())
	}
	*k = n
	return nil
}

// MarshalText returns the base64 line without LF.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// String returns the base64 line: 56 characters that begin with RW.
func (k Key) String() string {
	b := make([]byte, 0, keySize)
	b = append(b, keyAlgorithm...)
	b = binary.LittleEndian.AppendUint64(b, k.id)
	return base64.StdEncoding.EncodeToString(append(b, k.bytes[:]...))
}

// File returns the text of a .pub file, as stock minisign writes it.
func (k Key) File() string {
	return comment + "minisign public key " + k.ID() + "\n" + k.String() + "\n"
}

// ID returns 16 upper-case hex digits, as minisign prints it. It is a hint for people and for finding the key; it
// proves nothing.
func (k Key) ID() string { return keyID(k.id) }

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Fingerprint returns the SHA-256 of the 32 key bytes.
func (k Key) Fingerprint() Digest { return sha256.Sum256(k.bytes[:]) }

// Equal reports whether the key bytes are the same; ids are not compared.
func (k Key) Equal(o Key) bool { return k.bytes == o.bytes }

// verifies reports whether block is a signature by k over all that was read from text. The caller has seen that the
// block says ED: the module takes the algorithm from the block and does not authenticate it.
func (k Key) verifies(text *minisign.Reader, block []byte) bool {
	var p minisign.PublicKey
	return p.UnmarshalText([]byte(k.String())) == nil && text.Verify(p, block)
}

// smallOrder are the y coordinates, without the sign bit, of the curve points whose order divides 8, and their
// encodings above the prime. For such a "key" signatures can be made without any secret: 32 zero bytes are one.
// crypto/ed25519 takes them; the C minisign (libsodium's ge25519_has_small_order) does not.
var smallOrder = [...][32]byte{
	{},
	{0: 1},
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	nearPrime(0xec), // p-1
	nearPrime(0xed), // p, which is 0
	nearPrime(0xee), // p+1, which is 1
}

func nearPrime(low byte) (y [32]byte) {
	copy(y[:], bytes.Repeat([]byte{0xff}, 32))
	y[0], y[31] = low, 0x7f
	return y
}

func (k Key) weak() bool {
	y := k.bytes
	y[31] &= 0x7f
	for _, s := range smallOrder {
		if y == s {
			return true
		}
	}
	return false
}

// keyLine returns the base64 line of a key file.
func keyLine(text, what string) (string, error) {
	if strings.Contains(text, "\r\n") && len(text) < 1024 && utf8.ValidString(text) {
		return "", refuse(ErrMalformed, "the %s has Windows line ends (CR LF): store it with LF only", what)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if strings.HasPrefix(lines[0], comment) {
		lines = lines[1:]
	}
	if len(lines) != 1 {
		return "", refuse(ErrMalformed, "this is not a minisign %s: give the file as minisign made it, a comment line and a line of base64", what)
	}
	return lines[0], nil
}

// decodeBase64 is strict: standard alphabet, padding, no line ends, unused bits zero. What it takes re-encodes to
// itself.
func decodeBase64(line []byte) ([]byte, error) {
	if bytes.ContainsAny(line, "\r\n") { // which the package skips
		return nil, fmt.Errorf("line end within base64")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(string(line))
	if err != nil {
		return nil, fmt.Errorf("not strict base64")
	}
	return b, nil
}
