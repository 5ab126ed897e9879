// Package ui is how the tool speaks. The rules:
//
//   - Standard output carries the result and nothing else; with --json it is one JSON object on one line.
//     What happens meanwhile, warnings and errors go to standard error.
//   - An error is one line: what is wrong, with the name of the thing, then what to do next. It never shows a
//     stack, a Go type or a secret. The exit code says of which kind it is (the constants below).
//   - Nothing is asked but a passphrase, and by init what no flag says, and only on a terminal; whoever has none is told what
//     to set instead, or gets the default.
//   - Colour and redrawn lines only on a terminal, never with CI or TERM=dumb; with NO_COLOR no colour, and all else. The same
//     words either way. What is redrawn fits the width.
//   - Sizes in kB and MB (powers of ten), dates as 2026-11-21 (UTC), keys by the id that minisign prints.
package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/theseus-go/theseus/internal/bundle"
	"github.com/theseus-go/theseus/internal/fetch"
	"github.com/theseus-go/theseus/internal/screen"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/verify"
)

// Exit codes: the same meanings as those of a program's own self-update, as far as they apply.
const (
	ExitError       = 1 // anything not named below
	ExitUsage       = 2 // the command line is wrong
	ExitNothing     = 3 // verify --as: nothing that such a client may install
	ExitRefused     = 4 // signatures, hashes, dates or structure do not hold
	ExitUnreachable = 5 // the source does not answer
	ExitPermission  = 6 // the operating system says no
	ExitBusy        = 7 // another theseus is at work on the same repository, or was faster
)

// A Problem is an error for a person: a sentence that ends with what to do next, and an exit code.
type Problem struct {
	Code int
	Text string
	Err  error // the cause, for errors.Is; its text is already in Text where it helps
}

func (p *Problem) Error() string { return p.Text }
func (p *Problem) Unwrap() error { return p.Err }

// Fail makes a problem. As with fmt.Errorf, %w keeps the cause.
func Fail(code int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Problem{Code: code, Text: err.Error(), Err: errors.Unwrap(err)}
}

func Usage(format string, args ...any) error { return Fail(ExitUsage, format, args...) }

// Silent ends the program with a code and no message: the result that was printed says it all.
type Silent int

func (e Silent) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Report prints err, if any, and returns the exit code.
func Report(err error) int {
	if err == nil {
		return 0
	}
	if silent := Silent(0); errors.As(err, &silent) {
		return int(silent)
	}
	Note("%s", Sentence(err))
	return ExitCode(err)
}

func ExitCode(err error) int {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p.Code
	case isRefusal(err):
		return ExitRefused
	case isUnreachable(err):
		return ExitUnreachable
	case errors.Is(err, fs.ErrPermission):
		return ExitPermission
	}
	return ExitError
}

// Sentence adds what to do next to the errors that come from elsewhere and cannot know it.
func Sentence(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted: run the same command again, it finishes what was begun"
	}
	var p *Problem
	if errors.As(err, &p) {
		return err.Error()
	}
	for _, a := range advice {
		if !isUnreachable(err) && errors.Is(err, a.is) {
			return err.Error() + ": " + a.next
		}
	}
	return err.Error()
}

func isUnreachable(err error) bool { return fetch.Unreachable(err) }

// isRefusal reports whether a document or file was looked at and does not hold.
func isRefusal(err error) bool {
	return slices.ContainsFunc(refusals, func(is error) bool { return errors.Is(err, is) })
}

var refusals = []error{
	verify.ErrMalformed, verify.ErrTooLarge, verify.ErrAlgorithm, verify.ErrSignature, verify.ErrThreshold, verify.ErrType, verify.ErrApp, verify.ErrVersion,
	release.ErrMalformed, release.ErrApp, release.ErrChannel, release.ErrVersion, release.ErrID, release.ErrAmbiguous,
	release.ErrTrust, release.ErrExpired, release.ErrFuture,
	fetch.ErrHash, fetch.ErrSize, fetch.ErrTooLarge, bundle.ErrMalformed,
}

var advice = []struct {
	is   error
	next string
}{
	{fs.ErrPermission, "run this as the owner of that file or folder, or change its mode"},
	{fs.ErrNotExist, "check the path"},
}

// OneLine keeps an error on the line that a log or a person expects it on. It may quote names and texts of others, which
// never write to the terminal as more than text.
func OneLine(s string) string {
	return Clean(strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)), " "))
}

// Note says something to the person at the keyboard.
func Note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "theseus: %s\n", OneLine(fmt.Sprintf(format, args...)))
}

func Warn(format string, args ...any) { Note("warning: "+format, args...) }

// Result prints v as JSON if asked, otherwise whatever person writes.
func Result(asJSON bool, v any, person func(w io.Writer)) error {
	if !asJSON {
		person(os.Stdout)
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(b, '\n'))
	return err
}

// Table aligns columns that are separated by tabs. What is wider than the terminal is folded between words.
func Table(w io.Writer, rows func(w io.Writer)) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	rows(t)
	t.Flush()
	columns := 1 << 20
	if f, ok := w.(*os.File); ok && screen.Moves(f) {
		columns = Columns(f)
	}
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, Fold(strings.TrimSuffix(line, "\n"), columns, 6))
	}
}

// Moves reports whether lines may be redrawn on f, which a person watches.
func Moves(f *os.File) bool { return screen.Moves(f) }

// Colours reports whether text on f may have colours.
func Colours(f *os.File) bool { return screen.Colours(f) }

// Columns is how wide the terminal f is; 80 where that is not known.
func Columns(f *os.File) int { return screen.Columns(f) }

// Fold breaks a line between words where it would be wider than so many columns, and indents what follows.
func Fold(line string, columns, indent int) string { return screen.Fold(line, columns, indent) }

// Pairs writes lines of a name and what there is to say of it, in two columns; on a narrow terminal the second is folded
// below the first.
func Pairs(w io.Writer, pairs [][2]string) {
	columns := 1 << 20
	if f, ok := w.(*os.File); ok && screen.Moves(f) {
		columns = Columns(f)
	}
	widest := 0
	for _, p := range pairs {
		widest = max(widest, utf8.RuneCountInString(p[0]))
	}
	for _, p := range pairs {
		switch label := fmt.Sprintf("%-*s  ", widest, p[0]); {
		case columns >= 2*widest+20:
			fmt.Fprintln(w, Fold(label+p[1], columns, widest+2))
		case p[0] == "":
			fmt.Fprintln(w, Fold("  "+p[1], columns, 2))
		default:
			fmt.Fprintln(w, Fold(p[0]+": "+p[1], columns, 2))
		}
	}
}

// Bytes is a size as people say it, in powers of ten.
func Bytes(n int64) string { return screen.Bytes(n) }

// Share is a part of the installations, given in millionths: 5 %, 12.5 %, everybody.
func Share(millionths int) string {
	if millionths >= 1_000_000 {
		return "everybody"
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", float64(millionths/100)/100), "0"), ".") + " %"
}

// ByteSize is the value of a flag: a size as Bytes writes it, 500MB or 2GB.
type ByteSize int64

func (b *ByteSize) String() string { return strings.ReplaceAll(Bytes(int64(*b)), " ", "") }
func (b *ByteSize) Type() string   { return "size" }

func (b *ByteSize) Set(s string) error {
	var n float64
	var unit string
	if _, err := fmt.Sscanf(s, "%g%s", &n, &unit); err == nil && n > 0 && n < 1e6 {
		switch strings.ToUpper(unit) {
		case "MB":
			*b = ByteSize(n * 1e6)
			return nil
		case "GB":
			*b = ByteSize(n * 1e9)
			return nil
		}
	}
	return errors.New("want a size such as 500MB or 2GB")
}

// Deadline is the date on which something ends, with the hour if that is soon.
func Deadline(t time.Time) string { return deadline(t, time.Now()) }

func deadline(t, now time.Time) string {
	if left := t.Sub(now); left > -48*time.Hour && left < 48*time.Hour {
		return t.UTC().Format("2006-01-02 15:04 UTC")
	}
	return Date(t)
}

func Date(t time.Time) string { return t.UTC().Format("2006-01-02") }

// Span is a duration as a person says it: the largest unit that fits, never more precise than true.
func Span(d time.Duration) string { return screen.Span(d) }

func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func KeyIDs(keys []verify.Key) string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID()
	}
	return strings.Join(ids, ", ")
}

// Clean keeps text that nobody has vouched for from writing to the terminal as more than text.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// ParseSpan is time.ParseDuration with days, which is what people count expiry in.
func ParseSpan(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseUint(n, 10, 16)
		return time.Duration(days) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

// HelpColumns is how wide help is: as the terminal, within what can be read well; 80 elsewhere.
func HelpColumns() int {
	if !screen.Moves(os.Stdout) {
		return screen.Usual
	}
	return min(max(Columns(os.Stdout), 20), 100)
}
