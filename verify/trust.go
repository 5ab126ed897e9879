package verify

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// Trust says who may sign what: a trust document, or a bare public key, which is version 0: this key, every role,
// threshold 1, no app and no expiry.
type Trust struct {
	App     string // "" for version 0
	Version int
	Issued  time.Time // zero for version 0
	Expires time.Time // zero for version 0, which does not expire
	Trust   Keys      // who may sign the next trust document
	Release Keys      // who may sign manifests
	Channel Keys      // who may sign channels
	File    []byte    // the signed file as it was opened; nil for version 0

	id    ID
	draft TrustDraft
}

// ParseTrust reads what a program is built with or remembers: a minisign public key, or a whole trust document. A
// document is checked against its own trust keys, which proves that it is whole and well made and no more: the caller
// vouches for where it came from and compares App. What comes from a server goes through [Trust.Next].
func ParseTrust(text string) (*Trust, error) {
	if !strings.HasPrefix(text, typePrefix) {
		key, err := ParseKey(text)
		if err != nil {
			return nil, err
		}
		all := Keys{1, []Key{key}}
		role := Role{1, []NamedKey{{Key: key}}}
		return &Trust{Trust: all, Release: all, Channel: all, draft: TrustDraft{Trust: role, Release: role, Channel: role}}, nil
	}
	draft, err := ParseTrustDraft([]byte(text))
	if err != nil {
		return nil, err
	}
	own, err := draft.Trust.Set()
	if err != nil {
		return nil, err
	}
	return openTrust([]byte(text), own)
}

// Next opens trust version t.Version+1 of the app: signed by a threshold of t.Trust and by a threshold of its own trust
// keys, for this app, with exactly the next version. t is not changed, and on an error nothing is to be remembered.
// Expiry is not judged here: a client walks to the last version and judges that.
//
// app is what the program is called. It is asked for because version 0 does not know, and one key may serve two
// programs.
//
// Errors: those of [Open] and [Document.Decode], ErrApp, ErrVersion.
func (t *Trust) Next(file []byte, app string) (*Trust, error) {
	// The keys in force vouch for the successor.
	next, err := openTrust(file, t.Trust)
	if err != nil {
		return nil, within(err, "trust document, checked with the keys of version %d", t.Version)
	}

	// It is ours, and the very next one: a version that is passed over could have taken a key away.
	if next.App != app || t.Version > 0 && t.App != app {
		return nil, refuse(ErrApp, "the trust document is for app %q, and this is %q: check the address, every app has a repository of its own", next.App, app)
	}
	if next.Version != t.Version+1 {
		return nil, refuse(ErrVersion, "this is trust version %d where version %d follows: publish every version, clients take them one by one", next.Version, t.Version+1)
	}

	// Its own keys vouch for themselves, so that nobody is named who cannot sign, and nobody locks himself out.
	if _, err := Open(file, TypeTrust, next.Trust); err != nil {
		return nil, within(err, "trust document, checked with its own keys, those of version %d", next.Version)
	}
	return next, nil
}

// openTrust opens a trust document that keys must have signed, and makes key sets of it.
func openTrust(file []byte, keys Keys) (*Trust, error) {
	d, err := Open(file, TypeTrust, keys)
	if err != nil {
		return nil, err
	}
	var b TrustDraft
	if err := d.Decode(&b); err != nil {
		return nil, err
	}
	t := &Trust{App: b.App, Version: b.Version, Issued: b.Issued.Time, Expires: b.Expires.Time, File: bytes.Clone(file), id: d.ID(), draft: b}
	t.Trust, t.Release, t.Channel, err = b.sets()
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ID is the identity of the document: two of one version must have the same. It is zero for version 0.
func (t *Trust) ID() ID { return t.id }

// Expired reports whether the trust document is no longer to be relied on at now: from the instant of Expires on.
func (t *Trust) Expired(now time.Time) bool { return t.Version > 0 && !now.Before(t.Expires) }

// Draft returns the body of this trust document with the version that comes next, as the start of a rotation: same app,
// roles and names. Of version 0 App is empty; dates are those of t and for the caller to set.
func (t *Trust) Draft() TrustDraft {
	d := t.draft
	d.Version++
	for _, r := range []*Role{&d.Trust, &d.Release, &d.Channel} {
		r.Keys = slices.Clone(r.Keys)
	}
	return d
}
