// Package demo shows on one machine what Theseus does: a server under load that updates itself, bad releases, attacks.
// Everything in it is real: processes, keys, HTTP, signals.
//
// Run is the main line: it sets the stage (stage.go), starts the server (service.go) and clients that ask it without pause
// (load.go), and plays the scenes of demo.go in their order; attacks.go has the lies that a server may tell.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// Report is what the demo found out. The first members, up to HandoverMS, are an interface that scripts read.
type Report struct {
	OK         bool            `json:"ok"`
	Requests   int             `json:"requests"`
	Failed     int             `json:"failed"`   // dialled or written, and no complete answer
	Versions   []string        `json:"versions"` // that served clients and stayed
	Triggers   map[string]bool `json:"triggers"` // which ways of updating worked: interval, http, flag
	Undone     []string        `json:"undone"`   // versions that were installed, failed, and were put back
	Refused    []refusedAttack `json:"refused"`
	HandoverMS []float64       `json:"handover_ms"` // for each handover, from the last answer of the old process to the first of the new, on new connections

	Delta    demoDelta      `json:"delta"`
	Lost     int            `json:"in_dying_successor"` // requests inside 1.3.0 when it crashed: that program's loss
	BackMS   float64        `json:"back_ms"`            // from that crash to the next answer of the old process
	Problems []string       `json:"problems,omitempty"` // what was not as it should be
	Seconds  float64        `json:"seconds"`
	answers  map[string]int // by version
}

type refusedAttack struct {
	Attack string `json:"attack"`
	Error  string `json:"error"`
}

// demoDelta is what the two deltas of the story came to.
type demoDelta struct {
	Bytes    int64 `json:"bytes"`      // of the delta to 1.2.0
	Instead  int64 `json:"instead_of"` // of the full download
	FellBack bool  `json:"fell_back"`  // a damaged delta was replaced by the full download
}

// A demo is one performance.
type demo struct {
	ctx  context.Context
	tell *narrator
	*stage
	service *service
	load    *load
	report  *Report
}

// patience is how long anything may take that should take seconds: the machine may be busy with other things.
const patience = 45 * time.Second

// Run plays the whole and tells it on standard error. It returns what it found out, also when it could not go on.
func Run(ctx context.Context) (r *Report, err error) {
	r = &Report{Triggers: map[string]bool{}, Versions: []string{}, Undone: []string{}, Refused: []refusedAttack{}, HandoverMS: []float64{}}
	if !canHandOver {
		return r, ui.Fail(ui.ExitError, "the demo hands a server's sockets from process to process, which %s cannot: run it on Linux, macOS or a BSD", runtime.GOOS)
	}
	began := time.Now()
	d := &demo{ctx: ctx, tell: newNarrator(os.Stderr), report: r}
	defer d.tell.close()
	d.tell.title("A server replaces itself under load, and refuses what it should not run.")

	if d.stage, err = newStage(ctx, d.tell); err != nil {
		return r, d.interrupted(err)
	}
	defer func() { err = errors.Join(err, d.stage.close()) }()
	if d.service, err = startService(d.stage); err != nil {
		return r, err
	}
	// Whatever happens from here on, Ctrl-C included: no process of ours outlives the demo.
	defer d.service.kill()

	d.load = newLoad(d.service.addr)
	defer d.load.stop()
	d.tell.watch(d.load.line)
	if err := d.play(); err != nil {
		if ctx.Err() == nil {
			d.tell.still()
			d.service.printLog(os.Stderr)
		}
		return r, d.interrupted(err)
	}
	r.Seconds = time.Since(began).Round(100 * time.Millisecond).Seconds()
	return r, nil
}

// interrupted says what a person wants to know after Ctrl-C.
func (d *demo) interrupted(err error) error {
	if d.ctx.Err() != nil {
		return ui.Fail(ui.ExitError, "interrupted: every process was ended and every file removed")
	}
	return err
}

// play is the story.
func (d *demo) play() error {
	d.load.start()
	if err := d.load.await(d.ctx, "1.0.0"); err != nil {
		return err
	}
	d.tell.fact("hello 1.0.0 serves at http://%s; %s ask it without pause and never retry", d.service.addr, ui.Plural(d.load.clients, "client"))

	for _, scene := range []struct {
		title string
		play  func() error
	}{
		{"An update by itself", d.byInterval},
		{"An update on request", d.byHTTP},
		{"An update of a program that is not running", d.byFlag},
		{"A release that crashes when it serves", d.undone},
		{"A release that fails its probe", d.failsProbe},
		{"Attacks on the way to a program that would like to update", d.attacks},
		{"And at the end", d.finale},
	} {
		d.tell.scene(scene.title)
		if err := scene.play(); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) byInterval() error {
	if err := d.publish("1.1.0"); err != nil {
		return err
	}
	d.tell.fact("1.1.0 is signed and published; the server looks for updates every second")
	if err := d.arrival("1.1.0"); err != nil {
		return err
	}
	d.report.Triggers["interval"] = true
	return nil
}

func (d *demo) byHTTP() error {
	delta, err := d.publishDelta("1.2.0")
	if err != nil {
		return err
	}
	d.tell.fact("1.2.0 is published, but rolled out to 0 %% of the installations: by itself the server leaves it alone")
	code, err := d.service.post(d.ctx)
	if err != nil {
		return err
	}
	d.expect(code == 202, "POST /update answered %d, not 202", code)
	d.tell.fact("an operator asks for it: POST /update answers %d and goes on by itself", code)
	if err := d.arrival("1.2.0"); err != nil {
		return err
	}
	d.report.Triggers["http"] = true
	if delta != nil {
		d.expect(d.mirror.asked(delta.delta) && !d.mirror.asked(delta.whole), "1.2.0 was not installed from its delta")
		d.report.Delta.Bytes, d.report.Delta.Instead = delta.size, delta.instead
		d.tell.good("it came as a delta of %s in place of %s: of the program only the version had changed", ui.Bytes(delta.size), ui.Bytes(delta.instead))
	}
	return nil
}

// A deltaRelease is a release that has a delta from the one before it.
type deltaRelease struct {
	delta, whole  string // paths in the repository
	size, instead int64  // bytes of each
}

// publishDelta publishes a version with a delta, to nobody but those who ask.
func (d *demo) publishDelta(version string) (*deltaRelease, error) {
	d.deltas = 1
	defer func() { d.deltas = 0 }()
	r, err := d.publishAs(version, version, "0%")
	if err != nil {
		return nil, err
	}
	a := r.Artifacts[0]
	d.expect(len(a.Deltas) == 1, "no delta to %s was worth it", version)
	if len(a.Deltas) != 1 {
		return nil, nil
	}
	return &deltaRelease{delta: a.Deltas[0].Path, whole: a.Path, size: a.Deltas[0].Size, instead: a.Download}, nil
}

// arrival waits until clients are served by a version that has passed its probation.
func (d *demo) arrival(version string) error {
	before := time.Now()
	if err := d.load.await(d.ctx, version); err != nil {
		return err
	}
	gap := d.load.gap(version)
	d.tell.good("%s answers; on new connections %.1f ms lie between the last answer of the old process and its first", version, gap)
	if err := d.service.await(d.ctx, func(s serviceStatus) bool { return s.Running == version && s.Proved }); err != nil {
		return fmt.Errorf("waiting until %s is proved: %w", version, err)
	}
	d.tell.good("it lived through its probation: proved, %s after it was published", time.Since(before).Round(100*time.Millisecond))
	d.report.HandoverMS = append(d.report.HandoverMS, gap)
	return nil
}

func (d *demo) byFlag() error {
	out, err := d.copy.run(d.ctx, "--self-update")
	if err != nil {
		return err
	}
	version, err := d.copy.version(d.ctx)
	if err != nil {
		return err
	}
	d.expect(out.code == 0 && version == "1.2.0", "hello --self-update: exit code %d, and the file is version %s: %s", out.code, version, out.text)
	d.report.Triggers["flag"] = out.code == 0 && version == "1.2.0"
	d.tell.good("hello --self-update on a copy of 1.0.0 that nobody runs: now it is %s", version)
	return nil
}

func (d *demo) undone() error {
	const version = "1.3.0"
	d.load.mortal(version)
	if err := d.publish(version); err != nil {
		return err
	}
	d.tell.fact("%s is published to everybody; asked for its version it answers well, so it is installed and started", version)
	if err := d.load.await(d.ctx, version); err != nil {
		return err
	}
	d.tell.fact("%s serves new clients; the old process stands by and keeps the connections it has", version)
	back, err := d.load.awaitDeath(d.ctx)
	if err != nil {
		return err
	}
	d.report.BackMS = back
	d.tell.good("%s crashed half a second later; %.1f ms after its death the old process answered again", version, back)
	err = d.service.await(d.ctx, func(s serviceStatus) bool {
		return s.Failed[version] != "" && s.Running == "1.2.0" && s.Installed == "1.2.0"
	})
	if err != nil {
		return fmt.Errorf("waiting until %s is undone: %w", version, err)
	}
	good, err := d.built("1.2.0")
	if err != nil {
		return err
	}
	same, err := sameFile(d.service.path, good)
	if err != nil {
		return err
	}
	d.expect(same, "the executable is not 1.2.0 again")
	d.report.Undone = append(d.report.Undone, version)
	d.tell.good("the executable on disk is 1.2.0 again, byte for byte, and %s is not tried a second time", version)
	return d.yank(version, "crashes when it serves")
}

func (d *demo) failsProbe() error {
	const version = "1.3.1"
	if _, err := d.publishAs(version, "1.2.0", "all"); err != nil {
		return err
	}
	d.tell.fact("%s is published, but someone packed the wrong file: it says that it is 1.2.0", version)
	if err := d.attempt("a release that fails its probe", 8, "1.2.0"); err != nil {
		return err
	}
	return d.yank(version, "the wrong file")
}

func (d *demo) finale() error {
	d.tell.fact("the server is honest again")
	d.mirror.restore()
	if err := d.refreshUntilNew(); err != nil {
		return err
	}
	out, err := d.copy.run(d.ctx, "self-update", "--json")
	if err != nil {
		return err
	}
	version, err := d.copy.version(d.ctx)
	if err != nil {
		return err
	}
	d.expect(out.code == 0 && version == "1.4.0", "after the attacks: exit code %d, and the copy is version %s: %s", out.code, version, out.text)
	d.tell.good("the copy takes %s, as signed: none of the attacks did lasting harm", version)

	if err := d.damagedDelta(); err != nil {
		return err
	}
	if err := d.load.atLeast(d.ctx, 5000); err != nil {
		return err
	}
	d.load.stop()
	if err := d.service.stop(d.ctx); err != nil {
		d.expect(false, "%v", err)
	} else {
		d.tell.good("the server ended in order when it was told to (SIGTERM)")
	}
	d.account()
	return nil
}

// damagedDelta updates the copy to a release whose delta is damaged on the way.
func (d *demo) damagedDelta() error {
	delta, err := d.publishDelta("1.5.0")
	if err != nil || delta == nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(d.repo, filepath.FromSlash(delta.delta)))
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	d.mirror.lie(delta.delta, b)
	d.tell.fact("1.5.0 has a delta too, of %s, but it is damaged on the way", ui.Bytes(delta.size))
	out, err := d.copy.run(d.ctx, "--self-update")
	if err != nil {
		return err
	}
	version, err := d.copy.version(d.ctx)
	if err != nil {
		return err
	}
	d.report.Delta.FellBack = version == "1.5.0" && d.mirror.asked(delta.delta) && d.mirror.asked(delta.whole)
	d.expect(out.code == 0 && d.report.Delta.FellBack, "a damaged delta: exit code %d, and the copy is version %s: %s", out.code, version, out.text)
	d.tell.good("the copy noticed, took the whole file by itself, and is %s", version)
	return nil
}

// account brings the numbers of the load into the report and judges the whole.
func (d *demo) account() {
	r, n := d.report, d.load.numbers()
	r.Requests, r.Failed, r.Lost, r.answers = n.requests, len(n.failures), n.lost, n.answers
	for _, v := range n.versions {
		if !slices.Contains(r.Undone, v) {
			r.Versions = append(r.Versions, v)
		}
	}
	for i, f := range n.failures {
		if i == 5 {
			r.Problems = append(r.Problems, fmt.Sprintf("and %d more failed requests", len(n.failures)-i))
			break
		}
		r.Problems = append(r.Problems, "failed request: "+f)
	}
	d.expect(r.Requests >= 5000, "only %d requests were made", r.Requests)
	d.expect(slices.Equal(r.Versions, []string{"1.0.0", "1.1.0", "1.2.0"}), "clients saw %v", r.Versions)
	r.OK = len(r.Problems) == 0
}

// expect notes what is not as it should be. The story goes on: a person wants to see the rest too.
func (d *demo) expect(ok bool, format string, args ...any) {
	if !ok {
		d.report.Problems = append(d.report.Problems, ui.OneLine(fmt.Sprintf(format, args...)))
		d.tell.bad(format, args...)
	}
}

func (r *Report) Print(w io.Writer) {
	fmt.Fprintln(w)
	var pairs [][2]string
	say := func(label, format string, args ...any) {
		pairs = append(pairs, [2]string{label, fmt.Sprintf(format, args...)})
	}
	var served []string
	for _, v := range append(slices.Clone(r.Versions), r.Undone...) {
		note := ""
		if slices.Contains(r.Undone, v) {
			note = ", undone"
		}
		served = append(served, fmt.Sprintf("%s (%d answers%s)", v, r.answers[v], note))
	}
	var handovers []string
	for _, ms := range r.HandoverMS {
		handovers = append(handovers, fmt.Sprintf("%.1f ms", ms))
	}
	say("versions seen by clients", "%s", strings.Join(served, ", "))
	say("requests", "%d", r.Requests)
	say("failed requests", "%d", r.Failed)
	say("inside the release that crashed", "%d, counted apart", r.Lost)
	say("handovers", "%s", strings.Join(handovers, ", "))
	say("back after the crash", "%.1f ms", r.BackMS)
	say("delta to 1.2.0", "%s in place of %s", ui.Bytes(r.Delta.Bytes), ui.Bytes(r.Delta.Instead))
	for i, a := range r.Refused {
		label := ""
		if i == 0 {
			label = "refused"
		}
		say(label, "%s", a.Attack)
		say("", "  %s", abridge(a.Error))
	}
	say("took", "%.1f s", r.Seconds)
	ui.Pairs(w, pairs)
	if r.OK {
		fmt.Fprintln(w, "\nEverything was as it should be.")
		return
	}
	fmt.Fprintln(w, "\nNot as it should be:")
	for _, p := range r.Problems {
		fmt.Fprintln(w, "  "+p)
	}
}

// sameFile compares two files by what they hold.
func sameFile(a, b string) (bool, error) {
	x, err := os.ReadFile(filepath.Clean(a))
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(filepath.Clean(b))
	return string(x) == string(y), err
}
