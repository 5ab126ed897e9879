package main

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/delta"
	"github.com/theseus-go/theseus/internal/durable"
)

func deltaCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "delta",
		Short: "Make, apply and study patches between two builds of a program",
		Long: `A delta makes a new file out of an old one. Between two releases of a Go program little changes but addresses, and a
delta knows how Go executables refer to them, so it is often a hundredth of the full download. It works for any file.

"theseus publish" makes deltas by itself; these commands are for people who want to look.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(deltaDiffCommand(), deltaApplyCommand(), deltaStatsCommand())
	return c
}

func deltaDiffCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "diff OLD NEW PATCH",
		Short:   "Write the patch that makes NEW out of OLD",
		Example: "  theseus delta diff hello-1.0.0 hello-1.1.0 hello.delta",
		Args:    cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			var s delta.Stats
			err := toFile(args[2], 0o644, func(w io.Writer) (err error) {
				s, err = diff(c.Context(), args[0], args[1], w)
				return err
			})
			if err != nil {
				return err
			}
			return ui.Result(asJSON, reportDelta(s), func(w io.Writer) {
				fmt.Fprintf(w, "%s  %s, %.2f %% of %s\n", args[2], ui.Bytes(s.Size), 100*float64(s.Size)/float64(max(s.New.Size, 1)), ui.Bytes(s.New.Size))
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func deltaApplyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "apply OLD PATCH NEW",
		Short:   "Make NEW out of OLD and a patch",
		Long:    "Makes NEW out of OLD and a patch. NEW appears only when it is whole and has the SHA-256 that the patch promises.",
		Example: "  theseus delta apply hello-1.0.0 hello.delta hello",
		Args:    cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			old, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer old.Close()
			info, err := old.Stat()
			if err != nil {
				return err
			}
			patch, err := os.Open(args[1])
			if err != nil {
				return err
			}
			defer patch.Close()
			return toFile(args[2], info.Mode().Perm(), func(w io.Writer) error {
				_, err := delta.Apply(c.Context(), old, bufio.NewReader(patch), w, delta.Limits{})
				return deltaProblem(args[0], args[1], err)
			})
		},
	}
}

func deltaStatsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "stats OLD NEW",
		Short:   "Say what costs how many bytes in the patch from OLD to NEW",
		Long:    "Says what costs how many bytes in the patch from OLD to NEW, and what would make the patch smaller.",
		Example: "  theseus delta stats hello-1.0.0 hello-1.1.0",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := diff(c.Context(), args[0], args[1], io.Discard)
			if err != nil {
				return err
			}
			r := reportDelta(s)
			r.OldGo, r.NewGo = goRelease(args[0]), goRelease(args[1])
			return ui.Result(asJSON, r, r.print)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// goRelease returns the release of Go that linked the file, or nothing.
func goRelease(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return ""
	}
	return info.GoVersion
}

func diff(ctx context.Context, oldPath, newPath string, w io.Writer) (s delta.Stats, err error) {
	old, err := os.ReadFile(oldPath)
	if err != nil {
		return s, err
	}
	new, err := os.ReadFile(newPath)
	if err != nil {
		return s, err
	}
	return delta.Diff(ctx, old, new, w, delta.Options{})
}

// deltaProblem says to a person which file is wrong.
func deltaProblem(old, patch string, err error) error {
	switch {
	case errors.Is(err, delta.ErrWrongOld):
		return &ui.Problem{Code: ui.ExitRefused, Text: fmt.Sprintf("%s is not the file that %s was made for: give the file of the release that the patch starts from", old, patch), Err: err}
	case errors.Is(err, delta.ErrDamaged):
		return &ui.Problem{Code: ui.ExitRefused, Text: fmt.Sprintf("%s is a damaged delta: fetch it again", patch), Err: err}
	case errors.Is(err, delta.ErrUnsupported):
		return &ui.Problem{Code: ui.ExitRefused, Text: fmt.Sprintf("%s is no delta, or one of a format that this version does not know", patch), Err: err}
	}
	return err
}

// advice says what would make the patch smaller.
func (r deltaReport) advice() (lines []string) {
	if r.Debug > 0 {
		lines = append(lines, fmt.Sprintf("smaller: build both files with -ldflags='-s -w'; %d bytes of the patch are for debugging information and symbols", r.Debug))
	}
	if r.OldGo != r.NewGo && r.OldGo != "" && r.NewGo != "" {
		lines = append(lines, fmt.Sprintf("smaller: build both files with the same Go release (%s made the old one, %s the new one); %d bytes of the patch are for code of the standard library alone", r.OldGo, r.NewGo, r.Standard))
	}
	return lines
}

// toFile writes a file that is there whole or not at all.
func toFile(path string, mode os.FileMode, write func(io.Writer) error) error {
	out, err := durable.Create(filepath.Dir(path), "new")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // has another name by then if all went well
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), out.Chmod(mode), out.Sync(), out.Close()); err != nil {
		return err
	}
	return durable.Rename(out.Name(), path)
}

// deltaReport is what a patch is made of. The parts are bytes of the coded patch and add up to its size.
type deltaReport struct {
	Predictor  string `json:"predictor"`
	Old        int64  `json:"old"`
	New        int64  `json:"new"`
	Patch      int64  `json:"patch"`
	Layout     int64  `json:"layout"`
	Copies     int64  `json:"copies"`
	Runs       int64  `json:"runs"`
	Residue    int64  `json:"residue"`
	Novel      int64  `json:"novel"`
	Generated  int64  `json:"generated"`
	CopyCount  int    `json:"copy_count"`
	RunCount   int    `json:"run_count"`
	NovelBytes int64  `json:"novel_bytes"`
	References int    `json:"references"`
	Wrong      int    `json:"wrong"`
	WrongBytes int    `json:"wrong_bytes"`
	Debug      int64  `json:"debug"`
	Standard   int64  `json:"standard"`
	OldGo      string `json:"old_go,omitempty"`
	NewGo      string `json:"new_go,omitempty"`
}

func reportDelta(s delta.Stats) deltaReport {
	return deltaReport{
		Predictor: s.Predictor.String(), Old: s.Old.Size, New: s.New.Size, Patch: s.Size,
		Layout: s.Layout, Copies: s.Copies, Runs: s.Runs, Residue: s.Residue, Novel: s.Novel, Generated: s.Generated,
		CopyCount: s.CopyCount, RunCount: s.RunCount, NovelBytes: s.NovelBytes, References: s.References, Wrong: s.Wrong, WrongBytes: s.WrongBytes,
		Debug: s.Debug, Standard: s.Standard,
	}
}

func (r deltaReport) print(w io.Writer) {
	ui.Table(w, func(w io.Writer) {
		fmt.Fprintf(w, "old file\t%d bytes\n", r.Old)
		fmt.Fprintf(w, "new file\t%d bytes\n", r.New)
		fmt.Fprintf(w, "patch\t%d bytes\t%.3f %% of the new file, predictor %s\n", r.Patch, 100*float64(r.Patch)/float64(max(r.New, 1)), r.Predictor)
		fmt.Fprintf(w, "  layout\t%d\theader, sections and tables\n", r.Layout)
		fmt.Fprintf(w, "  copies\t%d\t%d copies of old bytes\n", r.Copies, r.CopyCount)
		fmt.Fprintf(w, "  runs\t%d\t%d pieces of the address map that no copy implies\n", r.Runs, r.RunCount)
		fmt.Fprintf(w, "  residue\t%d\t%d of %d references and %d other bytes were predicted wrongly\n", r.Residue, r.Wrong, r.References, r.WrongBytes)
		fmt.Fprintf(w, "  novel\t%d\t%d bytes that nothing predicts\n", r.Novel, r.NovelBytes)
		fmt.Fprintf(w, "generated\t%d bytes\tmade by the client, not shipped\n", r.Generated)
	})
	for _, line := range r.advice() {
		fmt.Fprintln(w, line)
	}
}
