package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// wrongFlag says of an unknown flag which one may be meant. Flags are read before commands are looked for, so it may be the
// command that is not known.
func wrongFlag(c *cobra.Command, err error) error {
	if c.HasSubCommands() {
		depth := strings.Count(c.CommandPath(), " ")
		words := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(arg string) bool { return strings.HasPrefix(arg, "-") })
		if len(words) > depth && !strings.HasPrefix(os.Args[1], "-") {
			return unknownCommand(c, words[depth])
		}
	}
	near := ""
	if name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --"); unknown {
		var names []string
		for word := range strings.FieldsSeq(c.Flags().FlagUsages()) {
			if strings.HasPrefix(word, "--") {
				names = append(names, word)
			}
		}
		near = ui.DidYouMean("--"+name, names)
	}
	return ui.Usage("%v%s: see '%s --help'", err, near, c.CommandPath())
}

func unknownCommand(c *cobra.Command, name string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return ui.Usage("unknown command %q%s: see '%s --help'", name, ui.DidYouMean(name, names), c.CommandPath())
}

// wrapArgs makes a wrong number of arguments a usage error (exit 2), as a wrong flag is.
func wrapArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		check = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		switch _, takes, some := strings.Cut(c.Use, " "); {
		case err == nil:
			return nil
		case some: // cobra would count them only
			return ui.Usage("%s takes %s (%d given): see '%s --help'", strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" "), takes, len(args), c.CommandPath())
		case c.HasSubCommands() && len(args) > 0:
			return unknownCommand(c, args[0])
		case len(args) > 0:
			return ui.Usage("%s takes no argument, and %q is one: see '%s --help'", strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" "), args[0], c.CommandPath())
		}
		return ui.Usage("%v: see '%s --help'", err, c.CommandPath())
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

// missing says which of the flags have no value, all at once; nil if all have one. pairs are names and values in turn.
func missing(c string, pairs ...string) error {
	var names []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			names = append(names, "--"+pairs[i])
		}
	}
	switch n := len(names); n {
	case 0:
		return nil
	case 1:
		return ui.Usage("%s is missing: see 'theseus %s --help'", names[0], c)
	default:
		return ui.Usage("%s and %s are missing: see 'theseus %s --help'", strings.Join(names[:n-1], ", "), names[n-1], c)
	}
}
