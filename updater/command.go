package updater

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/screen"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/internal/text"
	"github.com/theseus-go/theseus/release"
)

const commandUsage = `usage: %[1]s self-update [--check | --dry-run | --doctor | --rollback | --history]
         [V | --version V] [--allow-downgrade] [--from FILE] [--explain] [--json]
         [--metrics FILE]

Installs the newest release of %[1]s for this machine.%[2]s

  --check      only say whether there is an update (exit code 100 if there is)
  --version V  install version V instead of the newest; an earlier one that is
               kept here is gone back to
  --allow-downgrade
               V may be an earlier one that is not kept here, if the publisher
               lets people go back to it
  --from FILE  ask no network: take the release from a bundle or from a folder,
               by the same checks ("theseus bundle" makes a bundle)
  --dry-run    say what an update would do: what is downloaded, written, kept
  --doctor     look for whatever keeps an update from working here, and say how
               to repair it
  --rollback   go back to the version before this one; %[3]s
  --history    say how the last updates ended, at most 50, the newest first
  --explain    say of each rule whether it let a release pass
  --metrics FILE  write numbers for Prometheus to FILE (*.prom) in the end, for
               the textfile collector of its node exporter
  --json       print one JSON object instead of text

In a folder of another user's, root does none of this: it prints the sudo command
that does it as that user (exit code 6).

Exit codes: 0 current or updated, 1 error, 2 usage, 3 nothing that this machine
may install, 4 refused by verification, 5 source unreachable, 6 no permission,
7 another update is running (and still was after 5 s), 8 the release failed and
is not installed, 100 --check found an update. --dry-run ends with the code that
the update would end with, as far as can be foreseen; --doctor with 0 if it finds
no problem, else with the code of an update that meets the first one.
`

// Command is the command line: args are those after the program's own flags, with or without the word self-update in
// front. It prints to standard output and error, installs but never restarts anything and never exits the process:
// give its result to os.Exit.
func (u *Updater) Command(ctx context.Context, args []string) int {
	c := command{u: u, stdout: os.Stdout, stderr: os.Stderr}
	return c.main(ctx, args)
}

// main parses the flags and runs what they ask for.
func (c *command) main(ctx context.Context, args []string) int {
	u := c.u
	if len(args) > 0 && args[0] == "self-update" {
		args = args[1:]
	}
	var version, from string
	var downgrade bool
	flags := flag.NewFlagSet("self-update", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&c.check, "check", false, "")
	flags.BoolVar(&c.rollback, "rollback", false, "")
	flags.StringVar(&version, "version", "", "")
	flags.StringVar(&from, "from", "", "")
	flags.BoolVar(&downgrade, "allow-downgrade", false, "")
	flags.BoolVar(&c.dryRun, "dry-run", false, "")
	flags.BoolVar(&c.doctor, "doctor", false, "")
	flags.BoolVar(&c.history, "history", false, "")
	flags.StringVar(&c.metrics, "metrics", "", "")
	flags.BoolVar(&c.explain, "explain", false, "")
	flags.BoolVar(&c.json, "json", false, "")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 && !given(flags, "version") {
		// self-update 1.2.0, as people type it, and flags behind it
		if _, no := release.ParseVersion(strings.TrimPrefix(flags.Arg(0), "v")); no == nil {
			version = flags.Arg(0)
			err = flags.Parse(flags.Args()[1:])
		}
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help()
		return ExitOK
	case err != nil:
		return c.usage(flagError(err, flags))
	case version == "" && given(flags, "version"):
		return c.usage("--version needs a version, such as 1.2.3")
	case downgrade && (version == "" || c.rollback || c.doctor):
		return c.usage("--allow-downgrade is about a version that is named: add --version V")
	case flags.NArg() > 0:
		return c.usage(fmt.Sprintf("unexpected argument %q", flags.Arg(0)))
	case count(c.check, c.rollback, c.dryRun, c.doctor, c.history) > 1:
		return c.usage("--check, --dry-run, --doctor, --rollback and --history are different things to do; choose one")
	case c.history && (version != "" || from != "" || c.explain):
		return c.usage("--history reads what is remembered here; it takes neither --version nor --from nor --explain")
	case c.metrics == "" && given(flags, "metrics"):
		return c.usage("--metrics takes the name of a file")
	case c.doctor && (version != "" || c.explain):
		return c.usage("--doctor looks at the installation, not at one release; it takes neither --version nor --explain")
	case c.rollback && (c.check || version != "" || from != ""):
		return c.usage("--rollback goes to the version before this one, which is kept here; it takes neither --check nor --version nor --from")
	}
	// A person reads the result; the log would say it twice.
	req := request{manual: true, terse: u.opts.Logger == nil, downgrade: downgrade}
	if given(flags, "from") {
		if req.source, err = u.opts.only(from); err != nil {
			return c.usage(fmt.Sprintf("--from: %v", err))
		}
	}
	if version != "" {
		if req.want, err = release.ParseVersion(strings.TrimPrefix(version, "v")); err != nil {
			_, err = release.ParseVersion(version) // the error names what was typed
			return c.usage(fmt.Sprintf("--version: %v", err))
		}
	}
	c.args = args
	code := c.run(ctx, req)
	if c.metrics != "" {
		u.flushCounts() // this process ends, and the next one counts on
		if err := u.saveMetrics(c.metrics); err != nil {
			c.complain(err)
			return max(code, ExitError)
		}
	}
	return code
}

// help prints the usage as wide as the terminal, within what can be read well.
func (c *command) help() {
	columns := screen.Usual
	if f, ok := c.stdout.(*os.File); ok && screen.Moves(f) {
		columns = min(max(screen.Columns(f), 20), 100)
	}
	fmt.Fprint(c.stdout, screen.Help(fmt.Sprintf(commandUsage, c.u.opts.App, c.u.helpOnService(), c.u.helpOnKept()), columns))
}

// flagError says of an unknown flag which one may be meant.
func flagError(err error, flags *flag.FlagSet) string {
	wrote, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err.Error()
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, "--"+f.Name) })
	return "unknown flag --" + wrote + screen.DidYouMean("--"+wrote, names)
}

// count says how many of the flags are set.
func count(flags ...bool) (n int) {
	for _, set := range flags {
		if set {
			n++
		}
	}
	return n
}

// given reports whether a flag was set, to whatever.
func given(flags *flag.FlagSet, name string) (is bool) {
	flags.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// command is one call of Command.
type command struct {
	u                                              *Updater
	stdout, stderr                                 io.Writer
	check, rollback, dryRun, doctor, explain, json bool
	history                                        bool
	metrics                                        string   // file
	args                                           []string // as they were given, without the word self-update
}

// foreign refuses to work where updates are off, and as root in another user's folder, and says how to do the same as that user.
func (c *command) foreign() error {
	if c.u.off != nil {
		return fail(StepPlanning, "", c.u.off)
	}
	args := append([]string{"self-update"}, c.args...)
	if own := len(os.Args) - len(args); own > 0 && slices.Equal(os.Args[own:], args) {
		args = os.Args[1:] // the program's own flags too
	}
	command := swap.Quote(c.u.disk.Path)
	for _, a := range args {
		command += " " + swap.Quote(a)
	}
	return fail(StepPlanning, "", asOwner(c.u.disk, command))
}

// commandResult is what --json prints. Code is also the exit code; Outcome names the row of the table of outcomes.
type commandResult struct {
	App       string            `json:"app"`
	Running   string            `json:"running"`
	Offered   string            `json:"offered,omitzero"`
	Installed string            `json:"installed,omitzero"`
	Notes     string            `json:"notes,omitzero"`
	Code      int               `json:"code"`
	Outcome   string            `json:"outcome"`
	Managed   string            `json:"managed,omitzero"`
	Error     string            `json:"error,omitzero"`
	Explain   []release.Verdict `json:"explain,omitzero"`
}

// complain prints an error. Names of folders are in it, and whoever made a folder could put anything into its name, also what a
// terminal obeys.
func (c *command) complain(err error) {
	fmt.Fprintf(c.stderr, "%s: %s\n", c.u.opts.App, text.Of(strings.TrimPrefix(err.Error(), "updater: ")))
}

func (c *command) usage(why string) int {
	fmt.Fprintf(c.stderr, "%s self-update: %s\n", c.u.opts.App, text.Of(why))
	fmt.Fprintf(c.stderr, "Try: %s self-update --help\n", c.u.opts.App)
	return ExitUsage
}

func (c *command) run(ctx context.Context, req request) int {
	u := c.u
	if c.history && u.off == nil {
		return c.printHistory()
	}
	foreign := c.foreign()
	switch {
	case c.doctor:
		d := diagnosis{App: u.opts.App, Running: u.opts.running.String(), Findings: []finding{}}
		if u.disk != nil {
			d.Path = u.disk.Path
		}
		if foreign == nil {
			d = u.job(nil, req).examine(ctx)
		} else {
			d.obstacles(foreign)
			d = d.sum()
		}
		if c.json {
			c.encode(d)
		} else {
			d.print(c.stdout)
		}
		return d.Code
	case c.dryRun && foreign == nil:
		return c.plan(u.job(nil, req).rehearse(ctx))
	}
	var r Result
	err := foreign
	if err == nil {
		r, err = c.act(ctx, req)
	}
	code := exitCode(err)
	if err == nil && c.check && r.Offered != "" {
		code = ExitFound
	}
	if c.json {
		out := commandResult{App: u.opts.App, Running: u.opts.running.String(), Offered: r.Offered, Installed: r.Installed, Notes: r.Notes, Managed: r.Managed, Code: code, Outcome: outcomeOf(err).name}
		if err != nil {
			out.Error = err.Error()
		}
		if c.explain {
			out.Explain = u.Status().Explain
		}
		c.encode(out)
		return code
	}
	if c.explain {
		c.printRules(u.Status().Explain)
	}
	if err != nil {
		c.complain(err)
		return code
	}
	c.print(r)
	return code
}

// act checks, rolls back or updates.
func (c *command) act(ctx context.Context, req request) (Result, error) {
	t := c.u.beginFor(installation.ToUpdate, StepChecking)
	if t == nil {
		return Result{}, fail(StepChecking, "", ErrBusy)
	}
	defer t.end()
	show := newProgress(c.u.Status, c.stderr)
	defer show.stop()
	j := c.u.job(t, req)
	switch {
	case c.rollback:
		return j.rollback(ctx, false)
	case c.check && j.keptHere(ctx):
		return Result{Offered: j.want.String(), Replaced: c.u.Status().Installed}, nil
	case c.check:
		return j.look(ctx)
	}
	return j.update(ctx, false)
}

// encode prints one JSON object.
func (c *command) encode(v any) {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

// plan prints what an update would do, and what would stop it.
func (c *command) plan(p plan, err error) int {
	p.Code = exitCode(err)
	if err != nil {
		p.Error = err.Error()
	}
	if c.json {
		c.encode(p)
		return p.Code
	}
	if c.explain {
		c.printRules(c.u.Status().Explain)
	}
	p.print(c.stdout)
	if err != nil {
		c.complain(err)
	}
	return p.Code
}

func (c *command) print(r Result) {
	app, out := c.u.opts.App, c.stdout
	back := r.Installed != "" && older(r.Installed, r.Replaced)
	switch {
	case back:
		fmt.Fprintf(out, "%s is back at %s. %s will not be installed again unless you name it.\n", app, r.Installed, r.Replaced)
	case r.Installed != "":
		fmt.Fprintf(out, "%s %s is installed (was %s).\n", app, r.Installed, r.Replaced)
	case r.Offered != "":
		fmt.Fprintf(out, "%s %s is available (installed: %s).\n", app, r.Offered, r.Replaced)
	default:
		fmt.Fprintf(out, "%s %s is current.\n", app, r.Replaced)
	}
	if notes := strings.TrimSpace(r.Notes); notes != "" && !back {
		fmt.Fprintf(out, "\n%s\n", notes)
	}
	if r.Installed != "" && c.u.serves() {
		fmt.Fprintf(out, "A running service takes it %s.\n", nextStart)
	}
	if r.Managed != "" {
		fmt.Fprintf(out, "This installation does not update itself: %s\n", r.Managed)
	}
}

func older(a, b string) bool {
	v, err := release.ParseVersion(a)
	w, otherErr := release.ParseVersion(b)
	return err == nil && otherErr == nil && v.LessThan(w)
}

// serves reports whether there may be a service that still runs the earlier file.
func (u *Updater) serves() bool { return u.opts.Restart != nil || len(u.instances()) > 0 }

func (u *Updater) helpOnService() string {
	if u.opts.Restart == nil {
		return ""
	}
	return " A running service takes\nthe new version " + nextStart + "."
}

func (u *Updater) helpOnKept() string {
	if u.opts.Keep == 1 {
		return "one is kept"
	}
	return fmt.Sprintf("%d are kept\n               where there is room", u.opts.Keep)
}

// printHistory prints what is remembered of updates. It asks nobody and changes nothing.
func (c *command) printHistory() int {
	st, err := c.u.recall(c.u.events)
	if err != nil {
		c.complain(err)
		return exitCode(classify(err))
	}
	past := newestFirst(historyOf(st))
	if c.json {
		c.encode(past)
		return ExitOK
	}
	if len(past) == 0 {
		fmt.Fprintf(c.stdout, "%s has not been updated here.\n", c.u.opts.App)
	}
	for _, e := range past {
		line := fmt.Sprintf("%s  %-11s  %s -> %s", e.At.UTC().Format(time.DateTime), text.Of(e.Result), text.Of(cmp.Or(e.From, "?")), text.Of(e.To))
		if e.Trigger != "" {
			line += ", by the " + text.Of(e.Trigger).String()
		}
		if e.Why != "" {
			line += ": " + e.Why
		}
		fmt.Fprintln(c.stdout, line)
	}
	return ExitOK
}

func (c *command) printRules(rules []release.Verdict) {
	for _, r := range rules {
		verdict := "ok  "
		if !r.Passed {
			verdict = "STOP"
		}
		where := r.Rule
		if r.Release != "" {
			where = r.Release + " " + r.Rule
		}
		line := fmt.Sprintf("%s  %-24s %s", verdict, where, r.Input)
		if r.Detail != "" {
			line += " (" + r.Detail + ")"
		}
		fmt.Fprintln(c.stdout, line)
	}
}
