// Package screen fits words to a terminal, whatever its width: lines that are redrawn are cut and never wrapped, text is
// folded between words, and numbers have the units that people use.
package screen

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Usual is the width of a terminal that does not tell.
const Usual = 80

// Moves reports whether f is a terminal of a person who watches: lines may be redrawn there. It is none in CI, or if it says
// that it is dumb.
func Moves(f *os.File) bool {
	return os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// Colours reports whether text on f may have colours: NO_COLOR takes nothing else away.
func Colours(f *os.File) bool { return Moves(f) && os.Getenv("NO_COLOR") == "" }

// Columns is how wide the terminal f is, Usual where that is not known.
func Columns(f *os.File) int {
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return Usual
}

// Fold breaks a line between words where it would be wider than so many columns, and indents what follows. A word that is
// wider than a line by itself stays whole.
func Fold(line string, columns, indent int) string {
	if indent > columns/2 {
		indent = 2
	}
	var b strings.Builder
	width := 0
	for i, word := range strings.Split(line, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+n > columns && width > indent:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			width = indent
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	return b.String()
}

// Fit cuts a line that is redrawn so that it has one column less than the terminal: one that fills its last column may be
// wrapped.
func Fit(line string, columns int) string {
	if utf8.RuneCountInString(line) < columns {
		return line
	}
	if columns < 3 {
		return ""
	}
	return string([]rune(line)[:columns-2]) + "…"
}

// Bytes is a size as people say it, in powers of ten.
func Bytes(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 999_950:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 999_950_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// Span is a duration as a person says it: the largest unit that fits, never more precise than true.
func Span(d time.Duration) string {
	unit := func(n int64, name string) string {
		if n == 1 {
			return "1 " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	switch {
	case d >= 48*time.Hour:
		return unit(int64(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour:
		return unit(int64(d/time.Hour), "hour")
	case d >= 2*time.Minute:
		return unit(int64(d/time.Minute), "minute")
	}
	return unit(int64(d/time.Second), "second")
}

// A Transfer is how far bytes have come on their way.
type Transfer struct {
	What        string // on their way to what: downloading
	Name        string // what they are: a version
	Done, Total int64
	Rate        float64 // in bytes a second; 0 if it is not known yet
}

// Line draws it on a line that fits so many columns: as much of it as there is room for, and a bar that takes what is left.
func (t Transfer) Line(columns int) string {
	done := min(max(t.Done, 0), t.Total)
	share := 1.0
	if t.Total > 0 {
		share = float64(done) / float64(t.Total)
	}
	percent := fmt.Sprintf("%3d %%", int(share*100))
	size := fmt.Sprintf("  %s of %s", Bytes(done), Bytes(t.Total))
	rate, left := "", ""
	if t.Rate >= 1 {
		rate = "  " + Bytes(int64(t.Rate)) + "/s"
		if done < t.Total {
			left = "  " + Span(time.Duration(float64(t.Total-done)/t.Rate*float64(time.Second)).Round(time.Second)+time.Second) + " left"
		}
	}
	const least, most = 10, 40 // columns of the bar
	for _, shape := range []struct{ before, after string }{
		{t.What + " " + t.Name + " ", percent + size + rate + left},
		{t.Name + " ", percent + size + rate + left},
		{t.Name + " ", percent + size + rate},
		{t.Name + " ", percent + rate + left},
		{t.Name + " ", percent + rate},
		{t.Name + " ", percent},
		{"", percent},
	} {
		room := columns - 1 - utf8.RuneCountInString(shape.before+"[] "+shape.after)
		if room < least {
			continue
		}
		width := min(room, most)
		full := int(share * float64(width))
		return shape.before + "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "] " + shape.after
	}
	return Fit(strings.TrimSpace(percent), columns)
}
