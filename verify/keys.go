package verify

import (
	"fmt"
	"slices"
	"strings"
)

// Keys is a set of keys of which Threshold many must have signed. The zero Keys trusts nobody.
type Keys struct {
	threshold int
	keys      []Key
}

// NewKeys makes a set of keys with distinct bytes; 1 <= threshold <= len(keys). Everything else is ErrMalformed, a
// threshold of zero above all: a client that let it pass would take unsigned documents.
func NewKeys(threshold int, keys ...Key) (Keys, error) {
	if threshold < 1 {
		return Keys{}, refuse(ErrMalformed, "a threshold of %d would trust what nobody signed: it must be at least 1", threshold)
	}
	for i, k := range keys {
		if k.weak() {
			return Keys{}, refuse(ErrMalformed, "key %s is not a key", k.ID())
		}
		if j := slices.IndexFunc(keys[:i], k.Equal); j >= 0 {
			return Keys{}, refuse(ErrMalformed, "the keys %s and %s are the same key: name each key once", keys[j].ID(), k.ID())
		}
	}
	if threshold > len(keys) {
		return Keys{}, refuse(ErrMalformed, "a threshold of %d can never be reached with %s", threshold, plural(len(keys), "key"))
	}
	return Keys{threshold, slices.Clone(keys)}, nil
}

// Threshold is the number of distinct keys that must have signed; 0 for the zero Keys, which nothing reaches.
func (k Keys) Threshold() int { return k.threshold }

// All returns a copy of the keys in the order they were given.
func (k Keys) All() []Key { return slices.Clone(k.keys) }

// named returns the keys that a block with this id may be of.
func (k Keys) named(id uint64) (named []Key) {
	for _, key := range k.keys {
		if key.id == id {
			named = append(named, key)
		}
	}
	return named
}

// ResetDue reports whether a client has to forget what it remembers of a channel (sequence, kept text, time floor)
// because the keys that vouched for it were replaced: of the keys with these fingerprints, which were counted for the
// remembered document, fewer than threshold are still among the channel keys. threshold is the one that held when they
// were counted.
//
// That ends a fast-forward by a leaked key, a sequence that nobody can exceed. Adding a key, changing a threshold or
// changing the keys of another role resets nothing, and neither does a memory that could not have been accepted: fewer
// distinct fingerprints than threshold, or a threshold below 1. What is forgotten has to be replaced by a floor in the
// same step, or an older document that a remaining key signed would be accepted again: package release does both.
func ResetDue(counted []Digest, threshold int, now Keys) bool {
	distinct := make(map[Digest]bool)
	for _, f := range counted {
		distinct[f] = true
	}
	left := 0
	for _, k := range now.keys {
		if distinct[k.Fingerprint()] {
			left++
		}
	}
	return threshold >= 1 && len(distinct) >= threshold && left < threshold
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func ids(keys []Key) string {
	s := make([]string, len(keys))
	for i, k := range keys {
		s[i] = k.ID()
	}
	return strings.Join(s, ", ")
}
