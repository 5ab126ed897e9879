package ui

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"   one two three", "   one two\n   three"},
		{" ✓ one two", " ✓ one two"},
		{"averyveryverylongword x", "averyveryverylongword\n   x"},
	} {
		if got := Fold(c.in, 10, 3); got != c.want {
			t.Errorf("fold(%q) = %q, want %q", c.in, got, c.want)
		}
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
