package updater

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	for _, row := range []struct {
		window, at string // at: a moment in UTC
		open       bool
		next       string // if it is closed
	}{
		{"02:00-04:00 UTC", "2026-11-25 01:59", false, "2026-11-25 02:00"},
		{"02:00-04:00 UTC", "2026-11-25 02:00", true, ""},
		{"02:00-04:00 UTC", "2026-11-25 03:59", true, ""},
		{"02:00-04:00 UTC", "2026-11-25 04:00", false, "2026-11-26 02:00"},
		{"Mon-Fri 02:00-04:00 Europe/Berlin", "2026-11-27 01:30", true, ""},                  // Friday, 02:30 there
		{"Mon-Fri 02:00-04:00 Europe/Berlin", "2026-11-27 03:30", false, "2026-11-30 01:00"}, // and next on Monday
		{"Mon-Fri 02:00-04:00 Europe/Berlin", "2026-07-03 00:30", true, ""},                  // in summer
		{"Fri-Mon 22:00-24:00 UTC", "2026-11-28 23:59", true, ""},                            // days go round the end of a week
		{"Fri-Mon 22:00-24:00 UTC", "2026-11-25 23:00", false, "2026-11-27 22:00"},           // Wednesday
		{"Fri 22:00-04:00 UTC", "2026-11-27 21:59", false, "2026-11-27 22:00"},               // over midnight
		{"Fri 22:00-04:00 UTC", "2026-11-28 03:59", true, ""},                                // Saturday, which began on Friday
		{"Fri 22:00-04:00 UTC", "2026-11-27 03:59", false, "2026-11-27 22:00"},               // Friday, which would have begun on Thursday
		{"Sat,Sun 00:00-24:00 UTC", "2026-11-29 12:00", true, ""},                            //
		{"sat,SUN 00:00-24:00 UTC", "2026-11-30 00:00", false, "2026-12-05 00:00"},           //
		{"02:15-02:45 Europe/Berlin", "2026-03-29 01:15", false, "2026-03-30 00:15"},         // is left out that night: 01:59 is followed by 03:00
		{"02:00-04:00 Europe/Berlin", "2026-03-29 00:59", false, "2026-03-29 01:00"},         // begins late that night
		{"02:00-03:00 Europe/Berlin", "2026-10-25 00:30", true, ""},                          // comes twice that night
		{"02:00-03:00 Europe/Berlin", "2026-10-25 01:30", true, ""},                          //
		{"02:00-02:30 Australia/Lord_Howe", "2026-10-03 15:40", false, "2026-10-04 15:00"},   // summer time of half an hour
		{"Mon 09:00-10:00 Pacific/Apia", "2026-11-29 19:30", false, "2026-11-29 20:00"},      // it is Monday there
		{"00:00-00:30 America/Sao_Paulo", "2018-11-04 03:15", false, "2018-11-05 02:00"},     // midnight is left out
		{"00:00-02:00 America/Sao_Paulo", "2018-11-04 02:59", false, "2018-11-04 03:00"},     //
	} {
		gate := Windows(row.window).(*weekly)
		if gate.check() != nil {
			t.Errorf("%s: %v", row.window, gate.wrong)
			continue
		}
		at, _ := time.Parse("2006-01-02 15:04", row.at)
		err := gate.Enter(t.Context(), Move{now: at})
		if open := err == nil; open != row.open {
			t.Errorf("%s at %s: open is %v", row.window, row.at, open)
		}
		if held := (*Held)(nil); errors.As(err, &held) {
			if next := at.Add(held.After).UTC().Format("2006-01-02 15:04"); next != row.next || held.Kind != "window" {
				t.Errorf("%s at %s: %s opens next at %s, want %s", row.window, row.at, held.Kind, next, row.next)
			}
		}
		for _, m := range []Move{{now: at, Critical: true}, {now: at, Manual: true}} {
			if err := gate.Enter(t.Context(), m); err != nil {
				t.Errorf("%s at %s: %+v waits: %v", row.window, row.at, m, err)
			}
		}
		if err := gate.Enter(t.Context(), Move{now: at, behind: true}); !errors.Is(err, ErrHeld) {
			t.Errorf("%s at %s: a clock that is wrong opens it", row.window, row.at)
		}
	}
	// One of several is enough, and the first to open is the next.
	both := Windows("Mon 02:00-04:00 UTC", "Sun 12:00-13:00 UTC")
	sunday := time.Date(2026, 11, 29, 12, 30, 0, 0, time.UTC)
	if err := both.Enter(t.Context(), Move{now: sunday}); err != nil {
		t.Error(err)
	}
	held := (*Held)(nil)
	if err := both.Enter(t.Context(), Move{now: sunday.Add(time.Hour)}); !errors.As(err, &held) || held.After != 12*time.Hour+30*time.Minute {
		t.Errorf("%v, after %v", err, held.After)
	}
}

func TestWindowsThatAreNone(t *testing.T) {
	repo := published(t, "1.0.0")
	for _, window := range []string{
		"", "Mon", "02:00", "02:00-02:00", "2:00-4:00", "02:00-04:60", "02:00-25:00", "24:00-02:00", "Mon-Fri", "Mon-Fry 02:00-04:00", "Mon- 02:00-04:00",
		"Mon,,Tue 02:00-04:00", "02:00-04:00 Mars/Olympus", "02:00-04:00 UTC now", "Montag 02:00-04:00", "02:00–04:00", "02:00-04:00 ../../etc/passwd",
	} {
		g := Windows("02:00-04:00", window)
		if err := g.Enter(t.Context(), Move{}); err == nil {
			t.Errorf("%q lets through", window)
		}
		opts := Options{App: repo.App, Version: "1.0.0", Key: repo.Key(), Source: repo.URL(), Gates: []Gate{g}}
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "the window") {
			t.Errorf("%q: %v", window, err)
		}
	}
	if err := Windows().Enter(t.Context(), Move{Manual: true}); err == nil {
		t.Error("no window at all lets through")
	}
}
