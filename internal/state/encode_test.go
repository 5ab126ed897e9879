package state_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

// R04, R14: whatever strings a server or a failing program chooses, wherever they are kept, the state is saved, and the
// rollback floor beside them is what it was.
func TestR04NoStringKeepsTheStateFromBeingSaved(t *testing.T) {
	for what, bad := range map[string]string{
		"no UTF-8":             "\"\xff\"",
		"half a letter":        strings.Repeat("ä", 300)[:509],
		"a surrogate":          "\xed\xa0\x80",
		"zeros and controls":   "\x00\x01\x1b[31m\x7f\u009b\u202e",
		"a quote":              `"},"floor":"0001-01-01T00:00:00Z`,
		"longer than a state":  strings.Repeat("x", 5<<20),
		"long and to escape":   strings.Repeat("\x01\xff", 1<<20),
		"long, of four bytes":  strings.Repeat("\U0001f600", 1<<20),
		"the replacement mark": "\ufffd",
	} {
		t.Run(what, func(t *testing.T) {
			short := bad
			if len(short) > 4<<10 {
				short = short[:4<<10] // what is kept of a header is capped where it is read
			}
			home, s := newHome(t), full()
			s.Failed[short] = state.Failure{Reason: text.Of(bad), At: s.Floor}
			s.Failed[short+"\xfe"] = state.Failure{Reason: text.Of(bad), At: s.Floor} // the same once it is text
			s.Failed[short+"\xfd"] = state.Failure{Reason: text.Of(bad), At: s.Floor}
			s.Journal.Cause = text.Of(bad)
			s.Installed.Version, s.Journal.From.Version = short, short
			s.Channels["stable"].Validator.ETag = short
			s.Channels["stable"].Validator.Source = short
			s.Channels[short] = &state.Channel{Sequence: 7, File: short}
			s.Channels[short+"\xfe"] = &state.Channel{Sequence: 9, File: short}
			save(t, home, s)
			got, err := state.Load(home)
			must(t, err)
			if c := got.Channels["stable"]; c == nil || c.Sequence != 42 || c.ID != id("channel") || !got.Floor.Equal(s.Floor) || got.Trust.Version != 3 {
				t.Errorf("the floor was lost: %+v", c)
			}
			if got.Journal == nil || got.Journal.To.ID != s.Journal.To.ID || got.Previous.ID != s.Previous.ID {
				t.Errorf("the journal was lost: %+v", got.Journal)
			}
			for version, f := range got.Failed {
				if !utf8.ValidString(version) || !utf8.ValidString(f.Reason.String()) || f.Reason.IsZero() {
					t.Errorf("%q: %q", version, f.Reason)
				}
			}
			if len(got.Failed) < 2 {
				t.Errorf("failures were forgotten: %d are left", len(got.Failed))
			}
			save(t, home, got) // and what was saved stays as it is
			again, err := state.Load(home)
			must(t, err)
			if !reflect.DeepEqual(got, again) {
				t.Error("another save changed it")
			}
		})
	}
}

// R04: a state that grew too large loses what can be had again, never the floors.
func TestR04TooMuchToRememberCostsNoFloor(t *testing.T) {
	home, s := newHome(t), full()
	for n := range 24 {
		s.Channels[fmt.Sprint(n)] = &state.Channel{Sequence: int64(n), ID: id(fmt.Sprint(n)), Served: s.Floor.Add(-time.Duration(24-n) * time.Hour),
			File: strings.Repeat("\n", 300<<10)}
	}
	for n := range 1000 {
		s.Failed[fmt.Sprintf("1.0.%d", n)] = state.Failure{Reason: text.Of(strings.Repeat("\x01", 4<<10)), At: s.Floor.Add(time.Duration(n) * time.Hour)}
	}
	save(t, home, s)
	got, err := state.Load(home)
	must(t, err)
	for name, c := range s.Channels {
		if g := got.Channels[name]; g == nil || g.Sequence != c.Sequence || g.ID != c.ID {
			t.Errorf("channel %s: %+v", name, g)
		}
	}
	if !got.Floor.Equal(s.Floor) || got.Trust.Version != 3 || got.Installed.ID != s.Installed.ID || got.Journal == nil {
		t.Error("more than channels and failures was forgotten")
	}
	if _, ok := got.Failed["1.0.999"]; !ok {
		t.Errorf("the newest failure was forgotten, %d are left", len(got.Failed))
	}
	if len(s.Failed) != 1001 || s.Channels["0"].File == "" {
		t.Error("saving changed the caller's state")
	}
}
