package verify

import (
	"bytes"
	"slices"

	"github.com/theseus-go/theseus/internal/name"
	"github.com/theseus-go/theseus/internal/text"
)

// TrustDraft is the JSON object of a trust document, to be written, edited and compared by tools. Nobody vouches for
// it: clients use [Trust].
type TrustDraft struct {
	App     string `json:"app"`
	Version int    `json:"version"` // 1 follows a bare key
	Issued  Time   `json:"issued"`
	Expires Time   `json:"expires"` // after Issued
	Trust   Role   `json:"trust"`   // signs the next trust document
	Release Role   `json:"release"` // signs manifests
	Channel Role   `json:"channel"` // signs channels
}

// Role is who may sign one kind of document: Threshold of Keys.
type Role struct {
	Threshold int        `json:"threshold"`
	Keys      []NamedKey `json:"keys"`
}

// NamedKey is a key and, for people, whose it is.
type NamedKey struct {
	Key  Key    `json:"key"`
	Name string `json:"name,omitzero"`
}

// Limits of trust documents. A rotation carries the signatures of two thresholds, which must fit into one file.
const (
	maxKeys      = 16
	maxThreshold = maxBlocks / 2
	maxVersion   = 1<<31 - 1
	maxName      = 128 // bytes
)

// Set returns the keys of the role. ErrMalformed if the threshold cannot be reached, a key is named twice, or there are
// too many.
func (r Role) Set() (Keys, error) {
	if len(r.Keys) > maxKeys || r.Threshold > maxThreshold {
		return Keys{}, refuse(ErrMalformed, "%s and a threshold of %d are more than the %d keys and the threshold of %d that a role may have", plural(len(r.Keys), "key"), r.Threshold, maxKeys, maxThreshold)
	}
	keys := make([]Key, len(r.Keys))
	for i, k := range r.Keys {
		if len(k.Name) > maxName || !text.Honest(k.Name, "") {
			return Keys{}, refuse(ErrMalformed, "the name of key %s is not one line of at most %d bytes that is shown as it is written", k.Key.ID(), maxName)
		}
		keys[i] = k.Key
	}
	return NewKeys(r.Threshold, keys...)
}

// ParseTrustDraft reads a trust document without asking who signed it: the JSON object alone, as a person edits it, the
// text with its type line, or the whole signed file. It is checked for everything but signatures.
func ParseTrustDraft(file []byte) (TrustDraft, error) {
	object := file
	if !bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte("{")) {
		f, err := parseSignedOrNot(file)
		if err != nil {
			return TrustDraft{}, err
		}
		if f.typ != TypeTrust {
			return TrustDraft{}, refuse(ErrType, "this is a %s and not a %s", f.typ, TypeTrust)
		}
		_, object, _ = bytes.Cut(f.text, []byte("\n"))
	}
	if len(object) > textCap[TypeTrust] {
		return TrustDraft{}, refuse(ErrTooLarge, "the JSON object has %d bytes, more than a %s may have", len(object), TypeTrust)
	}
	var d TrustDraft
	if err := decode(object, &d); err != nil {
		return TrustDraft{}, err
	}
	if err := d.Check(); err != nil {
		return TrustDraft{}, err
	}
	return d, nil
}

// Check reports what keeps the draft from being a trust document: ErrMalformed.
func (d TrustDraft) Check() error {
	_, _, _, err := d.sets()
	return err
}

func (d TrustDraft) sets() (trust, release, channel Keys, err error) {
	switch {
	case !name.App(d.App):
		err = refuse(ErrMalformed, "the trust document is of app %.70q, which is no name of an app", d.App)
	case d.Version < 1 || d.Version > maxVersion:
		err = refuse(ErrMalformed, "a trust document has a version from 1 to %d, not %d: version 0 is the bare key", maxVersion, d.Version)
	case !d.Issued.Before(d.Expires.Time):
		err = refuse(ErrMalformed, "the trust document expires on %s, which is not after it was issued on %s", d.Expires.Format(timeLayout), d.Issued.Format(timeLayout))
	}
	for _, r := range []struct {
		name string
		role Role
		keys *Keys
	}{{"trust", d.Trust, &trust}, {"release", d.Release, &release}, {"channel", d.Channel, &channel}} {
		if err == nil {
			if *r.keys, err = r.role.Set(); err != nil {
				err = within(err, "the %s keys", r.name)
			}
		}
	}
	return trust, release, channel, err
}

// Sign writes the draft as a trust document signed by signers. Further holders add theirs with [AddSignature].
func (d TrustDraft) Sign(signers ...Signer) ([]byte, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	return Sign(TypeTrust, d, signers...)
}

// RoleChange is what the next trust document changes in one role.
type RoleChange struct {
	Role           string // trust, release or channel
	Added, Removed []NamedKey
	From, To       int // threshold
}

// Compare returns the changes from d to next for the roles trust, release and channel, in this order; keys are compared
// by their bytes.
func (d TrustDraft) Compare(next TrustDraft) [3]RoleChange {
	change := func(name string, old, next Role) RoleChange {
		return RoleChange{name, without(next.Keys, old.Keys), without(old.Keys, next.Keys), old.Threshold, next.Threshold}
	}
	return [3]RoleChange{change("trust", d.Trust, next.Trust), change("release", d.Release, next.Release), change("channel", d.Channel, next.Channel)}
}

func without(keys, others []NamedKey) (left []NamedKey) {
	for _, k := range keys {
		if !slices.ContainsFunc(others, func(o NamedKey) bool { return o.Key.Equal(k.Key) }) {
			left = append(left, k)
		}
	}
	return left
}

// Progress tells how far the signing of a document has come.
type Progress struct {
	Signed  []Key // whose signature is there and fits
	Missing []Key // whose is not
	Needed  int   // how many of Missing must still sign
}

// Progress returns which of the keys have signed a document of any type, signed or not yet. A signature that names one
// of the keys and does not fit is ErrSignature. Of a trust document ask both the old trust keys and its own.
func (k Keys) Progress(file []byte) (Progress, error) {
	f, err := parseSignedOrNot(file)
	if err != nil {
		return Progress{}, err
	}
	signed, err := f.signers(k)
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Signed: signed, Needed: max(0, k.threshold-len(signed))}
	for _, key := range k.keys {
		if !slices.ContainsFunc(signed, key.Equal) {
			p.Missing = append(p.Missing, key)
		}
	}
	return p, nil
}
