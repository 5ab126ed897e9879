//go:build unix

// Package e2e drives the built programs from outside, hello above all: real files, real processes, real HTTP. What is
// installed is served by internal/testrelease.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/internal/testrelease"
	_ "github.com/theseus-go/theseus/restart" // hello is made of it: its changes make the results of these tests stale
)

// patience is for anything that should happen soon, on a machine that is busy with twenty other things.
const patience = 3 * time.Minute

var builds struct {
	dir  string
	mu   sync.Mutex
	done map[string]func() (string, error)
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hello-builds-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds.dir, builds.done = dir, map[string]func() (string, error){}
	testenv.Overlap()
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var raced = flag.Bool("raced", false, "build the program with the race detector, too")

// build returns hello of a version; with the tag "faults" it does what HELLO_FAULT says. The linker runs once for all
// versions of one length, each of which is a program of its own bytes.
func build(t *testing.T, version string, tags ...string) string {
	t.Helper()
	mark := "9.8.7654321"[:len(version)] // which stands for nothing else in the program
	linked := built(t, strings.Join(append([]string{"linked", mark}, tags...), "-"), func(out string) error {
		args := []string{"build", "-buildvcs=false"}
		if *raced {
			args = append(args, "-race")
		}
		cmd := exec.Command("go", append(args, "-tags", strings.Join(tags, ","), "-ldflags", "-s -w -X main.version="+mark, "-o", out, "../../cmd/hello")...)
		if b, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building hello: %w\n%s", err, b)
		}
		return nil
	})
	return built(t, strings.Join(append([]string{"hello", version}, tags...), "-"), func(out string) error {
		b, err := os.ReadFile(linked)
		if err != nil {
			return err
		}
		return testenv.WriteProgram(out, bytes.ReplaceAll(b, []byte(mark), []byte(version)))
	})
}

// built makes a file once, and returns where it is.
func built(t *testing.T, name string, make func(out string) error) string {
	t.Helper()
	builds.mu.Lock()
	once, ok := builds.done[name]
	if !ok {
		once = sync.OnceValues(func() (string, error) {
			out := filepath.Join(builds.dir, name)
			return out, make(out)
		})
		builds.done[name] = once
	}
	builds.mu.Unlock()
	path, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// bytesOf returns the file of a build, to be published.
func bytesOf(t *testing.T, version string, tags ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(build(t, version, tags...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// script is a release that needs no build: a program that only answers its probe.
func script(version string) []byte { return fmt.Appendf(nil, "#!/bin/sh\necho hello %s\n", version) }

// An installation is a folder with hello in it, and the key it trusts beside that folder.
type installation struct {
	t    *testing.T
	dir  string // only the program is in it
	path string
	side string // for keys, sockets and PID files
	env  []string
	uid  uint32 // whom services run as; 0 is whoever runs the test
}

// install puts a build of hello into a folder of its own. Folders are short, for unix sockets' sake.
func install(t *testing.T, build string) *installation {
	t.Helper()
	root, err := os.MkdirTemp("", "hello-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	i := &installation{t: t, dir: filepath.Join(root, "bin"), side: filepath.Join(root, "side")}
	i.path = filepath.Join(i.dir, "hello")
	for _, dir := range []string{i.dir, i.side} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(build)
	if err != nil {
		t.Fatal(err)
	}
	if err := testenv.WriteProgram(i.path, b); err != nil {
		t.Fatal(err)
	}
	return i
}

// trusts writes the public key of a repository where the flags find it.
func (i *installation) trusts(repo *testrelease.Repo) *installation {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.side, "key"), []byte("untrusted comment: a test key\n"+repo.Key()+"\n"), 0o644); err != nil {
		i.t.Fatal(err)
	}
	return i
}

// flags are what every call that may update needs.
func (i *installation) flags(repo *testrelease.Repo) []string {
	return []string{"--updates", repo.URL(), "--key", filepath.Join(i.side, "key")}
}

type result struct {
	code        int
	out, errout string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.out, r.errout)
}

// run runs the installed program to its end.
func (i *installation) run(args ...string) result {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, i.path, args...)
	cmd.Env = append(os.Environ(), i.env...)
	var out, errout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errout
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		i.t.Fatalf("running hello %q: %v\n%s", args, err, errout.String())
	}
	if cmd.ProcessState.ExitCode() < 0 {
		i.t.Fatalf("running hello %q: %v\n%s", args, cmd.ProcessState, errout.String())
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errout.String()}
}

// selfUpdate runs `hello [flags] self-update args`.
func (i *installation) selfUpdate(repo *testrelease.Repo, args ...string) result {
	i.t.Helper()
	return i.run(append(append(i.flags(repo), "self-update"), args...)...)
}

// version is what the file at the path says of itself.
func (i *installation) version() string {
	i.t.Helper()
	r := i.run("--version")
	if r.code != 0 {
		i.t.Fatalf("--version: %v", r)
	}
	return strings.TrimPrefix(strings.TrimSpace(r.out), "hello ")
}

// A service is a hello that serves, through as many processes as it takes.
type service struct {
	*installation
	cmd    *exec.Cmd
	log    logfile
	public *http.Client
	admin  *http.Client
	exited chan struct{} // closed when the process that was started has ended
}

// start starts hello on unix sockets and waits until it answers. All of its processes are in one group, which ends with the
// test.
func (i *installation) start(args ...string) *service {
	i.t.Helper()
	public, admin := filepath.Join(i.side, "p"), filepath.Join(i.side, "a")
	s := &service{installation: i, log: logfile(filepath.Join(i.side, "log")), exited: make(chan struct{})}
	s.public, s.admin = over("unix", public), over("unix", admin)
	args = append([]string{
		"--listen", "unix:" + public, "--admin", "unix:" + admin, "--pid-file", filepath.Join(i.side, "pid"),
		"--probation", "500ms", "--startup", "1m", "--drain", "1m",
	}, args...)
	s.cmd = exec.Command(i.path, args...)
	s.cmd.Env = append(os.Environ(), i.env...)
	log, err := os.Create(string(s.log)) // not a pipe: successors go on writing when the first process has ended
	if err != nil {
		i.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	group(s.cmd)
	if i.uid != 0 {
		s.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: i.uid, Gid: i.uid}
		if err := os.Chown(i.side, int(i.uid), int(i.uid)); err != nil {
			i.t.Fatal(err)
		}
	}
	if err := s.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	i.t.Cleanup(func() {
		endGroup(s.cmd.Process.Pid)
		<-s.exited
		if i.t.Failed() {
			i.t.Logf("log of the service:\n%s", s.log)
		}
	})
	s.await("it serves", func() bool { _, _, err := s.ask(); return err == nil })
	return s
}

// over is a client that keeps no connection: each request meets whoever serves now.
func over(network, addr string) *http.Client {
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, addr)
			},
		},
	}
}

// await polls what no event tells another process.
func (s *service) await(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s\n%s", patience, what, s.log)
		}
	}
}

// ask is GET /version.
func (s *service) ask() (version string, pid int, err error) {
	resp, err := s.public.Get("http://localhost/version")
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	var v struct {
		App, Version string
		PID          int
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return "", 0, err
	}
	if v.App != "hello" {
		return "", 0, fmt.Errorf("the app is %q", v.App)
	}
	return v.Version, v.PID, nil
}

// serves fails the test unless the version that answers now is this one.
func (s *service) serves(version string) (pid int) {
	s.t.Helper()
	v, pid, err := s.ask()
	if err != nil || v != version {
		s.t.Fatalf("%q answers (%v), want %s\n%s", v, err, version, s.log)
	}
	return pid
}

// awaitVersion waits until a version serves.
func (s *service) awaitVersion(version string) (pid int) {
	s.t.Helper()
	s.await(version+" serves", func() bool {
		v, p, err := s.ask()
		pid = p
		return err == nil && v == version
	})
	return pid
}

// status is what GET /update says; only what the tests look at.
type status struct {
	Running, Installed, Offered, State string
	Proved                             bool
	PID                                int
	Outcome                            *struct {
		Version, Step, Error string
		Code                 int
	}
	Failed map[string]string
}

func (s *service) status() status {
	s.t.Helper()
	st, err := s.askStatus()
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// askStatus is for times when who answers may be dying.
func (s *service) askStatus() (st status, err error) {
	resp, err := s.admin.Get("http://localhost/update")
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return st, fmt.Errorf("GET /update: %s", resp.Status)
	}
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// update is POST /update.
func (s *service) update(body string) (code int, answer string) {
	s.t.Helper()
	resp, err := s.admin.Post("http://localhost/update", "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// post starts an update by POST, as soon as the service has settled what it found at its start.
func (s *service) post() {
	s.t.Helper()
	s.await("POST /update is accepted", func() bool {
		code, answer := s.update("{}")
		if code != http.StatusAccepted && code != http.StatusConflict || !strings.Contains(answer, `"running": "`) {
			s.t.Fatalf("POST /update: %d %s", code, answer)
		}
		return code == http.StatusAccepted
	})
}

// failed waits until the status says that a version has failed, and returns it.
func (s *service) failed(version string) (st status) {
	s.t.Helper()
	s.await("the status says that "+version+" has failed", func() bool {
		var err error
		st, err = s.askStatus()
		return err == nil && st.State == "idle" && st.Outcome != nil && st.Failed[version] != ""
	})
	return st
}

// A logfile prints as its content.
type logfile string

func (f logfile) String() string {
	b, err := os.ReadFile(string(f))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

var signals = map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGHUP": syscall.SIGHUP}

// group gives a process a group of its own, which its successors stay in.
func group(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// endGroup ends whoever is left in it.
func endGroup(pid int) {
	if pid > 1 { // 0 is our own group, and 1 is not ours
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// The program is a model to be copied; what does not fit on a few screens is not.
func TestHelloIsShort(t *testing.T) {
	b, err := os.ReadFile("../../cmd/hello/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n >= 175 {
		t.Errorf("main.go has %d lines, and is to stay under 175", n)
	}
}

func TestServer(t *testing.T) {
	i := install(t, build(t, "1.0.0"))
	s := i.start()
	s.serves("1.0.0")
	if !strings.Contains(s.log.String(), "updates are off") {
		t.Errorf("without a key and a URL the log does not say that updates are off: %s", s.log)
	}
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := s.public.Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, _ := get(path); code != http.StatusOK {
			t.Errorf("GET %s: %d", path, code)
		}
	}
	begin := time.Now()
	if code, _ := get("/sleep?d=300ms"); code != http.StatusOK || time.Since(begin) < 300*time.Millisecond {
		t.Errorf("GET /sleep?d=300ms: %d after %v", code, time.Since(begin))
	}
	resp, err := s.public.Post("http://localhost/echo", "text/plain", strings.NewReader("over and out"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "over and out" {
		t.Errorf("POST /echo: %q, %v", b, err)
	}
	if code, _ := get("/update"); code != http.StatusNotFound {
		t.Errorf("GET /update at the public address: %d", code)
	}
	if _, err := s.admin.Get("http://localhost/update"); err == nil {
		t.Error("an admin endpoint answers though updates are off")
	}
}

func TestServerOverTCP(t *testing.T) {
	addr := testenv.Port(t)
	i := install(t, build(t, "1.0.0"))
	cmd := exec.Command(i.path, "--listen", addr)
	log, err := os.Create(filepath.Join(i.side, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	group(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endGroup(cmd.Process.Pid)
		_ = cmd.Wait()
	})
	s := &service{installation: i, log: logfile(log.Name()), public: over("tcp", addr)}
	s.awaitVersion("1.0.0")
}

func TestStop(t *testing.T) {
	for _, name := range []string{"SIGTERM", "SIGINT"} {
		t.Run(name, func(t *testing.T) {
			s := install(t, build(t, "1.0.0")).start()
			pid := filepath.Join(s.side, "pid")
			if b, err := os.ReadFile(pid); err != nil || strings.TrimSpace(string(b)) != fmt.Sprint(s.cmd.Process.Pid) {
				t.Errorf("the PID file says %q, %v; want %d", b, err, s.cmd.Process.Pid)
			}
			// A request that is being answered is finished. That its handler reads is said by 100 Continue.
			conn, err := net.Dial("unix", filepath.Join(s.side, "p"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			fmt.Fprint(conn, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
			answers := bufio.NewReader(conn)
			if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
				t.Fatalf("%q, %v", line, err)
			}
			answers.ReadString('\n')
			if err := s.cmd.Process.Signal(signals[name]); err != nil {
				t.Fatal(err)
			}
			s.await("it stops", func() bool { return strings.Contains(s.log.String(), "draining") })
			fmt.Fprint(conn, "over")
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("a request that was being answered failed: %v", err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "over" {
				t.Errorf("a request that was being answered: %q, %v", b, err)
			}
			select {
			case <-s.exited:
			case <-time.After(patience):
				t.Fatalf("still there after %v\n%s", patience, s.log)
			}
			if code := s.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d\n%s", code, s.log)
			}
			if _, err := os.Stat(pid); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the PID file is left behind: %v", err)
			}
		})
	}
}

// Wrong input gives one sentence, the right exit code, and changes nothing.
func TestWrongInput(t *testing.T) {
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	repo.Publish("1.1.0", script("1.1.0"))
	i.trusts(repo)
	write := func(name, content string) string {
		path := filepath.Join(i.side, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := filepath.Join(i.side, "key")
	half := write("half", repo.Key()[:20])
	secret := write("secret", string(repo.ReleaseKeys[0].File()))
	empty := write("empty", "")
	before := i.look()
	for _, c := range []struct {
		name string
		args []string
		code int
		want string // in standard error
	}{
		{"unknown flag", []string{"--colour"}, 2, "-colour"},
		{"unknown word", []string{"frobnicate"}, 2, `unknown command "frobnicate"`},
		{"a version without self-update", []string{"--version", "1.1.0"}, 2, "hello self-update 1.2.3"},
		{"self-update without a source", []string{"--self-update"}, 2, "--updates URL and --key FILE"},
		{"self-update without a key", []string{"--updates", repo.URL(), "self-update"}, 2, "--updates URL and --key FILE"},
		{"no such key file", []string{"--updates", repo.URL(), "--key", "/nowhere/key", "self-update"}, 2, "/nowhere/key"},
		{"half a key", []string{"--updates", repo.URL(), "--key", half, "self-update"}, 2, "Key"},
		{"a secret key", []string{"--updates", repo.URL(), "--key", secret, "self-update"}, 2, "private key"},
		{"an empty key file", []string{"--updates", repo.URL(), "--key", empty, "self-update"}, 2, "--key FILE"},
		{"a key file that is a folder", []string{"--updates", repo.URL(), "--key", i.side, "self-update"}, 2, i.side},
		{"no URL", []string{"--updates", "downloads", "--key", key, "self-update"}, 2, "downloads"},
		{"plain http to elsewhere", []string{"--updates", "http://203.0.113.1/", "--key", key, "self-update"}, 2, "http"},
		{"a channel that cannot be", []string{"--updates", repo.URL(), "--key", key, "--channel", "../x", "self-update"}, 2, "../x"},
		{"an interval of nothing", []string{"--updates", repo.URL(), "--key", key, "--interval", "1ms", "self-update"}, 2, "1ms"},
		{"self-update with an unknown flag", append(i.flags(repo), "self-update", "--colour"), 2, "colour"},
		{"self-update with a word too many", append(i.flags(repo), "self-update", "now"), 2, "now"},
		{"self-update to no version", append(i.flags(repo), "self-update", "--version", "v1.1"), 2, "v1.1"},
		{"self-update with a contradiction", append(i.flags(repo), "self-update", "--rollback", "--check"), 2, "--rollback"},
		{"a service with half a key", []string{"--updates", repo.URL(), "--key", half}, 2, "Key"},
		{"an admin endpoint for everybody", append(i.flags(repo), "--listen", "unix:"+i.side+"/p", "--admin", "0.0.0.0:0"), 2, "admin"},
		{"an address that is none", []string{"--listen", "nonsense"}, 1, "nonsense"},
		{"a port of somebody else", []string{"--listen", strings.TrimPrefix(repo.URL(), "http://")}, 1, "in use"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := i.run(c.args...)
			if r.code != c.code || !strings.Contains(r.errout, c.want) {
				t.Errorf("%v\nwant exit code %d and %q", r, c.code, c.want)
			}
			if r.out != "" {
				t.Errorf("an error went to standard output: %q", r.out)
			}
			if strings.Contains(r.errout, "goroutine ") {
				t.Errorf("it panicked: %s", r.errout)
			}
			i.same(before)
		})
	}
	if n := len(repo.Requests()); n != 0 {
		t.Errorf("%d requests were sent for wrong input", n)
	}
}

func TestHelp(t *testing.T) {
	i := install(t, build(t, "1.0.0"))
	repo := testrelease.New(t)
	i.trusts(repo)
	for _, args := range [][]string{{"--help"}, {"-h"}} {
		if r := i.run(args...); r.code != 0 || !strings.Contains(r.errout+r.out, "-updates URL") {
			t.Errorf("%q: %v", args, r)
		}
	}
	if r := i.selfUpdate(repo, "--help"); r.code != 0 || !strings.Contains(r.out, "100") {
		t.Errorf("self-update --help: %v", r)
	}
	if r := i.run("--version"); r.code != 0 || r.out != "hello 1.0.0\n" {
		t.Errorf("--version: %v", r)
	}
	if i.version() != "1.0.0" {
		t.Error("the harness does not read versions")
	}
}
