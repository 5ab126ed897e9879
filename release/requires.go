package release

import (
	"slices"
	"strings"

	"github.com/theseus-go/theseus/internal/name"
)

// A restriction is a member of T that keeps some clients from the release or download that carries it. Its name is
// listed under requires wherever the member says something, so that a client that does not know it cannot overlook it.
// A member's shape never changes once it stands here.
type restriction[T any] struct {
	name string
	on   func(*T) bool
}

// names returns the names of restrictions: those that this version knows.
func names[T any](known []restriction[T]) (names []string) {
	for _, r := range known {
		names = append(names, r.name)
	}
	return names
}

// present returns the names of the restrictions that v has.
func present[T any](known []restriction[T], v *T) (names []string) {
	for _, r := range known {
		if r.on(v) {
			names = append(names, r.name)
		}
	}
	return names
}

const maxRequires = 16

// unknown returns the required names that this version of Theseus does not know.
func unknown(requires, known []string) []string {
	var u []string
	for _, name := range requires {
		if !slices.Contains(known, name) {
			u = append(u, name)
		}
	}
	return u
}

// checkRequires compares a list of required names with the restrictions that v has. Each that is present is listed, and
// none is listed that is not there: whoever listed it meant something.
func checkRequires[T any](what string, requires []string, known []restriction[T], v *T) error {
	if len(requires) > maxRequires {
		return malformed("%s: more than %d required names", what, maxRequires)
	}
	for i, required := range requires {
		if !name.Word(required, 64) {
			return malformed("%s: required name %.70q", what, required)
		}
		if slices.Contains(requires[:i], required) {
			return malformed("%s: %q is required twice", what, required)
		}
	}
	for _, r := range known {
		switch listed, there := slices.Contains(requires, r.name), r.on(v); {
		case there && !listed:
			return malformed("%s: member %q restricts and is not listed under requires", what, r.name)
		case listed && !there:
			return malformed("%s: requires %q, but there is no such member", what, r.name)
		}
	}
	return nil
}

// listRequires is the publisher's side of checkRequires: the names of what is present. A name that this version does
// not know belongs to a member that was dropped when the document was read, so that signing it again would lose the
// member.
func listRequires[T any](what string, requires []string, known []restriction[T], v *T) ([]string, error) {
	if u := unknown(requires, names(known)); u != nil {
		return nil, malformed("%s requires %s, which this version does not know: sign it with a newer one", what, strings.Join(u, ", "))
	}
	return present(known, v), nil
}
