// Package content names bytes by what they are: a size and a SHA-256. It is the part of package verify's vocabulary
// that what lies on a disk needs, without a word about keys and signatures.
package content

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digest is a SHA-256. Its text is 64 lower-case hex digits.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns the hex digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes exactly what MarshalText makes.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) || hex.EncodeToString(b) != string(text) {
		return fmt.Errorf("%q is not a SHA-256 in lower-case hex digits", text)
	}
	copy(d[:], b)
	return nil
}

// ID is what some bytes are. The zero ID is no bytes that exist.
type ID struct {
	Size   int64  `json:"size"`
	SHA256 Digest `json:"sha256"`
}
