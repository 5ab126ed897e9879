package release

import (
	"slices"
	"strings"
)

// Names that may stand under "requires", by what carries them. A name is added here when a client must not ignore a member
// of the same name; the member's shape never changes afterwards.
var (
	entryNames    = []string{"floor", "paused", "rollout", "yanked"}
	manifestNames = []string{"minimum"}
	downloadNames = []string{}
)

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

// checkRequires holds a list of required names against what is there. Each restriction that is present is listed, so that
// a client that does not know it cannot overlook it; and none is listed that is not there, since whoever listed it meant something.
func checkRequires(what string, requires, known, present []string) error {
	if len(requires) > maxRequires {
		return malformed("%s: more than %d required names", what, maxRequires)
	}
	for i, name := range requires {
		if !word(name, 64) {
			return malformed("%s: required name %.70q", what, name)
		}
		if slices.Contains(requires[:i], name) {
			return malformed("%s: %q is required twice", what, name)
		}
	}
	for _, name := range known {
		switch listed, there := slices.Contains(requires, name), slices.Contains(present, name); {
		case there && !listed:
			return malformed("%s: member %q restricts and is not listed under requires", what, name)
		case listed && !there:
			return malformed("%s: requires %q, but there is no such member", what, name)
		}
	}
	return nil
}

// listRequires is the publisher's side of checkRequires: the names of what is present. A name that this version does not
// know belongs to a member that it has dropped when it read the document, so signing that would lose it.
func listRequires(what string, requires, known, present []string) ([]string, error) {
	if u := unknown(requires, known); u != nil {
		return nil, malformed("%s requires %s, which this version does not know: sign it with a newer one", what, strings.Join(u, ", "))
	}
	return present, nil
}
