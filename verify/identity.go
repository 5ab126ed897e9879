package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Digest is a SHA-256; it marshals as 64 lower-case hex digits and nothing else unmarshals.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns the 64 hex digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText takes exactly what MarshalText makes.
func (d *Digest) UnmarshalText(text []byte) error {
	var n Digest
	if len(text) != hex.EncodedLen(len(n)) {
		return fmt.Errorf("a SHA-256 has 64 hex digits, not %d bytes", len(text))
	}
	if _, err := hex.Decode(n[:], text); err != nil || n.String() != string(text) {
		return errors.New("a SHA-256 is written in lower-case hex digits")
	}
	*d = n
	return nil
}

// ID is the identity of some bytes: their size and SHA-256. The identity of a document is that of its text, so that
// signatures come and go without changing it.
type ID struct {
	Size   int64  `json:"size"`
	SHA256 Digest `json:"sha256"`
}

// IDOf returns the identity of b.
func IDOf(b []byte) ID { return ID{int64(len(b)), sha256.Sum256(b)} }

// Time is a signed date: RFC 3339 in UTC with whole seconds and a capital Z, as in 2026-11-21T09:00:00Z. Nothing else
// unmarshals, and a time with a fraction of a second does not marshal.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05Z"

// MarshalText fails for a fraction of a second and for years that have not four digits.
func (t Time) MarshalText() ([]byte, error) {
	u := t.UTC()
	if u.Nanosecond() != 0 || u.Year() < 0 || u.Year() > 9999 {
		return nil, fmt.Errorf("%s is not a date with whole seconds in the years 0000 to 9999", u)
	}
	return []byte(u.Format(timeLayout)), nil
}

// UnmarshalText takes exactly what MarshalText makes.
func (t *Time) UnmarshalText(text []byte) error {
	u, err := time.Parse(timeLayout, string(text))
	if err != nil || u.Format(timeLayout) != string(text) {
		return fmt.Errorf("%.40q is not a date such as 2026-11-21T09:00:00Z", text)
	}
	t.Time = u
	return nil
}

// The embedded time.Time has methods for JSON and for appending, which would win over the two above.

// AppendText is MarshalText onto b.
func (t Time) AppendText(b []byte) ([]byte, error) {
	text, err := t.MarshalText()
	return append(b, text...), err
}

// MarshalJSON is MarshalText in quotes.
func (t Time) MarshalJSON() ([]byte, error) {
	text, err := t.MarshalText()
	if err != nil {
		return nil, err
	}
	return append(append([]byte{'"'}, text...), '"'), nil
}

// UnmarshalJSON takes exactly what MarshalJSON makes.
func (t *Time) UnmarshalJSON(b []byte) error {
	if len(b) != len(timeLayout)+2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("%.40q is not a date such as \"2026-11-21T09:00:00Z\"", b)
	}
	return t.UnmarshalText(b[1 : len(b)-1])
}
