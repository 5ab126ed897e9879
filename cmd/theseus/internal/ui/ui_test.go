package ui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPairs(t *testing.T) {
	var b strings.Builder
	Pairs(&b, [][2]string{{"requests", "7"}, {"failed requests", "0"}, {"", "none"}})
	if got := b.String(); got != "requests         7\nfailed requests  0\n                 none\n" {
		t.Errorf("%q", got)
	}
}

func TestInterruptedSaysWhatToDo(t *testing.T) {
	err := fmt.Errorf("making the delta from 1.0.0 for linux/amd64: %w", context.Canceled)
	if s := Sentence(err); !strings.HasPrefix(s, "interrupted: run the same command again") {
		t.Error(s)
	}
}

// Texts of others reach the terminal as text: no control character of either set, nothing that turns the direction around.
func TestR13NoForeignTextCommandsTheTerminal(t *testing.T) {
	if got := OneLine("a\x1b[31m b\u202e\u2066c\x9b \u009bd\n\te\xffé"); got != "a [31m b??c\ufffd ?d e\ufffdé" {
		t.Errorf("%q", got)
	}
}

func TestDeadline(t *testing.T) {
	now := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]string{
		time.Hour: "2026-11-29 09:00 UTC", 47 * time.Hour: "2026-12-01 07:00 UTC", -time.Hour: "2026-11-29 07:00 UTC",
		72 * time.Hour: "2026-12-02", -72 * time.Hour: "2026-11-26",
	} {
		if got := deadline(now.Add(left), now); got != want {
			t.Errorf("%v: %q, want %q", left, got, want)
		}
	}
}
