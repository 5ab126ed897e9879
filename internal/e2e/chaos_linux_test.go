package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
	"github.com/theseus-go/theseus/release"
	"github.com/theseus-go/theseus/updater"
)

// A machine on which everything happens: updates, rollbacks, bad releases, network faults, kills, signals, in random order.
// After each step the same things hold, see holds. A failure prints how to play it again; the steps are the same then, the
// moments inside of them are not quite, so play it a few times.
//
//	go test ./internal/e2e -run Chaos -v -timeout 2h -chaos.seed 7 -chaos.steps 5000
const ordinary = 8 // a seed that draws everything soon

var (
	chaosSeed  = flag.Uint64("chaos.seed", ordinary, "the chaos run draws its steps from `SEED`")
	chaosSteps = flag.Int("chaos.steps", 0, "the chaos run makes `N` steps; 0: as many as the effort affords")
)

// A process that only recovers: `theseus recover PATH`, without building it.
func init() {
	path := os.Getenv("HELLO_TEST_RECOVER")
	if path == "" {
		return
	}
	r, err := updater.Recover(context.Background(), path, nil)
	fmt.Println(strings.Join(r.Done, "\n"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// kind is how a release behaves.
type kind string

const (
	good  kind = "good"
	ill   kind = "ill"              // dies soon after it began to serve
	crash kind = "crashes"          // these are scripts: good only at answering their probe
	hang  kind = "hangs"            //
	quits kind = "ends with 0"      //
	mute  kind = "fails its probe"  // these never get to the path
	liar  kind = "says another one" //
)

var ways = map[kind]string{
	crash: "exit 2",
	hang:  `case "$*" in *--listen*) exec sleep 600;; esac; exit 2`,
	quits: "exit 0",
}

type chaos struct {
	*installation
	rng     *rand.Rand
	repo    *testrelease.Repo
	n       int             // the newest edition
	kinds   map[string]kind // of each version
	named   map[[sha256.Size]byte]string
	seen    map[[3]int64]string // inode, time of change and size of what was at the path
	offered map[string]int      // versions, and the last step at which they were on offer
	weather string
	stale   []string      // what is on offer by the document that is served instead
	typical time.Duration // of an update by the command line
	public  *http.Client
	admin   *http.Client

	group   int           // of the service's processes; 0: it is not to be up
	exited  chan struct{} // closed when the first of them has been waited for
	maydie  bool          // this step kills processes of the service
	dirty   bool          // something was killed and nobody has settled it yet
	missing atomic.Int64  // looks that found nothing at the path
	trail   []string
	counts  map[string]int
}

func TestChaos(t *testing.T) {
	t.Parallel() // most of it is waiting
	steps := *chaosSteps
	if steps == 0 {
		steps = testenv.Pick(15, 150, 5000)
	}
	c := newChaos(t, *chaosSeed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d, failed in step %d. The last steps:\n  %s\nAgain: go test ./internal/e2e -run Chaos -v -chaos.seed %d -chaos.steps %d\nThe service said at last:\n%s",
				*chaosSeed, len(c.trail), strings.Join(c.trail[max(0, len(c.trail)-15):], "\n  "), *chaosSeed, steps, last(c.log(), 4000))
		}
	})
	began := time.Now()
	c.watch()
	for i := range steps {
		c.rng = rand.New(rand.NewPCG(*chaosSeed, uint64(i+1))) // what a step draws does not depend on how the last one went
		before := c.allowed()
		a := c.draw()
		c.trail = append(c.trail, fmt.Sprintf("%d: at %s, weather %s: %s", i+1, c.at(), c.weather, a.name))
		c.counts[a.name]++
		c.maydie = false
		a.do(c)
		c.holds(before)
		if t.Failed() {
			return
		}
	}
	c.trail = append(c.trail, "at the end")
	c.goodDay()
	c.holds(nil)
	var table strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(&table, "\n%6d %s", c.counts[name], name)
	}
	t.Logf("seed %d: %d steps in %v, %d editions; an update took about %v%s", *chaosSeed, steps, time.Since(began).Round(time.Second), c.n-firstEdition, c.typical.Round(time.Millisecond), &table)
	if steps < 500 && (*chaosSeed != ordinary || steps < 150) {
		return // chance need not have drawn everything
	}
	for _, a := range actions { // else the run is not what it says
		if c.counts[a.name] == 0 {
			t.Errorf("%d steps, and never: %s", steps, a.name)
		}
	}
	must := []string{"~ an updater was killed at work", "~ a journal was left and settled", "~ installed by the command line", "~ installed by the service"}
	if steps >= 500 {
		must = append(must, "~ refused by its probe", "~ rolled back", "~ a bad release was undone", "~ the service came back")
	}
	for _, what := range must {
		if c.counts[what] == 0 {
			t.Errorf("%d steps, and never: %s", steps, what)
		}
	}
}

const firstEdition = 1000

func newChaos(t *testing.T, seed uint64) *chaos {
	first := fmt.Sprintf("1.%d.0", firstEdition)
	c := &chaos{
		installation: install(t, build(t, first)),
		rng:          rand.New(rand.NewPCG(seed, 0)),
		typical:      60 * time.Millisecond,
		repo:         testrelease.New(t),
		n:            firstEdition,
		kinds:        map[string]kind{first: good},
		named:        map[[sha256.Size]byte]string{},
		seen:         map[[3]int64]string{},
		counts:       map[string]int{},
		offered:      map[string]int{},
		weather:      "clear",
	}
	c.env = []string{"HELLO_FAULT=crash-after-ready", "HELLO_FAULT_AFTER=50ms"}
	c.trusts(c.repo)
	b := bytesOf(t, first)
	c.named[sha256.Sum256(b)] = first
	c.repo.Publish(first, b)
	c.public, c.admin = over("unix", filepath.Join(c.side, "p")), over("unix", filepath.Join(c.side, "a"))
	c.public.Timeout, c.admin.Timeout = 5*time.Second, 5*time.Second
	t.Cleanup(c.down)
	c.up()
	return c
}

// watch looks at the path all the time: at every instant there is an executable.
func (c *chaos) watch() {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(500 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if info, err := os.Stat(c.path); err != nil || info.Mode() != 0o755 || info.Size() == 0 {
					c.missing.Add(1)
				}
			}
		}
	}()
	c.t.Cleanup(func() { close(stop); <-stopped })
}

// An action is one step.
type action struct {
	name   string
	weight int
	do     func(*chaos)
}

var actions []action

func init() { // not a literal: some of them are made of others
	actions = []action{
		{"publish a good release", 5, func(c *chaos) { c.publish(good) }},
		{"publish a bad release", 5, func(c *chaos) { c.publish(c.bad()) }},
		{"the weather changes", 10, (*chaos).changeWeather},
		{"self-update", 8, func(c *chaos) { c.perhaps(); c.command(false, "self-update") }},
		{"self-update, killed", 14, func(c *chaos) { c.perhaps(); c.command(true, "self-update") }},
		{"two at once, one of them killed", 6, func(c *chaos) { c.perhaps(); c.two() }},
		{"rollback", 4, func(c *chaos) { c.command(false, "self-update", "--rollback") }},
		{"rollback, killed", 6, func(c *chaos) { c.command(true, "self-update", "--rollback") }},
		{"look only", 3, func(c *chaos) {
			c.perhaps()
			c.command(c.rng.IntN(2) == 0, "self-update", c.word("--check", "--dry-run", "--doctor"))
		}},
		{"recover", 4, func(c *chaos) { c.recover(false) }},
		{"recover, killed", 4, func(c *chaos) { c.recover(true) }},
		{"POST", 8, func(c *chaos) { c.perhaps(); c.post("/update"); c.calm() }},
		{"POST, and one of the service's processes is killed", 9, func(c *chaos) { c.perhaps(); c.post("/update"); c.killOne() }},
		{"POST rollback", 3, func(c *chaos) { c.post("/update/rollback"); c.calm() }},
		{"POST rollback, and one of the service's processes is killed", 3, func(c *chaos) { c.post("/update/rollback"); c.killOne() }},
		{"self-update and SIGHUP", 4, func(c *chaos) { c.perhaps(); c.command(false, "self-update"); c.hup(1); c.calm() }},
		{"a storm of SIGHUP", 4, func(c *chaos) { c.hup(2 + c.rng.IntN(20)) }},
		{"SIGHUP, and one of the service's processes is killed", 5, func(c *chaos) { c.hup(1); c.killOne() }},
		{"self-update beside a handover", 4, func(c *chaos) {
			c.perhaps()
			c.post("/update")
			c.command(c.rng.IntN(2) == 0, "self-update")
		}},
		{"all of the service is killed", 5, func(c *chaos) { c.maydie = true; c.end() }},
		{"a bad release, and all of the service is killed", 4, func(c *chaos) {
			c.publish(c.bad())
			c.command(false, "self-update")
			c.maydie = true
			c.end()
		}},
		{"the service is stopped and started", 3, (*chaos).restart},
		{"a good day", 5, (*chaos).goodDay},
	}
}

func (c *chaos) draw() action {
	sum := 0
	for _, a := range actions {
		sum += a.weight
	}
	n := c.rng.IntN(sum)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			return a
		}
	}
	panic("unreachable")
}

func (c *chaos) one(kinds ...kind) kind             { return kinds[c.rng.IntN(len(kinds))] }
func (c *chaos) word(words ...string) string        { return words[c.rng.IntN(len(words))] }
func (c *chaos) soon(d time.Duration) time.Duration { return time.Duration(c.rng.Int64N(int64(d))) }
func (c *chaos) note(format string, args ...any) {
	c.trail[len(c.trail)-1] += ", " + fmt.Sprintf(format, args...)
}

func (c *chaos) bad() kind { return c.one(ill, ill, crash, hang, quits, mute, mute, liar) }

// perhaps there is something new.
func (c *chaos) perhaps() {
	switch c.rng.IntN(6) {
	case 0:
		c.publish(c.bad())
	case 1, 2, 3:
		c.publish(good)
	}
}

// publish puts the next edition on offer, besides the two before it.
func (c *chaos) publish(k kind) {
	c.n++
	v := fmt.Sprintf("1.%d.0", c.n)
	if c.n > 9999 {
		c.t.Fatal("no more editions: make fewer steps and more runs")
	}
	var file []byte
	switch k {
	case good, ill:
		first := fmt.Sprintf("1.%d.0", firstEdition)
		b := bytesOf(c.t, first)
		if k == ill {
			b = bytesOf(c.t, first, "faults")
		}
		file = bytes.ReplaceAll(b, []byte(first), []byte(v))
	case mute:
		file = fmt.Appendf(nil, "#!/bin/sh\n# %s\nexit 3\n", v)
	case liar:
		file = fmt.Appendf(nil, "#!/bin/sh\n# %s\necho hello 1.0.9\n", v)
	default:
		file = fmt.Appendf(nil, "#!/bin/sh\ncase \"$*\" in *--version*) echo hello %s; exit;; esac\n%s\n", v, ways[k])
	}
	c.kinds[v] = k
	c.named[sha256.Sum256(file)] = v
	var options []testrelease.Option
	if c.rng.IntN(6) == 0 {
		options = append(options, testrelease.Zstd())
	}
	c.repo.Publish(v, file, options...)
	c.repo.Resign(func(ch *release.Channel) { ch.Entries = ch.Entries[:min(len(ch.Entries), 3)] })
	for _, path := range c.repo.Files() { // thousands of editions do not fit into memory
		if strings.HasPrefix(path, "files/") && !slices.Contains(c.stored(), path) {
			c.repo.Remove(path)
		}
	}
	c.note("%s %s", v, k)
}

func (c *chaos) onOffer() (versions []string) {
	for _, e := range c.repo.Channel.Entries {
		versions = append(versions, e.Version.String())
	}
	return versions
}

// stored are the files of the releases on offer.
func (c *chaos) stored() (paths []string) {
	for _, v := range c.onOffer() {
		paths = append(paths, c.repo.FilePath(v))
	}
	return paths
}

// changeWeather decides what the network does to every request from now on.
func (c *chaos) changeWeather() {
	c.setWeather(c.word("clear", "clear", "clear", "down", "busy", "reset", "stall", "corrupt", "stale", "portal"))
}

func (c *chaos) setWeather(w string) {
	c.weather, c.stale = w, nil
	c.repo.Hook("*", nil)
	c.repo.Hook("stable", nil)
	at := c.rng.Uint64()
	var h testrelease.Hook
	switch w {
	case "down":
		h = func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
	case "busy":
		h = testrelease.Status(503)
	case "portal":
		h = testrelease.Page()
	case "stale":
		c.stale = c.onOffer()
		c.repo.Hook("stable", testrelease.Bytes(c.repo.Get("stable")))
	case "reset", "stall", "corrupt":
		h = func(rw http.ResponseWriter, r *http.Request, honest http.Handler) {
			rec := httptest.NewRecorder()
			honest.ServeHTTP(rec, r)
			body := rec.Body.Bytes()
			if len(body) == 0 {
				honest.ServeHTTP(rw, r)
				return
			}
			k := int(at % uint64(len(body)))
			maps.Copy(rw.Header(), rec.Header())
			rw.WriteHeader(rec.Code)
			if w == "corrupt" {
				rw.Write(testrelease.Flip(body, k))
				return
			}
			rw.Write(body[:k])
			http.NewResponseController(rw).Flush()
			if w == "stall" { // and then the line is cut: nobody waits for a real one in a test
				select {
				case <-r.Context().Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
			panic(http.ErrAbortHandler)
		}
	}
	if h != nil {
		c.repo.Hook("*", h)
	}
	c.note("%s", w)
}

// at is the version at the path, by its bytes.
func (c *chaos) at() string {
	f, err := os.Open(c.path)
	if err != nil {
		c.t.Fatalf("the program: %v", err)
	}
	defer f.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		c.t.Fatal(err)
	}
	id := [3]int64{int64(st.Ino), st.Ctim.Nano(), st.Size}
	if v, ok := c.seen[id]; ok { // hashed before, and not touched since
		return v
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		c.t.Fatal(err)
	}
	v, ok := c.named[[sha256.Size]byte(h.Sum(nil))]
	if !ok {
		c.t.Fatalf("the file at the path (%d bytes) was never published", n)
	}
	c.seen[id] = v
	return v
}

// previous is the version that a rollback would lead to.
func (c *chaos) previous() string {
	var f struct{ Version string }
	if m := c.memory(); m.Previous != nil {
		if err := json.Unmarshal(m.Previous, &f); err != nil {
			c.t.Fatal(err)
		}
	}
	return f.Version
}

// allowed are the versions that may be at the path after the next step: old or new, or what it went back to.
func (c *chaos) allowed() map[string]bool {
	for {
		at, previous := c.at(), c.previous()
		if c.at() == at { // else the service is at work, and the two do not belong together
			return map[string]bool{at: true, previous: true}
		}
	}
}

// holds is what must be true after every step. before are the versions that were at the path and kept.
func (c *chaos) holds(before map[string]bool) {
	t := c.t
	if n := c.missing.Load(); n > 0 {
		t.Errorf("%d looks found no whole executable at the path", n)
	}
	c.serviceIsUp()
	v := c.at()
	for _, version := range append(c.onOffer(), c.stale...) {
		c.offered[version] = len(c.trail)
	}
	step, ever := c.offered[v]
	// What the service began two steps ago it may have ended only now.
	offered := ever && step >= len(c.trail)-2
	switch k := c.kinds[v]; {
	case k == mute || k == liar:
		t.Errorf("%s is installed, which %s", v, k)
	case before != nil && !before[v] && !offered:
		t.Errorf("%s is at the path, which is neither old (%v) nor new (%v)", v, before, c.onOffer())
	}
	if r := c.run("--version"); r.code != 0 || strings.TrimSpace(r.out) != "hello "+c.at() {
		if v == c.at() { // a poll may have replaced it meanwhile
			t.Errorf("the program at the path is %s and says: %v", v, r)
		}
	}
	for _, name := range c.list(c.dir) {
		if name != "hello" && name != ".hello.theseus" && !(c.dirty && isScratch(name)) {
			t.Errorf("left behind beside the program: %s", name)
		}
	}
	if c.dirty && c.rng.IntN(3) == 0 {
		return // kills upon kills
	}
	c.settles()
}

// settles: whoever comes by next finishes or undoes what was interrupted, and sweeps.
func (c *chaos) settles() {
	c.t.Helper()
	why := ""
	for deadline := time.Now().Add(patience); ; {
		if why = c.unsettled(); why == "" {
			c.dirty = false
			return
		}
		if time.Now().After(deadline) {
			c.t.Errorf("does not settle: %s", why)
			return
		}
		if c.busy() {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if c.counts["~ settled"]++; c.journal() {
			c.counts["~ a journal was left and settled"]++
		}
		if len(c.trail[len(c.trail)-1]) < 1000 {
			c.note("unsettled: %s", why)
		}
		switch k := c.kinds[c.at()]; {
		case c.rng.IntN(2) == 0 && (k == good || k == ill):
			c.command(false, "self-update")
		default:
			c.recover(false)
		}
	}
}

// busy reports that somebody holds the lock.
func (c *chaos) busy() bool {
	f, err := os.Open(filepath.Join(c.home(), "lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// unsettled says what is left to be done in the state folder.
func (c *chaos) unsettled() string {
	if c.journal() {
		return "the journal is there"
	}
	if scratch := slices.DeleteFunc(c.list(c.dir), func(name string) bool { return !isScratch(name) }); len(scratch) > 0 {
		return "beside the program: " + scratch[0]
	}
	downloads, previous := 0, 0
	for _, name := range c.list(c.home()) {
		switch {
		case name == "state", name == "lock":
		case strings.HasPrefix(name, "previous-") && !strings.HasSuffix(name, ".tmp"):
			previous++
		case strings.HasPrefix(name, "staged-"):
			downloads++
		default:
			return name
		}
	}
	if downloads > 2 || previous > 2 { // a download, and what it was being unpacked into; Options.Keep
		return fmt.Sprintf("%d partial downloads and %d previous files", downloads, previous)
	}
	return ""
}

// command runs the program at the path as a person does; killed: it is killed at some moment.
func (c *chaos) command(killed bool, args ...string) {
	v := c.at()
	switch c.judge(c.runs(killed, c.path, append(c.flags(c.repo), args...)...), v, args) {
	case "refused":
		c.counts["~ refused by its probe"]++
	case "installed":
		c.counts["~ installed by the command line"]++
	case "back":
		c.counts["~ rolled back"]++
	}
}

// runs runs a program, and kills it perhaps. Its exit code is -1 then.
func (c *chaos) runs(killed bool, path string, args ...string) result {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), c.env...)
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	cmd.WaitDelay = time.Second // a probe that outlives it holds the pipes
	return c.wait(killed, cmd, &out, &errout)
}

func (c *chaos) wait(killed bool, cmd *exec.Cmd, out, errout *bytes.Buffer) result {
	limit := 2 * patience
	if killed {
		limit = c.soon(c.typical)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	if killed && c.rng.IntN(2) == 0 { // at chance the moments that matter most are hit too seldom
		timer.Stop()
		go c.aim(cmd.Process, c.soon(8*time.Millisecond), ended)
	}
	_ = cmd.Wait()
	close(ended)
	timer.Stop()
	if strings.Contains(out.String(), "is installed (was") {
		c.typical = (3*c.typical + time.Since(began)) / 4
	}
	code := cmd.ProcessState.ExitCode()
	switch {
	case code == -1 && !killed:
		c.t.Errorf("%q: %v\n%s%s", cmd.Args, cmd.ProcessState, out, errout)
	case code == -1:
		c.dirty = true
		c.counts["~ an updater was killed at work"]++
		c.note("killed after %v", time.Since(began).Round(time.Millisecond))
	default:
		c.note("exit code %d", code)
	}
	return result{code, out.String(), errout.String()}
}

// aim kills a process soon after there is a journal.
func (c *chaos) aim(p *os.Process, after time.Duration, ended chan struct{}) {
	for tick := time.NewTicker(200 * time.Microsecond); ; {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if c.journal() {
			time.Sleep(after)
			_ = p.Kill()
			return
		}
	}
}

func (c *chaos) journal() bool {
	b, _ := os.ReadFile(filepath.Join(c.home(), "state"))
	return bytes.Contains(b, []byte(`"journal"`)) // a name that nobody gives to anything else
}

// judge says what a run of the program did; an exit code that does not fit is an error.
func (c *chaos) judge(r result, version string, args []string) string {
	if r.code == -1 {
		return ""
	}
	expected := []int{0, 3, 4, 5, 7, 8}
	switch c.kinds[version] {
	case crash, hang:
		expected = []int{2}
	case quits:
		expected = []int{0}
	}
	if slices.Contains(args, "--check") || slices.Contains(args, "--dry-run") || slices.Contains(args, "--doctor") {
		expected = append(expected, 100, 1)
	}
	if slices.Contains(args, "--rollback") {
		expected = append(expected, 1) // there is nothing to go back to
	}
	if !slices.Contains(expected, r.code) && version == c.at() {
		c.t.Errorf("hello %s %q: %v", version, args, r)
	}
	if strings.Contains(r.errout, "panic") {
		c.t.Errorf("hello %q: %v", args, r)
	}
	switch {
	case r.code == 8:
		return "refused"
	case r.code == 0 && strings.Contains(r.out, "is installed (was"):
		return "installed"
	case r.code == 0 && strings.Contains(r.out, "is back at"):
		return "back"
	}
	return ""
}

func (c *chaos) two() {
	type end struct {
		r result
		v string
	}
	v, done := c.at(), make(chan end)
	args := append(c.flags(c.repo), "self-update")
	go func() {
		var out, errout bytes.Buffer
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, c.path, args...)
		cmd.Env = append(os.Environ(), c.env...)
		cmd.Stdout, cmd.Stderr = &out, &errout
		_ = cmd.Run()
		done <- end{result{cmd.ProcessState.ExitCode(), out.String(), errout.String()}, v}
	}()
	c.command(true, "self-update")
	e := <-done
	if e.v == c.at() || e.r.code == 0 {
		c.judge(e.r, e.v, args)
	}
}

// recover is `theseus recover`.
func (c *chaos) recover(killed bool) {
	c.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HELLO_TEST_RECOVER="+c.path)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	was := c.at()
	r := c.wait(killed, cmd, &out, &bytes.Buffer{})
	if r.code > 0 {
		c.t.Errorf("recover: %v", r)
	}
	if r.code == 0 && c.kinds[was] != good && c.at() != was {
		c.counts["~ a bad release was undone"]++
	}
}

// The service.

func (c *chaos) log() string { return logfile(filepath.Join(c.side, "log")).String() }

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// ask is GET /version.
func (c *chaos) ask() (version string, pid int, err error) {
	return (&service{installation: c.installation, public: c.public}).ask()
}

func (c *chaos) status() (status, error) {
	return (&service{installation: c.installation, admin: c.admin}).askStatus()
}

// members are the processes of the service that live.
func (c *chaos) members() (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid pgrp …
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) > 2 && f[0] != "Z" && f[0] != "X" && f[2] == strconv.Itoa(c.group) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// up starts the service as a service manager does: recover first, and again if it does not serve.
func (c *chaos) up() {
	c.t.Helper()
	for try := 1; ; try++ {
		if c.counts["start"]++; len(c.trail) > 0 {
			c.recover(false)
		}
		if c.starts() {
			if try > 1 {
				c.counts["~ the service came back"]++
				c.note("the service came back at start %d", try)
			}
			return
		}
		if try == 6 { // three that count, and who was killed at work may have to be settled first
			c.t.Fatalf("the service does not come back; %s (%s) is at the path", c.at(), c.kinds[c.at()])
		}
	}
}

func (c *chaos) starts() bool {
	log, err := os.OpenFile(filepath.Join(c.side, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	fmt.Fprintf(log, "-- start in step %d, %s is at the path\n", len(c.trail), c.at())
	cmd := exec.Command(c.path, append(c.flags(c.repo), "--listen", "unix:"+filepath.Join(c.side, "p"), "--admin", "unix:"+filepath.Join(c.side, "a"),
		"--pid-file", filepath.Join(c.side, "pid"), "--probation", "150ms", "--startup", "6s", "--drain", "6s")...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	group(cmd)
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.group, c.exited = cmd.Process.Pid, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(c.exited)
	patient := patience
	if c.kinds[c.at()] == hang {
		patient = 2 * time.Second // TimeoutStartSec=
	}
	hung := time.After(patient)
	for {
		select {
		case <-hung:
			c.end()
			return false
		case <-time.After(5 * time.Millisecond):
		}
		if len(c.members()) == 0 {
			c.end()
			return false
		}
		if v, _, err := c.ask(); err == nil && c.kinds[v] != ill {
			return true
		}
	}
}

// end kills what is left of it.
func (c *chaos) end() {
	if c.group == 0 {
		return
	}
	endGroup(c.group)
	<-c.exited
	for deadline := time.Now().Add(patience); len(c.members()) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	c.dirty = true
}

func (c *chaos) down() { c.end(); c.group = 0 }

// serviceIsUp: it was up, so it is. If this step killed one of its processes, it may have to be started again.
func (c *chaos) serviceIsUp() {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		v, _, err := c.ask()
		if err == nil && c.kinds[v] != ill { // what is ill is about to die, and the one before it to take service back
			return
		}
		left := c.members()
		if c.maydie && (len(left) == 0 || time.Until(deadline) < patience-3*time.Second) {
			c.end()
			c.counts["~ the service was started again"]++
			c.up()
			return
		}
		if len(left) == 0 || time.Now().After(deadline) {
			c.t.Errorf("the service was up and nobody killed it; now: %v, processes %v", err, left)
			return
		}
	}
}

// post asks the service for an update.
func (c *chaos) post(path string) {
	resp, err := c.admin.Post("http://localhost"+path, "application/json", strings.NewReader("{}"))
	if err != nil {
		c.note("POST: %v", err)
		return
	}
	resp.Body.Close()
	c.note("POST: %d", resp.StatusCode)
}

// calm waits until nothing goes on in the service.
func (c *chaos) calm() {
	was := c.at()
	deadline := time.Now().Add(patience)
	for quiet := 0; quiet < 3; time.Sleep(5 * time.Millisecond) {
		st, err := c.status()
		if err == nil && st.State == "idle" && len(c.members()) == 1 {
			quiet++
		} else {
			quiet = 0
		}
		if len(c.members()) == 0 {
			return // for serviceIsUp to judge
		}
		if time.Now().After(deadline) {
			c.t.Errorf("the service does not come to rest: %+v, %v, processes %v", st, err, c.members())
			return
		}
	}
	if v := c.at(); v != was {
		c.counts["~ installed by the service"]++
	} else if st, err := c.status(); err == nil && st.Outcome != nil && st.Outcome.Code == updater.ExitUndone {
		c.counts["~ a bad release was undone"]++
	}
}

// hup sends n signals to whoever serves.
func (c *chaos) hup(n int) {
	for range n {
		if _, pid, err := c.ask(); err == nil && slices.Contains(c.members(), pid) {
			_ = syscall.Kill(pid, syscall.SIGHUP)
		}
		time.Sleep(c.soon(10 * time.Millisecond))
	}
}

// killOne kills any of the service's processes after a while.
func (c *chaos) killOne() {
	c.maydie = true
	time.Sleep(c.soon(400 * time.Millisecond))
	left := c.members()
	if len(left) == 0 {
		return
	}
	pid := left[c.rng.IntN(len(left))]
	_ = syscall.Kill(pid, syscall.SIGKILL)
	c.dirty = true
	c.counts["~ a process of the service was killed"]++
	c.note("killed one of %d", len(left))
	for deadline := time.Now().Add(patience); slices.Contains(c.members(), pid) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// restart stops the service in peace and starts it.
func (c *chaos) restart() {
	c.calm()
	_, pid, err := c.ask()
	if err != nil {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	for deadline := time.Now().Add(patience); len(c.members()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Errorf("SIGTERM does not end the service: processes %v", c.members())
			break
		}
	}
	c.end()
	c.up()
}

// goodDay: the network is there and a good release is published. It is installed, whatever was before.
func (c *chaos) goodDay() {
	c.maydie = true // a bad release at the path may have to be undone by starts
	c.setWeather("clear")
	c.serviceIsUp()
	c.calm()
	c.publish(good)
	want := fmt.Sprintf("1.%d.0", c.n)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		c.post("/update")
		c.calm()
		if v, _, err := c.ask(); err == nil && v == want && c.at() == want {
			return
		}
		if time.Now().After(deadline) {
			st, err := c.status()
			c.t.Errorf("%s was published on a good day and is not installed: %s is at the path; status %+v, %v", want, c.at(), st, err)
			return
		}
		c.serviceIsUp()
	}
}
