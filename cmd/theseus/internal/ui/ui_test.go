package ui

import (
	"context"
	"fmt"
	"strings"
	"testing"
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
