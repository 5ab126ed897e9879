package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/updater"
)

func recoverCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "recover PATH",
		Short: "Bring an installed program back to a version that starts",
		Long: `Settles, from outside, what an interrupted update of the program at PATH left, and undoes a release that was started
three times and never proved itself. It asks no network and needs no key, and works where the program itself cannot even
start: it is for ExecStartPre= of a service, and for a rescue shell.

Each call counts the start that is coming. A program that nobody has updated is left as it is. Where another process is at
work on the same program, recover waits for ten seconds and then leaves it to that process.

Exit codes: 0 the program can be started (or another process is at work on it), 1 it cannot be brought back by itself,
2 usage, 6 no permission: also for root, if the folder belongs to somebody else; the command for that user is printed then.`,
		Example: `  theseus recover /opt/hello/hello
  ExecStartPre=-/usr/local/bin/theseus recover /opt/hello/hello`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := updater.Recover(c.Context(), args[0], nil)
			if err != nil {
				for _, done := range r.Done {
					ui.Note("%s", ui.OneLine(done))
				}
				return recoverFailed(err)
			}
			return ui.Result(asJSON, reportRecovery(args[0], r), func(w io.Writer) { printRecovery(w, args[0], r) })
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// recoverFailed leaves out the words that name the package and the step.
func recoverFailed(err error) error {
	var e *updater.Error
	if !errors.As(err, &e) {
		return err
	}
	code := ui.ExitError
	if errors.Is(err, updater.ErrPermission) {
		code = ui.ExitPermission
	}
	return &ui.Problem{Code: code, Text: ui.Sentence(e.Err), Err: err}
}

// A recovery is what recover prints with --json.
type recovery struct {
	Path      string   `json:"path"`
	Installed string   `json:"installed,omitzero"` // "": nobody has updated it
	Proved    bool     `json:"proved"`
	Starts    int      `json:"starts"` // without proving itself, the coming one included
	Done      []string `json:"done"`
	Busy      string   `json:"busy,omitzero"`
}

func reportRecovery(path string, r updater.Recovery) recovery {
	out := recovery{Path: path, Installed: r.Installed, Proved: r.Proved, Starts: r.Starts, Done: append([]string{}, r.Done...)}
	if r.Busy != nil {
		out.Busy = r.Busy.Error()
	}
	return out
}

func printRecovery(w io.Writer, path string, r updater.Recovery) {
	for _, done := range r.Done {
		fmt.Fprintln(w, ui.OneLine(done))
	}
	switch {
	case r.Busy != nil:
		fmt.Fprintf(w, "%s: left alone: %s\n", path, ui.OneLine(r.Busy.Error()))
	case r.Installed == "":
		fmt.Fprintf(w, "%s: no update is recorded; nothing to do.\n", path)
	case r.Proved:
		fmt.Fprintf(w, "%s: %s, which has proved itself.\n", path, r.Installed)
	default:
		fmt.Fprintf(w, "%s: %s, not yet proved; this is its start number %d.\n", path, r.Installed, r.Starts)
	}
}
