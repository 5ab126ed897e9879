// Package text makes what somebody else wrote fit to be kept and shown.
//
//	reason := text.Of(header)          // what a server, a program or a file says
//	fmt.Fprintln(os.Stderr, reason)    // safe on a terminal and in a log
//	st.Failed[v] = Failure{Reason: reason}
//
// A [Line] can be made in no other way, so a member of this type says that its value was checked where it came in:
// headers, error texts of other systems, reasons, markers, PID files, the environment, output of programs.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Max is the length of the longest Line, in bytes.
const Max = 2 << 10

// Line is one line of text: valid UTF-8 without control characters, line ends, characters that change the direction of
// writing, and others that cannot be seen; single spaces between words; at most Max bytes, cut between two letters. The
// zero Line is empty. Lines may be compared with ==.
type Line struct{ s string }

// Of returns s as a Line: bytes that are no UTF-8 become U+FFFD, whatever else a Line cannot have becomes a space.
func Of(s string) Line { return Line{clean(s, Max)} }

// Short is Of with at most max bytes, at most Max. The sign for what was cut counts.
func Short(s string, max int) Line { return Line{clean(s, min(max, Max))} }

func (l Line) String() string { return l.s }

// IsZero reports whether the Line is empty.
func (l Line) IsZero() bool { return l.s == "" }

// MarshalText returns the text. It never fails.
func (l Line) MarshalText() ([]byte, error) { return []byte(l.s), nil }

// UnmarshalText is Of: what is read from a file was written by whoever can write there. It never fails.
func (l *Line) UnmarshalText(b []byte) error {
	*l = Of(string(b))
	return nil
}

// Honest reports whether s may be shown as it is: valid UTF-8 without control characters (but those in also), without
// characters that change the direction of writing, and without line and paragraph separators. It is what a signed
// document must be, and allows more than a Line: signs that are joined of several, for example.
func Honest(s, also string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return (unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)) && !strings.ContainsRune(also, r)
	})
}

func clean(s string, max int) string {
	const cut = "…"
	var b strings.Builder
	space := false // before the next letter
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if r == ' ' || !unicode.IsPrint(r) {
			space = b.Len() > 0
			continue
		}
		n := utf8.RuneLen(r)
		if space {
			n++
		}
		if b.Len()+n > max-len(cut) && (b.Len()+n > max || !fits(s[i:], max-b.Len()-n)) {
			if max < len(cut) {
				return b.String()
			}
			return b.String() + cut
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// fits reports whether what is left of a text has no more than n bytes once it is clean.
func fits(s string, n int) bool {
	space := false
	for _, r := range s {
		if r == ' ' || !unicode.IsPrint(r) {
			space = true
			continue
		}
		if n -= utf8.RuneLen(r); space {
			n--
		}
		if space = false; n < 0 {
			return false
		}
	}
	return true
}

// Error returns err with its text as a Line: for the error of a callback, or of another program, before it is shown. It wraps
// err, and is nil if err is.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if l := Of(err.Error()); l.s != err.Error() {
		return &lineError{l, err}
	}
	return err
}

type lineError struct {
	text  Line
	cause error
}

func (e *lineError) Error() string { return e.text.s }
func (e *lineError) Unwrap() error { return e.cause }
