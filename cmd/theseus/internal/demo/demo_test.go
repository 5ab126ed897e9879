//go:build unix

package demo

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/testattack"
)

// What the demo counts apart must be what the crashed process had, and nothing that a handover lost.
func TestLostWithTheCrashedProcess(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }
	l := newLoad("")
	l.dying, l.diedAt = "1.3.0", at(1000)
	l.firsts["1.3.0"] = sighting{first: at(500), before: at(499)}
	for name, row := range map[string]struct {
		f    failure
		lost bool
	}{
		"opened while it served, cut when it died": {failure{"", io.EOF, at(700), at(1001)}, true},
		"reset on a kept connection after it died": {failure{"", syscall.ECONNRESET, at(700), at(1300)}, true},
		"a connection of the old process":          {failure{"", io.EOF, at(100), at(1001)}, false},
		"refused: nobody listened":                 {failure{"", syscall.ECONNREFUSED, at(990), at(1001)}, false},
		"opened after it died":                     {failure{"", io.EOF, at(1005), at(1010)}, false},
		"cut long after it died":                   {failure{"", io.EOF, at(700), at(5000)}, false},
		"no answer in time":                        {failure{"", os.ErrDeadlineExceeded, at(700), at(1001)}, false},
		"a wrong answer":                           {failure{"", errors.New("answered 500"), at(700), at(1001)}, false},
	} {
		if got := l.diedWith(row.f); got != row.lost {
			t.Errorf("%s: counted apart: %v, want %v", name, got, row.lost)
		}
	}
}

// What the demo shows is of the table that the tests carry out whole, and refused there by the same exit code.
func TestAttacksAreOfTheTable(t *testing.T) {
	for _, a := range demoAttacks {
		if row := testattack.Find(a.id + " "); row == nil || row.Code != ui.ExitRefused {
			t.Errorf("%s %s: in the table it is %+v", a.id, a.name, row)
		}
	}
}
