package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// encode returns s as Load reads it. What a string holds, or how long it is, keeps nothing else from being saved: a reason, a
// version or a name that a server or a failing program chose must never cost the rollback floor. So bytes that are no UTF-8
// become U+FFFD (reasons are text already), and of what is too large together the least useful is left out. The caller's s stays
// as it is.
func encode(s *State) ([]byte, error) {
	kept := *s
	kept.Failed = make(map[string]Failure, len(s.Failed))
	for _, version := range slices.Sorted(maps.Keys(s.Failed)) {
		f := s.Failed[version]
		version = valid(version)
		if other, ok := kept.Failed[version]; !ok || other.At.Before(f.At) {
			kept.Failed[version] = f
		}
	}
	kept.Channels = make(map[string]*Channel, len(s.Channels))
	for _, name := range slices.Sorted(maps.Keys(s.Channels)) {
		c := s.Channels[name]
		name = valid(name)
		if other, ok := kept.Channels[name]; !ok || other.Sequence < c.Sequence {
			kept.Channels[name] = c
		}
	}
	for {
		b, err := json.Marshal(&kept, json.Deterministic(true), jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))
		switch {
		case err != nil:
			return nil, err
		case len(b) < maxSize:
			return append(b, '\n'), nil
		case !kept.lighten():
			return nil, fmt.Errorf("%d bytes, more than the %d that Load reads", len(b), maxSize)
		}
	}
}

// lighten leaves one thing out, if there is one that the program can do without: the text of the channel that was served
// longest ago (its sequence and identity, which are the floor, stay, and it is loaded anew when it is needed), then the
// oldest failures.
func (s *State) lighten() bool {
	oldest := ""
	for name, c := range s.Channels {
		if c.File != "" && (oldest == "" || c.Served.Before(s.Channels[oldest].Served)) {
			oldest = name
		}
	}
	if c := s.Channels[oldest]; c != nil {
		light := *c
		light.File = ""
		light.Validator.Source, light.Validator.ETag = "", ""
		s.Channels[oldest] = &light
		return true
	}
	if len(s.Failed) == 0 {
		return false
	}
	byAge := slices.SortedFunc(maps.Keys(s.Failed), func(a, b string) int { return s.Failed[a].At.Compare(s.Failed[b].At) })
	for _, version := range byAge[:(len(byAge)+1)/2] {
		delete(s.Failed, version)
	}
	return true
}

// valid returns s with U+FFFD for what is no UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
