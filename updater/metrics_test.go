package updater

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
)

// metrics returns what an updater writes, by name and labels.
func metrics(t *testing.T, u *Updater) map[string]string {
	t.Helper()
	var b bytes.Buffer
	if err := u.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(b.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			if _, twice := all[name]; twice {
				t.Errorf("twice: %s", name)
			}
			all[name] = value
		}
	}
	return all
}

func promtool(t *testing.T, stdin string, args ...string) {
	t.Run("promtool", func(t *testing.T) { // where there is none, the rest counts
		testenv.Need(t, "promtool")
		cmd := exec.Command("promtool", args...)
		cmd.Dir, cmd.Stdin = "../doc/prometheus", strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(stdin, "theseus") && len(out) > 0 {
			t.Errorf("promtool %v: %v\n%s\n%s", args, err, out, stdin)
		}
	})
}

// Prometheus's own judge is content with what is written, in every condition.
func TestMetricsAreWhatPrometheusReads(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0", gated(&counter{enter: func(m Move) error { return &Held{Kind: "a \"strange\"\nkind\\", Reason: "no"} }}))
	look := func() {
		t.Helper()
		var b bytes.Buffer
		if err := c.WriteMetrics(&b); err != nil {
			t.Fatal(err)
		}
		promtool(t, b.String(), "check", "metrics")
	}
	look()
	if _, err := c.update(); err != nil {
		t.Fatal(err)
	}
	look()
	repo.Publish("1.1.0", program("1.1.0"))
	if _, err := c.update(); !errors.Is(err, ErrHeld) {
		t.Fatal(err)
	}
	for _, kind := range conditionKinds {
		c.Updater.events.raise(kind, "a text", nil)
	}
	look()
	m := metrics(t, c.Updater)
	for name, want := range map[string]string{
		`theseus_build_info{app="hello",version="1.0.0",channel="stable"}`: "1",
		`theseus_update_available{app="hello"}`:                            "1",
		`theseus_update_held{app="hello",reason="other"}`:                  "1",
		`theseus_condition{app="hello",condition="held_long"}`:             "1",
		`theseus_checks_total{app="hello",result="ok"}`:                    "2",
		`theseus_updates_total{app="hello",result="held"}`:                 "1",
		`theseus_download_bytes_total{app="hello",kind="whole"}`:           strconv.Itoa(len(program("1.1.0"))),
		`theseus_proved{app="hello"}`:                                      "1",
	} {
		if m[name] != want {
			t.Errorf("%s is %q, want %s", name, m[name], want)
		}
	}
}

// Every condition that there is has its metric.
func TestEveryConditionIsAMetric(t *testing.T) {
	f, err := parser.ParseFile(gotoken.NewFileSet(), "event.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != gotoken.CONST || g.Doc.Text() != "Conditions.\n" {
			continue
		}
		for _, s := range g.Specs {
			value, _ := strconv.Unquote(s.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
			if found++; !slices.Contains(conditionKinds, Kind(value)) {
				t.Errorf("%q is not among the conditions that are metrics", value)
			}
		}
	}
	if found < 15 {
		t.Errorf("found only %d conditions: this test looks for the wrong thing", found)
	}
}

// What counts updates is right after 20 handovers, whoever is killed in between: a process that proved, one that was
// undone, one that was killed on trial, one that a rescue shell put back.
func TestCountersSurviveHandovers(t *testing.T) {
	repo := published(t, "1.0.0")
	c := install(t, repo, "1.0.0")
	want := map[string]int{}
	version, checks := "1.0.0", 0
	for n := range 20 {
		next := fmt.Sprintf("1.%d.0", n+1)
		repo.Publish(next, program(next), testrelease.Zstd())
		var restart error
		kill := n%5 == 3 || n%5 == 4
		d := again(t, repo, c.path, version, func(o *Options) {
			o.Restart = func(context.Context) error {
				if kill {
					return errors.ErrUnsupported // the process ends here, and its successor is on its own
				}
				return restart
			}
		})
		if n%5 == 1 {
			restart = errors.New("exit status 2")
		}
		_, err := d.update()
		checks++
		switch {
		case restart != nil:
			want["undone"]++
			if !errors.Is(err, ErrUndone) {
				t.Fatal(err)
			}
		case err != nil:
			t.Fatal(err)
		case n%5 == 3: // nobody was there when it was proved, and whoever was is killed and comes again
			version = next
			for range 2 {
				again(t, repo, c.path, version).proveRunning(t.Context())
			}
			want["ok"]++
		case n%5 == 4:
			for range 5 {
				if _, err := Recover(t.Context(), c.path, nil); err != nil {
					t.Fatal(err)
				}
			}
			want["undone"]++
		default:
			version = next
			want["ok"]++
		}
	}
	d := again(t, repo, c.path, version)
	m := metrics(t, d.Updater)
	for result, n := range want {
		if got := m[fmt.Sprintf(`theseus_updates_total{app="hello",result=%q}`, result)]; got != strconv.Itoa(n) {
			t.Errorf("%s: %s, want %d", result, got, n)
		}
	}
	if got := m[`theseus_checks_total{app="hello",result="ok"}`]; got != strconv.Itoa(checks) {
		t.Errorf("%s checks, want %d", got, checks)
	}
	d.show(d.state())
	h := d.Status().History
	if len(h) != 20 {
		t.Errorf("the history has %d lines", len(h))
	}
	for _, e := range h {
		if e.Result == "on trial" || e.Trigger != "person" || e.From == "" || e.To == "" || (e.Result == "undone") != (e.Why != "") {
			t.Errorf("%+v", e)
		}
	}
}

// The history is short, whatever happens, and a source that fails at each poll is one line of it.
func TestHistory(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	code, out, _ := c.run("--history")
	if code != ExitOK || out != "hello has not been updated here.\n" {
		t.Errorf("%d %q", code, out)
	}
	for _, path := range storedFiles(repo) {
		repo.Hook(path, testrelease.Status(http.StatusServiceUnavailable))
	}
	for range 3 {
		if _, err := c.poll(t.Context()); exitCode(err) != ExitUnreachable {
			t.Fatal(err)
		}
	}
	for _, path := range storedFiles(repo) {
		repo.Hook(path, nil)
	}
	c.mustUpdate("1.1.0")
	if _, err := c.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	code, out, _ = c.run("--history")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != ExitOK || len(lines) != 3 {
		t.Fatalf("%d\n%s", code, out)
	}
	for i, want := range []string{"rolled back  1.1.0 -> 1.0.0, by the person", "rolled back  1.0.0 -> 1.1.0, by the person: left by hand", "unreachable  1.0.0 -> 1.1.0, by the interval: "} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
	if n := metrics(t, c.Updater)[`theseus_updates_total{app="hello",result="unreachable"}`]; n != "3" {
		t.Errorf("counted %s times", n)
	}
	code, out, _ = c.run("--history", "--json")
	var all []HistoryEntry
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != ExitOK || len(all) != 3 || all[0].Result != "rolled back" {
		t.Errorf("%d %v\n%s", code, err, out)
	}
	for n := range 60 {
		h, err := c.disk.TryHold()
		if err != nil {
			t.Fatal(err)
		}
		err = h.Change(func(st *state.State) { st.Ended(state.Move{To: strconv.Itoa(n), Result: "failed"}) })
		h.Release()
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.state().History); n != 50 {
		t.Errorf("%d lines are kept", n)
	}
}

// A textfile collector may read at any moment, and finds a whole file.
func TestCommandMetrics(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0")
	dir := t.TempDir()
	file := filepath.Join(dir, "hello.prom")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	for n := range 3 { // each is a process of its own
		if code, _, stderr := again(t, repo, c.path, "1.0.0").run("--check", "--metrics", file); code != ExitFound {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("theseus_checks_total{app=\"hello\",result=\"ok\"} %d\n", n+1); !bytes.Contains(b, []byte(want)) {
			t.Errorf("%q is not in\n%s", want, b)
		}
		promtool(t, string(b), "check", "metrics")
	}
	if b := make([]byte, 4); func() int { n, _ := old.ReadAt(b, 0); return n }() != 3 || string(b[:3]) != "old" {
		t.Errorf("whoever had it open reads %q now: the file was not replaced but written to", b)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v: a collector runs as somebody else", info.Mode(), err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("left behind: %v", all)
	}
	if code, _, stderr := c.run("--check", "--metrics", filepath.Join(dir, "missing", "x.prom")); code == ExitOK || !strings.Contains(stderr, "writing metrics") {
		t.Errorf("%d %s", code, stderr)
	}
}

// Metrics are served to whom the status is served to.
func TestServeMetrics(t *testing.T) {
	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", func(o *Options) { o.AdminToken = token })
	ask := func(method, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/update/metrics", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		c.Handler().ServeHTTP(w, r)
		return w
	}
	if w := ask("GET", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", w.Code)
	}
	if w := ask("POST", token); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	w := ask("GET", token)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" || !strings.Contains(w.Body.String(), "theseus_build_info") {
		t.Errorf("%d %v\n%s", w.Code, w.Header(), w.Body)
	}
}

// The rules in doc/ are right, fire when they should, and ask for metrics that there are; so does the dashboard.
func TestRulesAndDashboard(t *testing.T) {
	promtool(t, "", "check", "rules", "theseus.rules.yml")
	promtool(t, "", "test", "rules", "theseus.test.yml")

	repo := published(t, "1.0.0", "1.1.0")
	c := install(t, repo, "1.0.0", gated(&counter{enter: no("no")}))
	_, _ = c.update()
	var b bytes.Buffer
	if err := c.WriteMetrics(&b); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`theseus_[a-z_]+`)
	for _, file := range []string{"theseus.rules.yml", "dashboard.json", "../operating.md"} {
		text, err := os.ReadFile("../doc/prometheus/" + file)
		if err != nil {
			t.Fatal(err)
		}
		used := name.FindAllString(string(text), -1)
		for _, n := range used {
			if !strings.Contains(b.String(), "# TYPE "+n+" ") {
				t.Errorf("%s asks for %s, which is not written", file, n)
			}
		}
		if len(used) < 5 {
			t.Errorf("%s asks for %d metrics", file, len(used))
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is not JSON", file)
		}
	}
}

// A program whose updates are off says that, too.
func TestMetricsWhereUpdatesAreOff(t *testing.T) {
	c := install(t, published(t, "1.0.0"), "banana")
	c.Updater.events.raise(EventOff, "off", nil)
	if m := metrics(t, c.Updater); m[`theseus_condition{app="hello",condition="off"}`] != "1" || m[`theseus_proved{app="hello"}`] != "1" {
		t.Errorf("%v", m)
	}
	file := filepath.Join(t.TempDir(), "hello.prom")
	if code, _, _ := c.run("--check", "--metrics", file); code != ExitError {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
