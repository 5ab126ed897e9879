package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
)

// finding is one thing that the doctor found.
type finding struct {
	Text string `json:"text"`
	// Fix is what to do about it: a command where there is one.
	Fix string `json:"fix,omitzero"`
	// Code is the exit code of an update that meets it; 0 is worth knowing, and
	// keeps no update from working.
	Code int `json:"code"`
}

// diagnosis is what --doctor prints.
type diagnosis struct {
	App      string    `json:"app"`
	Running  string    `json:"running"`
	Path     string    `json:"path"`
	Findings []finding `json:"findings"`
	Code     int       `json:"code"` // of the first finding that has one, also the exit code
}

// instance is another process of the program.
type instance struct {
	PID, User int
	// Current: it runs the file that is at the path now.
	Current bool
	groups  []string
}

// examine looks at everything that an update needs, in the order in which an
// update would meet it, and does not stop at the first obstacle. It changes
// what --check does, and rehearses in the state folder with an empty file.
func (u *Updater) examine(ctx context.Context) diagnosis {
	d := diagnosis{App: u.opts.App, Running: u.running.String(), Path: u.target.Path, Findings: []finding{}}
	if m := u.manager(); m != nil {
		fix := m.Command
		if fix == "" {
			fix = "ask whoever installed it here"
		}
		d.add(ExitNothing, fix, "%s keeps it current (%s)", m.Name, m.Because)
		_, err := u.check(ctx, request{manual: true})
		d.source(u, err)
		return d.sum()
	}
	v, served := u.check(ctx, request{manual: true})
	if err := u.moved(); err != nil {
		d.add(ExitError, "restart the service, then look again; see: ls -l "+swap.Quote(u.invoked), "%v", err)
	}
	d.place(u, u.room(ctx, v))
	d.instances(u)
	d.lock(u)
	d.memory(u)
	if v != nil && v.clock.Behind() > 24*time.Hour {
		d.add(0, setClock(), "this machine's clock is %v behind dates that were signed already", v.clock.Behind().Round(time.Hour))
	}
	d.source(u, served)
	if release.Development(u.running) {
		d.add(0, u.opts.App+" self-update --version V", "%s is a development version: the interval never replaces it", u.running)
	}
	return d.sum()
}

// room is how many bytes an update would need: of the one on offer, else of one
// that is as large as what is installed, downloaded and unpacked.
func (u *Updater) room(ctx context.Context, v *view) int64 {
	if v != nil && v.offer != nil {
		if routes, err := u.routes(ctx, v); err == nil {
			return routes[0].space()
		}
	}
	if info, err := os.Stat(u.target.Path); err == nil {
		return 2 * info.Size()
	}
	return 0
}

func (d *diagnosis) add(code int, fix, format string, args ...any) {
	d.Findings = append(d.Findings, finding{Text: fmt.Sprintf(format, args...), Fix: fix, Code: code})
}

// obstacles adds every error that was joined.
func (d *diagnosis) obstacles(err error) {
	switch e := err.(type) {
	case nil:
	case *swap.Error:
		text := e.Path + ": " + e.Reason
		if e.Err != nil {
			text += fmt.Sprintf(" (%v)", e.Err)
		}
		d.add(exitCode(classify(err)), e.Fix, "%s", text)
	case *Error:
		d.obstacles(e.Err)
	case *classified:
		d.add(exitCode(err), "", "%v", err)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			d.obstacles(one)
		}
	default:
		d.add(exitCode(classify(err)), "", "%v", err)
	}
}

// place is the folder, the file system and the file.
func (d *diagnosis) place(u *Updater, need int64) {
	d.obstacles(u.target.Prepare(need))
	if n, err := u.target.OtherNames(); err == nil && n > 0 {
		find := "find / -xdev -samefile " + swap.Quote(u.target.Path)
		d.add(0, find, "%s has %d other names (hard links), which go on naming the old version after an update", u.target.Path, n)
	}
}

// instances finds services that cannot update themselves, and those that have
// not taken the installed version yet.
func (d *diagnosis) instances(u *Updater) {
	for _, in := range u.instances() {
		if !in.mayWrite(u.target.Dir) {
			path, dir := swap.Quote(u.target.Path), swap.Quote(u.target.Dir)
			d.add(0, fmt.Sprintf("sudo %s self-update && sudo kill -HUP %d, or give it the folder: sudo chown %d %s %s", path, in.PID, in.User, dir, path),
				"process %d runs as user %d, who may not write %s: it checks for updates and cannot install them", in.PID, in.User, u.target.Dir)
		}
		if !in.Current {
			d.add(0, fmt.Sprintf("kill -HUP %d, or restart it", in.PID), "process %d still runs an earlier file", in.PID)
		}
	}
}

func (d *diagnosis) lock(u *Updater) {
	_, release, err := u.acquire()
	switch {
	case err == nil:
		release()
	case errors.Is(err, state.ErrBusy):
		d.add(ExitBusy, "wait until it is done; see who it is: fuser -v "+swap.Quote(filepath.Join(u.target.Home, "lock")), "%v", err)
	case exitCode(classify(err)) == ExitPermission && d.blocked():
		// the folder's finding says it
	default:
		d.obstacles(err)
	}
}

// memory is what the installation remembers.
func (d *diagnosis) memory(u *Updater) {
	file := swap.Quote(filepath.Join(u.target.Home, "state"))
	st, err := state.Load(u.target.Home)
	switch {
	case errors.Is(err, state.ErrCorrupt):
		d.add(ExitError, "sudo rm "+file+", and find out what damaged it: updates go on, but what was seen before is forgotten once", "%v", err)
		return
	case err != nil && !errors.Is(err, state.ErrNone):
		d.add(exitCode(classify(err)), "ls -l "+file, "%v", err)
		return
	}
	if j := st.Journal; j != nil {
		d.add(0, "theseus recover "+swap.Quote(u.target.Path), "a %s to %s was interrupted on %s; the next update, or the service's next start, settles it", j.Step, j.To.Version, j.Started.Format(time.DateTime))
	}
	if in := st.Installed; in != nil {
		id, err := u.target.Identify()
		switch {
		case err == nil && id != in.ID:
			d.add(0, "", "the file at the path is not the %s that was installed last: somebody has deployed it by hand, and it will be replaced like any other", in.Version)
		case err == nil && !in.Proved && in.Starts > 0:
			d.add(0, "", "%s was started %d times and has not proved itself; after %d it is undone", in.Version, in.Starts, maxStarts)
		}
	}
	for version, f := range st.Failed {
		d.add(0, u.opts.App+" self-update --version "+version, "%s is not installed by itself: %s", version, f.Reason)
	}
}

// source is what asking for the channel gave.
func (d *diagnosis) source(u *Updater, err error) {
	for _, a := range u.Status().Sources {
		if err == nil || errors.Is(err, ErrNothing) {
			d.add(0, "", "%s did not serve, another source did: %s", a.Source, a.Error)
		}
	}
	if err == nil {
		return
	}
	fix := u.opts.App + " self-update --check --explain"
	switch {
	case errors.Is(err, release.ErrFuture):
		fix = setClock()
	case errors.Is(err, release.ErrExpired):
		fix = fmt.Sprintf("if %s is not the time, %s; else the publisher has to: theseus refresh", u.now().UTC().Format(time.DateTime), setClock())
	case errors.Is(err, ErrUnreachable):
		fix = "curl -v " + swap.Quote(u.from(u.opts.Channel))
	}
	d.add(exitCode(err), fix, "%v", cause(err))
}

// cause is the error without the step that it stopped, which is no news here.
func cause(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func setClock() string {
	switch runtime.GOOS {
	case "windows":
		return "w32tm /resync"
	case "darwin":
		return "sudo sntp -sS time.apple.com"
	}
	return "sudo timedatectl set-ntp true"
}

func (d *diagnosis) blocked() bool {
	return slices.ContainsFunc(d.Findings, func(f finding) bool { return f.Code != 0 })
}

// sum puts obstacles first and takes the exit code from the first.
func (d diagnosis) sum() diagnosis {
	slices.SortStableFunc(d.Findings, func(a, b finding) int { return notes(a) - notes(b) })
	if len(d.Findings) > 0 {
		d.Code = d.Findings[0].Code
	}
	return d
}

func notes(f finding) int {
	if f.Code == 0 {
		return 1
	}
	return 0
}

func (d diagnosis) print(w io.Writer) {
	fmt.Fprintf(w, "%s %s, %s\n", d.App, d.Running, d.Path)
	for _, f := range d.Findings {
		kind := "PROBLEM"
		if f.Code == 0 {
			kind = "note   "
		}
		fmt.Fprintf(w, "%s  %s\n", kind, f.Text)
		if f.Fix != "" {
			fmt.Fprintf(w, "         -> %s\n", f.Fix)
		}
	}
	if d.Code == 0 {
		fmt.Fprintln(w, "Nothing keeps an update from working here.")
	}
}
