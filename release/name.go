package release

import (
	"fmt"
	"strings"
)

// ValidApp returns what is wrong with the name of an app, or nil. A name has 1 to 64 bytes of a-z, 0-9, '.', '_' and
// '-', starts with a letter or a digit and does not end with a dot; what Windows takes for a device (con, nul, com1,
// also with an extension) is no name.
func ValidApp(s string) error {
	if !word(s, 64) || strings.HasSuffix(s, ".") || device(s) {
		return fmt.Errorf("app name %.70q: want 1 to 64 of a-z, 0-9, '.', '_', '-', a letter or digit first, and no device name of Windows", s)
	}
	return nil
}

// ValidChannel returns what is wrong with the name of a channel, or nil. A name has 1 to 32 bytes of a-z, 0-9 and '-'
// and starts with a letter. It is a file name at the top of a repository, so it is none of trust, releases and files,
// which are folders there, and no device name of Windows.
func ValidChannel(s string) error {
	if !word(s, 32) || s[0] < 'a' || strings.ContainsAny(s, "._") || device(s) {
		return fmt.Errorf("channel name %.40q: want 1 to 32 of a-z, 0-9, '-', a letter first, and no device name of Windows", s)
	}
	switch s {
	case "trust", "releases", "files":
		return fmt.Errorf("channel name %q: taken by a folder of the repository; choose another", s)
	}
	return nil
}

// word reports whether s is in the alphabet that all names in documents share: nothing in it is special in a path, a
// URL, a shell or a log.
func word(s string, max int) bool {
	if s == "" || len(s) > max || strings.Trim(s[:1], "._-") == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// device reports whether Windows takes s for a device:
// https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file (reserved with any extension).
func device(s string) bool {
	s, _, _ = strings.Cut(s, ".")
	switch s {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(s) == 4 && (s[:3] == "com" || s[:3] == "lpt") && '0' <= s[3] && s[3] <= '9'
}
