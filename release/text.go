package release

import (
	"strings"
	"unicode"
)

const (
	maxNotes  = 64 << 10
	maxReason = 512
)

// printable reports whether a text for people may be written to a terminal as it is: JSON can bring in control
// characters that the bytes of a document cannot have.
func printable(s, also string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(also, r) })
}

func checkReason(what, reason string) error {
	if reason == "" || len(reason) > maxReason || !printable(reason, "") {
		return malformed("%s: the reason must be 1 to %d bytes on one line", what, maxReason)
	}
	return nil
}
