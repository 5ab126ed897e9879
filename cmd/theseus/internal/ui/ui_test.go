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
