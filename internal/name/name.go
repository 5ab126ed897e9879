// Package name has the alphabet of names that other people's documents bring in and that become parts of paths, URLs, shell
// commands and log lines.
package name

import "strings"

// Word reports whether s has 1 to max bytes of a-z, 0-9, '.', '_' and '-', a letter or digit first: nothing in it is special
// in a path, a URL, a shell or a log.
func Word(s string, max int) bool {
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

// App reports whether s is the name of an app: a Word of at most 64 bytes that is a file name on every system.
func App(s string) bool { return Word(s, 64) && File(s) }

// File reports whether a file can have this name on Windows too, as far as a Word cannot tell: it does not end with a dot,
// and is no device (reserved with any extension):
// https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
func File(s string) bool {
	if strings.HasSuffix(s, ".") {
		return false
	}
	s, _, _ = strings.Cut(s, ".")
	switch s {
	case "con", "prn", "aux", "nul":
		return false
	}
	return !(len(s) == 4 && (s[:3] == "com" || s[:3] == "lpt") && '0' <= s[3] && s[3] <= '9')
}

// Path reports whether s is the path of a file in a repository: elements of letters, digits, '.', '_' and '-' with slashes
// between them, none of which is empty or begins with a dot. So it can be joined to a folder or a URL as it is.
func Path(s string) bool {
	for element := range strings.SplitSeq(s, "/") {
		if element == "" || element[0] == '.' || strings.Trim(element, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			return false
		}
	}
	return true
}
