package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// Lines that a terminal breaks within words, and flags that take a "string", are hard to read at three in the morning.
func TestHelpFitsATerminal(t *testing.T) {
	commands := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		commands++
		var b strings.Builder
		c.SetOut(&b)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%s --help: %d columns: %s", c.CommandPath(), n, line)
			}
			for _, kind := range []string{" string ", " int ", " duration "} {
				if strings.HasPrefix(strings.TrimSpace(line), "--") && strings.Contains(line, kind) {
					t.Errorf("%s --help: a flag takes a%s: name it: %s", c.CommandPath(), kind, line)
				}
			}
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(root())
	if commands < 20 {
		t.Errorf("looked at %d commands only", commands)
	}
}
