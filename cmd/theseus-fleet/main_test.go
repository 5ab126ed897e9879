//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/fleet"
)

// The test binary is the command, too.
func TestMain(m *testing.M) {
	switch kind := os.Getenv("THESEUS_FLEET_TEST"); kind {
	case "":
	case "command":
		main()
		os.Exit(0)
	default:
		fmt.Fprintln(os.Stderr, storeProcess(kind, os.Getenv("STORE_DIR"), os.Getenv("STORE_ADDRESS"), os.Getenv("STORE_PEER")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const operator = "0123456789abcdef0123456789abcdef"

// A served is a coordinator that runs, in whichever process.
type served struct {
	t     *testing.T
	dir   string
	url   string
	args  []string
	lines chan string
	pid   int
	ended chan struct{} // the first process is gone
}

var soon = 2 * time.Minute // a machine may be slow

func start(t *testing.T, groups string, args ...string) *served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	s := &served{t: t, dir: t.TempDir(), url: "http://" + address, lines: make(chan string, 10000)}
	s.write("groups", groups)
	s.write("tokens", "# of this test\noperator "+operator+"\n")
	s.args = append([]string{"serve", "--listen", address, "--groups", filepath.Join(s.dir, "groups"), "--tokens", filepath.Join(s.dir, "tokens"),
		"--audit", filepath.Join(s.dir, "audit"), "--data", filepath.Join(s.dir, "data")}, args...)
	s.start()
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *served) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

var hasPID = regexp.MustCompile(`msg=serving .*pid=(\d+)`)

func (s *served) start() {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(exe, s.args...)
	cmd.Env = append(os.Environ(), "THESEUS_FLEET_TEST=command")
	cmd.Stderr = w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // handovers included
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	w.Close()
	ended := make(chan struct{})
	s.pid, s.ended = cmd.Process.Pid, ended
	go func() { cmd.Wait(); close(ended) }()
	go func() {
		defer r.Close()
		for b := bufio.NewScanner(r); b.Scan(); {
			select {
			case s.lines <- b.Text():
			default:
			}
		}
	}()
	s.answers()
}

// kill ends all processes of the coordinator, at once.
func (s *served) kill() {
	if s.pid != 0 {
		syscall.Kill(-s.pid, syscall.SIGKILL)
		<-s.ended // its address is free
	}
	s.pid = 0
}

// answers waits until somebody serves.
func (s *served) answers() {
	s.t.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if code, _ := s.post("/v1/steady-state", `{"client_params":{"id":"nobody","group":"web"}}`); code == 200 {
			return
		}
	}
	s.t.Fatalf("nobody serves; it said:\n%s", s.said())
}

func (s *served) said() string {
	var b strings.Builder
	for {
		select {
		case l := <-s.lines:
			b.WriteString(l + "\n")
		default:
			return b.String()
		}
	}
}

// wait waits for a line that the coordinator says.
func (s *served) wait(pattern string) []string {
	s.t.Helper()
	re, seen := regexp.MustCompile(pattern), ""
	for late := time.After(soon); ; {
		select {
		case l := <-s.lines:
			seen += l + "\n"
			if m := re.FindStringSubmatch(l); m != nil {
				return m
			}
		case <-late:
			s.t.Fatalf("it did not say %q, but\n%s", pattern, seen)
		}
	}
}

func (s *served) post(path, body string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	r.Header.Set("fleet-lock-protocol", "true")
	r.Header.Set("Authorization", "Bearer "+operator)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

func (s *served) verb(args ...string) (string, error) {
	var out bytes.Buffer
	c := root()
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(append(args, "--url", s.url, "--token-file", filepath.Join(s.dir, "tokens")))
	err := c.ExecuteContext(s.t.Context())
	return out.String(), err
}

func (s *served) status() (g fleet.Status) {
	s.t.Helper()
	out, err := s.verb("status", "web", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &g)
	}
	if err != nil {
		s.t.Fatal(out, err)
	}
	return g
}

func body(id, version string) string {
	return fmt.Sprintf(`{"client_params":{"id":%q,"group":"web"},"version":%q,"from":"1.0.0","token":%q}`, id, version, id)
}

func TestVerbs(t *testing.T) {
	s := start(t, "web: max 1 at once # one\n")
	if code, b := s.post("/v1/pre-reboot", body("a", "1.1.0")); code != 200 {
		t.Fatal(code, b)
	}
	out, err := s.verb("halt", "web", "--reason", "a bad night")
	if err != nil || !strings.Contains(out, "theseus-fleet resume web") || !strings.Contains(out, "a bad night") {
		t.Fatal(out, err)
	}
	if code, b := s.post("/v1/pre-reboot", body("b", "1.1.0")); code != 423 || !strings.Contains(b, "a bad night") {
		t.Fatal(code, b)
	}
	watched := filepath.Join(s.dir, "halted")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		c := root()
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		c.SetArgs([]string{"watch", "web", "--every", "10ms", "--url", s.url, "--token-file", filepath.Join(s.dir, "tokens"), "--on-halt",
			`echo "$THESEUS_FLEET_GROUP $THESEUS_FLEET_VERSION $THESEUS_FLEET_REASON" >> ` + watched})
		ended <- c.ExecuteContext(ctx)
	}()
	for end := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
		if b, _ := os.ReadFile(watched); string(b) == "web 1.1.0 a bad night\n" {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%q", b)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if out, err := s.verb("resume", "web"); err != nil {
		t.Fatal(out, err)
	}
	if out, err := s.verb("clear", "web", "a"); err == nil || !strings.Contains(err.Error(), "on its way") {
		t.Fatal(out, err)
	}
	if _, err := s.verb("status", "none"); err == nil || !strings.Contains(err.Error(), "no such group") {
		t.Error(err)
	}
	if g := s.status(); len(g.Holders) != 1 || g.Halted != nil {
		t.Errorf("%+v", g)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, "audit"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(string(b)) {
		var e fleet.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != "began entered halted resumed" {
		t.Errorf("the audit log has %s", got)
	}
}

// Forty machines on three slots, the coordinator and its store killed five times: all get through, never more than three at
// once, and what was answered is remembered.
func TestKilledFiveTimes(t *testing.T) {
	s := start(t, "web: canary 1, then all; max 3 at once; halt after 5 failures; deadline 1h\n")
	var inside, most, done atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			id := fmt.Sprint("h", i)
			until := func(path string) {
				for {
					if code, _ := s.post(path, body(id, "1.1.0")); code == 200 {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
			until("/v1/pre-reboot")
			now := inside.Add(1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			time.Sleep(100 * time.Millisecond) // what a machine has to do
			inside.Add(-1)
			until("/v1/steady-state")
			done.Add(1)
		})
	}
	for kills := int64(1); kills <= 5; kills++ {
		for done.Load() < kills*6 {
			time.Sleep(5 * time.Millisecond)
		}
		s.kill()
		s.start()
	}
	wg.Wait()
	if most.Load() > 3 || done.Load() != 40 {
		t.Errorf("%d at once, %d done", most.Load(), done.Load())
	}
	if g := s.status(); g.Proved != 40 || len(g.Holders) != 0 || len(g.Failed) != 0 {
		t.Errorf("%+v", g)
	}
}

// SIGHUP: another process with the groups as they are now, and no ask is lost meanwhile. Groups that make no sense change
// nothing.
func TestReload(t *testing.T) {
	s := start(t, "web: max 1 at once; deadline 1h\n")
	first, _ := strconv.Atoi(s.wait(hasPID.String())[1])
	if code, b := s.post("/v1/pre-reboot", body("a", "1.1.0")); code != 200 {
		t.Fatal(code, b)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asks, lost atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				asks.Add(1)
				if code, b := s.post("/v1/pre-reboot", body(fmt.Sprint("x", i), "1.2.0")); code != 423 && code != 200 {
					lost.Add(1)
					t.Error(code, b)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	s.write("groups", "web: max 5 at once; deadline 1h\n")
	syscall.Kill(first, syscall.SIGHUP)
	second, _ := strconv.Atoi(s.wait(hasPID.String())[1])
	for end := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		g := s.status()
		if g.Policy.AtOnce.Count == 5 && len(g.Holders) == 5 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v\n%s", g, s.said())
		}
	}
	<-s.ended // until then the second one is on trial
	s.write("groups", "web: max 0 at once\n")
	syscall.Kill(second, syscall.SIGHUP)
	s.wait(`max 0 at once`)
	if g := s.status(); len(g.Holders) != 5 {
		t.Errorf("%+v", g)
	}
	cancel()
	wg.Wait()
	t.Logf("%d asks, %d lost", asks.Load(), lost.Load())
}

// Nothing is served that nobody meant to serve.
func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", "web: max 1 at once\n")
	for want, args := range map[string][]string{
		"required":             {},
		"no such file":         {"--groups", filepath.Join(dir, "none")},
		"names no group":       {"--groups", file("empty", "# nothing\n")},
		"empty:1":              {"--groups", file("empty2", "web max 1 at once\n")},
		"tls-cert":             {"--groups", good, "--listen", ":0"},
		"shorter than":         {"--groups", good, "--tokens", file("short", "operator x\n")},
		"none of operator":     {"--groups", good, "--tokens", file("kind", "root "+operator+"\n")},
		"is there twice":       {"--groups", file("twice", "web: max 1 at once\nweb: max 2 at once\n")},
		"if any flags":         {"--groups", good, "--nats", "x", "--etcd", "y"},
		"they must all be set": {"--groups", good, "--tls-cert", "x"},
	} {
		c := root()
		c.SetArgs(append([]string{"serve", "--data", filepath.Join(dir, "data")}, args...))
		c.SetOut(io.Discard)
		c.SetErr(io.Discard)
		if want == "empty:1" {
			want = "empty2:1"
		}
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
	unlock, err := lock(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := lock(filepath.Join(dir, "data")); err == nil || !strings.Contains(err.Error(), "another process serves") {
		t.Errorf("two processes serve from one folder: %v", err)
	}
}
