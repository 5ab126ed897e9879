package updater

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/swap"
	"github.com/theseus-go/theseus/release"
)

// finding is one thing that the doctor found.
type finding struct {
	Text string `json:"text"`
	// Fix is what to do about it: a command where there is one.
	Fix string `json:"fix,omitzero"`
	// Code is the exit code of an update that meets it; 0 is worth knowing, and keeps no update from working.
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

// examine looks at everything that an update needs, in the order in which an update would meet it, and does not stop
// at the first obstacle. Like --check it remembers what it sees of documents, and it rehearses in the state folder
// with a small file.
func (j *job) examine(ctx context.Context) diagnosis {
	d := diagnosis{App: j.opts.App, Running: j.opts.running.String(), Path: j.disk.Path, Findings: []finding{}}
	if m := j.manager(); m != nil {
		fix := m.Command
		if fix == "" {
			fix = "ask whoever installed it here"
		}
		d.add(ExitNothing, fix, "%s keeps it current (%s)", m.Name, m.Because)
		_, err := j.look(ctx)
		d.source(j, err)
		return d.sum()
	}
	barred := j.lock(ctx, installation.ToUpdate)
	j.unlock()
	if !errors.Is(barred, ErrPermission) { // without the right to install, an update looks whether there is anything to install
		d.barred(j, barred)
	}
	if err := j.moved(); err != nil {
		d.add(ExitError, "restart the service, then look again; see: ls -l "+swap.Quote(j.invoked), "%v", err)
	}
	_, served := j.look(ctx)
	d.source(j, served)
	if barred == nil {
		w, err := j.tryOut(ctx)
		d.barred(j, err)
		d.room(j, w, err)
	} else if errors.Is(barred, ErrPermission) {
		d.barred(j, barred)
	}
	d.names(j)
	d.instances(j.process)
	d.memory(j)
	d.policy(j)
	if v := j.view; v != nil && v.Clock.Behind() > behindTooFar {
		d.add(0, setClock(), "this machine's clock is %v behind dates that were signed already", v.Clock.Behind().Round(time.Hour))
	}
	if w := j.Status().Withdrawn; w != "" {
		d.add(0, j.opts.App+" self-update --explain", "%s", w)
	}
	if r := j.Status().Retired; r != "" {
		d.add(0, "have the program follow another channel: Options.Channel", "%s", r)
	}
	if release.Development(j.opts.running) {
		d.add(0, j.opts.App+" self-update --version V", "%s is a development build: only a version that you name replaces it", j.opts.running)
	}
	return d.sum()
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
		what, fix, _ := strings.Cut(err.Error(), "; ")
		d.add(exitCode(err), fix, "%s", what)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			d.obstacles(one)
		}
	default:
		what, fix, _ := strings.Cut(err.Error(), "; ") // as errors of this program are built
		d.add(exitCode(classify(err)), fix, "%s", what)
	}
}

// barred is what the folder, the file system or the file keep an update from.
func (d *diagnosis) barred(j *job, err error) {
	if errors.Is(err, state.ErrBusy) {
		d.add(ExitBusy, "wait until it is done; see who it is: fuser -v "+swap.Quote(filepath.Join(j.disk.Home, "lock")), "%v", err)
	} else {
		d.obstacles(err)
	}
}

// room is what an update gives up for want of it.
func (d *diagnosis) room(j *job, w way, err error) {
	if err != nil {
		return
	}
	for _, f := range w.gone {
		d.add(0, "df -h "+swap.Quote(j.disk.Dir), "there is no room for the update beside %s, which is kept to go back to: it is given up", f.Version)
	}
	if w.direct {
		d.add(0, "df -h "+swap.Quote(j.disk.Dir), "there is no room for the download beside the new file: it is unpacked as it comes, and begins anew if it is interrupted")
	}
}

// names are those of the file besides its own.
func (d *diagnosis) names(j *job) {
	if n, err := j.disk.OtherNames(); err == nil && n > 0 {
		find := "find / -xdev -samefile " + swap.Quote(j.disk.Path)
		d.add(0, find, "%s has %d other names (hard links), which go on naming the old version after an update", j.disk.Path, n)
	}
}

// instances finds services that cannot update themselves, and those that have not taken the installed version yet.
func (d *diagnosis) instances(p *process) {
	for _, in := range p.instances() {
		if !in.mayWrite(p.disk.Dir) {
			path, dir := swap.Quote(p.disk.Path), swap.Quote(p.disk.Dir)
			d.add(0, fmt.Sprintf("sudo %s self-update && sudo kill -HUP %d, or give it the folder: sudo chown %d %s %s", path, in.PID, in.User, dir, path),
				"process %d runs as user %d, who may not write %s: it checks for updates and cannot install them", in.PID, in.User, p.disk.Dir)
		}
		if !in.Current {
			d.add(0, fmt.Sprintf("kill -HUP %d, or restart it", in.PID), "process %d still runs an earlier file", in.PID)
		}
	}
}

// memory is what the installation remembers.
func (d *diagnosis) memory(j *job) {
	i := j.disk
	file := swap.Quote(filepath.Join(i.Home, "state"))
	st, err := i.Look()
	switch {
	case errors.Is(err, state.ErrCorrupt):
		d.add(0, "sudo rm "+file+", and find out what damaged it: updates go on, but what was seen before is forgotten once", "%v", err)
		return
	case err != nil && !errors.Is(err, state.ErrNone):
		d.obstacles(err)
		return
	}
	if j := st.Journal; j != nil {
		d.add(0, "theseus recover "+swap.Quote(i.Path), "a %s to %s was interrupted on %s; the next update, or the service's next start, settles it", j.Step, j.To.Version, j.Started.Format(time.DateTime))
	}
	if in := st.Installed; in != nil {
		id, err := i.Identify()
		switch {
		case err == nil && id != in.ID:
			d.add(0, "", "the file at the path is not the %s that was installed last: somebody has deployed it by hand, and it will be replaced like any other", in.Version)
		case err == nil && !in.Proved && in.Starts > 0:
			d.add(0, "", "%s was started %d times and has not proved itself; after %d it is undone", in.Version, in.Starts, installation.MaxStarts)
		}
	}
	if h := st.Hold; h != nil {
		long := ""
		if days := int(j.now().Sub(h.Since) / (24 * time.Hour)); days >= 7 {
			long = fmt.Sprintf(", for %d days", days)
		}
		d.add(0, d.App+" self-update --check --explain", "%s is held back by %s since %s%s: %s",
			h.Version, h.Kind, h.Since.UTC().Format(time.DateTime+" UTC"), long, h.Reason)
	}
	for version, f := range st.Failed {
		d.add(0, d.App+" self-update --version "+version, "%s failed here: %s", version, describeFailure(f, j.now(), j.opts.RetryFailed))
	}
}

// policy is what the operator has said, if it keeps updates from being installed.
func (d *diagnosis) policy(j *job) {
	p := j.policy
	switch {
	case p == nil:
	case p.wrong != nil:
		d.add(ExitNothing, "edit "+swap.Quote(p.file), "%v", p.wrong)
	case p.off:
		d.add(0, "edit "+swap.Quote(p.file), "%s says that updates are off: nobody looks for any", p.file)
	}
}

// source is what asking for the channel gave.
func (d *diagnosis) source(j *job, err error) {
	for _, a := range j.Status().Sources {
		if err == nil || errors.Is(err, ErrNothing) {
			d.add(0, "", "%s did not serve, another source did: %s", a.Source, a.Error)
		}
	}
	if v := j.view; v != nil && v.Channel != nil && !errors.Is(err, release.ErrExpired) {
		if left := v.Channel.Expires.Sub(j.now()); left > 0 && left < soon {
			d.add(0, "theseus refresh, by the publisher", "the channel %s ends in %v, on %s: no update is installed after that until the publisher signs it anew",
				j.opts.Channel, left.Round(time.Hour), v.Channel.Expires.UTC().Format(time.DateTime))
		}
	}
	if err == nil {
		return
	}
	if proxy := proxyOf(j.address("")); proxy != "" && (errors.Is(err, ErrUnreachable) || errors.Is(err, ErrRefused)) {
		d.add(0, "env | grep -i _proxy; without it: NO_PROXY='*' "+d.App+" self-update --check", "the source is asked through the proxy %s, which the environment names", proxy)
	}
	fix := d.App + " self-update --check --explain"
	switch {
	case errors.Is(err, release.ErrFuture):
		fix = setClock()
	case errors.Is(err, release.ErrExpired):
		fix = fmt.Sprintf("if %s is not the time, %s; else the publisher has to: theseus refresh", j.now().UTC().Format(time.DateTime), setClock())
	case errors.Is(err, ErrUnreachable):
		fix = "curl -v " + swap.Quote(j.address(j.opts.Channel))
	}
	d.add(exitCode(err), fix, "%v", cause(err))
}

// soon is how long before its end a channel is worth a word.
const soon = 7 * 24 * time.Hour

// proxyOf is the proxy that the environment names for an address, without secrets.
func proxyOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil || proxy == nil {
		return ""
	}
	return proxy.Redacted()
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

// sum puts obstacles first and takes the exit code from the first.
func (d diagnosis) sum() diagnosis {
	sort.SliceStable(d.Findings, func(i, j int) bool { return severity(d.Findings[i]) < severity(d.Findings[j]) })
	if len(d.Findings) > 0 {
		d.Code = d.Findings[0].Code
	}
	return d
}

// severity orders obstacles before notes.
func severity(f finding) int {
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
