package updater

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/theseus-go/theseus/release"
)

// Windows is a Gate that is open at certain times of the week, by the clock of the machine:
//
//	updater.Windows("Mon-Fri 02:00-04:00 Europe/Berlin", "Sat,Sun 22:00-06:00")
//
// Each has days (every day without them), a time from and until (at most 24:00; one that ends before it begins goes on
// into the next day, and its days are those on which it begins), and a time zone (that of the machine without it). Where
// summer time begins or ends, what the clock shows decides. It comes again each week, so a machine that was off in one is
// not left behind.
//
// A release that is critical for this machine, and what a person asked for, do not wait. A clock that stands before dates
// that were signed already cannot tell, and holds back. New says what is wrong with a window.
func Windows(windows ...string) Gate {
	w := &weekly{}
	for _, text := range windows {
		one, err := parseWindow(text)
		if err != nil {
			w.wrong = errors.Join(w.wrong, fmt.Errorf("the window %q: %w", text, err))
			continue
		}
		w.all = append(w.all, one)
	}
	if len(windows) == 0 {
		w.wrong = errors.New("there is no window")
	}
	return w
}

// weekly is a gate with windows.
type weekly struct {
	all   []window
	wrong error
}

// window is one of them: from and until are minutes of a day, until of the next day if it is not later.
type window struct {
	text        string
	days        [7]bool // on which it begins, Sunday first
	from, until int
	zone        *time.Location
}

func (w *weekly) check() error { return w.wrong }

func (w *weekly) Enter(ctx context.Context, m Move) error    { return enterBy(ctx, w, m) }
func (w *weekly) Leave(context.Context, Move, Outcome) error { return nil }
func (w *weekly) letGo()                                     {}

func (w *weekly) look(_ context.Context, m Move) (v release.Verdict, after time.Duration) {
	v = release.Verdict{Release: m.To, Rule: "window"}
	if w.wrong != nil {
		v.Detail = w.wrong.Error()
		return v, 0
	}
	if m.now.IsZero() {
		m.now = time.Now()
	}
	var names []string
	var next time.Time
	for _, one := range w.all {
		names = append(names, one.text)
		v.Passed = v.Passed || one.open(m.now) && !m.behind
		if at := one.next(m.now); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	v.Input = strings.Join(names, ", ")
	switch {
	case v.Passed:
	case m.Critical, m.Manual:
		v.Passed, v.Detail = true, "not now, but "+pressing(m)
	case m.behind:
		v.Detail = "this machine's clock stands before dates that were signed already, so nobody knows whether it is time for an update: set the clock"
	default:
		v.Detail, after = "updates are installed only "+v.Input, next.Sub(m.now.Round(0))
	}
	return v, after
}

// open reports whether a moment is in the window, by what a clock on the wall shows there.
func (w window) open(t time.Time) bool {
	t = t.In(w.zone)
	minute, day := t.Hour()*60+t.Minute(), t.Weekday()
	if w.from < w.until {
		return w.days[day] && minute >= w.from && minute < w.until
	}
	return w.days[day] && minute >= w.from || w.days[(day+6)%7] && minute < w.until
}

// next is when the window opens after a moment at which it is closed.
func (w window) next(t time.Time) time.Time {
	local := t.In(w.zone)
	for day := range 9 {
		at := time.Date(local.Year(), local.Month(), local.Day()+day, w.from/60, w.from%60, 0, 0, w.zone)
		// A time that summer time leaves out is not there: the window opens when the clock has come past it.
		for _, late := range []time.Duration{0, 30 * time.Minute, time.Hour} {
			if at := at.Add(late); at.After(t) && w.open(at) {
				return at
			}
		}
	}
	return t.Add(24 * time.Hour)
}

var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func parseWindow(text string) (w window, err error) {
	w = window{text: strings.Join(strings.Fields(text), " "), zone: time.Local}
	fields := strings.Fields(text)
	if len(fields) > 0 && !strings.ContainsAny(fields[0], "0123456789") {
		if w.days, err = parseDays(fields[0]); err != nil {
			return w, err
		}
		fields = fields[1:]
	} else {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	if len(fields) < 1 || len(fields) > 2 {
		return w, errors.New(`it should look like "Mon-Fri 02:00-04:00 Europe/Berlin"`)
	}
	from, until, ok := strings.Cut(fields[0], "-")
	if !ok {
		return w, fmt.Errorf("%q is not a time from and until, such as 02:00-04:00", fields[0])
	}
	if w.from, err = parseMinute(from); err != nil {
		return w, err
	}
	if w.until, err = parseMinute(until); err != nil {
		return w, err
	}
	if w.from == w.until || w.from == 24*60 {
		return w, fmt.Errorf("%s has no length; the whole day is 00:00-24:00", fields[0])
	}
	if len(fields) == 2 {
		if w.zone, err = time.LoadLocation(fields[1]); err != nil {
			return w, fmt.Errorf("the time zone %q is not known here (install tzdata, or import time/tzdata into the program): %w", fields[1], err)
		}
	}
	return w, nil
}

// parseDays reads Mon-Fri, or Sat,Sun.
func parseDays(text string) (days [7]bool, err error) {
	day := func(name string) int {
		for i, d := range weekdays {
			if strings.EqualFold(name, d) {
				return i
			}
		}
		err = fmt.Errorf("%q is no day; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, as in Mon-Fri or Sat,Sun", name)
		return 0
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from := day(first)
		to := from
		if isRange {
			to = day(last)
		}
		if err != nil {
			return days, err
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// parseMinute reads a time of day, of two digits each.
func parseMinute(text string) (int, error) {
	if text == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != 5 {
		return 0, fmt.Errorf("%q is not a time of day, such as 02:00", text)
	}
	return t.Hour()*60 + t.Minute(), nil
}
