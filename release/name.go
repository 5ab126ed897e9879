package release

import (
	"fmt"
	"strings"

	"github.com/theseus-go/theseus/internal/name"
)

// ValidApp returns what is wrong with the name of an app, or nil. A name has 1 to 64 bytes of a-z, 0-9, '.', '_' and
// '-', starts with a letter or a digit and does not end with a dot; what Windows takes for a device (con, nul, com1,
// also with an extension) is no name.
func ValidApp(s string) error {
	if !name.App(s) {
		return fmt.Errorf("app name %.70q: want 1 to 64 of a-z, 0-9, '.', '_', '-', a letter or digit first, and no device name of Windows", s)
	}
	return nil
}

// ValidChannel returns what is wrong with the name of a channel, or nil. A name has 1 to 32 bytes of a-z, 0-9 and '-'
// and starts with a letter. It is a file name at the top of a repository, so it is none of trust, releases and files,
// which are folders there, and no device name of Windows.
func ValidChannel(s string) error {
	if !name.Word(s, 32) || s[0] < 'a' || strings.ContainsAny(s, "._") || !name.File(s) {
		return fmt.Errorf("channel name %.40q: want 1 to 32 of a-z, 0-9, '-', a letter first, and no device name of Windows", s)
	}
	switch s {
	case "trust", "releases", "files":
		return fmt.Errorf("channel name %q: taken by a folder of the repository; choose another", s)
	}
	return nil
}

// mediaType reports whether s is type/subtype of RFC 6838, in lower case and without parameters.
func mediaType(s string) bool {
	top, subtype, ok := strings.Cut(s, "/")
	plain := strings.NewReplacer("+", "-")
	return ok && name.Word(plain.Replace(top), 63) && name.Word(plain.Replace(subtype), 63)
}
