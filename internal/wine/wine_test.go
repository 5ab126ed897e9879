//go:build wine && unix

package wine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testrelease"
)

const patience = time.Minute // for anything that should happen soon; Wine's first start takes ten seconds

// shared is made once: builds, and the folder that to Wine is a machine.
var shared struct {
	dir    string
	prefix string
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "theseus-wine-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		shared.dir, shared.prefix = dir, filepath.Join(dir, "prefix")
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer wine("wineboot", "--kill").Run()
		return m.Run()
	}())
}

// wine is a command of Wine on our machine.
func wine(args ...string) *exec.Cmd {
	cmd := exec.Command("wine", args...)
	cmd.Env = append(os.Environ(), "WINEPREFIX="+shared.prefix, "WINEDEBUG=-all", "DISPLAY=", "WINEDLLOVERRIDES=mscoree,mshtml=")
	return cmd
}

// processPrng is what the runtime of Go asks Windows for random numbers, in a library that Wine 8 does not have.
const processPrng = `#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) { return SystemFunction036(p, (ULONG)n); }
`

func prepare() error {
	run := func(cmd *exec.Cmd) error {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
		}
		return nil
	}
	if err := run(wine("wineboot", "--init")); err != nil {
		return err
	}
	dll := filepath.Join(shared.prefix, "drive_c", "windows", "system32", "bcryptprimitives.dll")
	if _, err := os.Stat(dll); errors.Is(err, os.ErrNotExist) {
		source := filepath.Join(shared.dir, "prng.c")
		if err := os.WriteFile(source, []byte(processPrng), 0o644); err != nil {
			return err
		}
		if err := run(exec.Command("x86_64-w64-mingw32-gcc", "-shared", "-o", dll, source, "-ladvapi32")); err != nil {
			return err
		}
	}
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", "faults", "-ldflags", "-s -w -X main.version="+version, "-o", built(version), "../../cmd/hello")
		cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
		if err := run(cmd); err != nil {
			return err
		}
	}
	return nil
}

func built(version string) string { return filepath.Join(shared.dir, "hello-"+version+".exe") }

func bytesOf(t *testing.T, version string) []byte {
	t.Helper()
	b, err := os.ReadFile(built(version))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// installation is a folder with hello.exe in it.
type installation struct {
	t    *testing.T
	path string
	key  string
	repo *testrelease.Repo
}

func install(t *testing.T) *installation {
	t.Helper()
	i := &installation{t: t, path: filepath.Join(t.TempDir(), "hello.exe"), key: filepath.Join(t.TempDir(), "key"), repo: testrelease.New(t)}
	if err := os.WriteFile(i.path, bytesOf(t, "1.0.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.key, []byte("untrusted comment: a test key\n"+i.repo.Key()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *installation) publish(version string, options ...testrelease.Option) {
	i.t.Helper()
	i.repo.Publish(version, bytesOf(i.t, version), append(options, testrelease.On("windows/amd64"))...)
}

func (i *installation) command(args ...string) *exec.Cmd {
	return wine(append([]string{i.path, "--updates", i.repo.URL(), "--key", i.key}, args...)...)
}

// run expects an exit code, and returns what was printed.
func (i *installation) run(code int, args ...string) string {
	i.t.Helper()
	cmd := i.command(args...)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		i.t.Fatalf("hello %v: exit code %d (%v), want %d\n%s", args, got, err, code, out)
	}
	return string(out)
}

func (i *installation) is(version string) {
	i.t.Helper()
	if out := i.run(0, "--version"); strings.TrimSpace(out) != "hello "+version {
		i.t.Errorf("hello --version says %q, want %s", out, version)
	}
	if b, err := os.ReadFile(i.path); err != nil || string(b) != string(bytesOf(i.t, version)) {
		i.t.Errorf("the file is not that of %s (%v)", version, err)
	}
}

// holds expects these prefixes of names beside the program, each once, and nothing else.
func (i *installation) holds(prefixes ...string) {
	i.t.Helper()
	entries, err := os.ReadDir(filepath.Join(filepath.Dir(i.path), ".hello.exe.theseus"))
	if err != nil {
		i.t.Fatal(err)
	}
	var names []string
	ok := len(entries) == len(prefixes)
	for n, e := range entries {
		names = append(names, e.Name())
		ok = ok && strings.HasPrefix(e.Name(), prefixes[n])
	}
	if !ok {
		i.t.Errorf("beside the program there are %q, want %q", names, prefixes)
	}
	if entries, err = os.ReadDir(filepath.Dir(i.path)); err != nil || len(entries) != 2 {
		i.t.Errorf("in the folder there are %v (%v), want the program and its state", entries, err)
	}
}

// service is a running hello.exe.
type service struct {
	*installation
	cmd   *exec.Cmd
	addr  string
	admin string
	out   strings.Builder
	ended chan struct{}
}

func (i *installation) start(env string, args ...string) *service {
	i.t.Helper()
	s := &service{installation: i, addr: freeAddress(i.t), admin: freeAddress(i.t), ended: make(chan struct{})}
	s.cmd = i.command(append([]string{"--listen", s.addr, "--admin", s.admin}, args...)...)
	s.cmd.Env = append(s.cmd.Env, env)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() {
		s.cmd.Wait()
		close(s.ended)
	}()
	i.t.Cleanup(s.kill)
	return s
}

func (s *service) kill() {
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.ended
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// ends expects the service to end by itself, and returns its exit code.
func (s *service) ends() int {
	s.t.Helper()
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		s.t.Fatalf("the service did not end")
		return 0
	}
}

// await asks the admin endpoint until ok.
func (s *service) await(what string, ok func(status map[string]any) bool) {
	s.t.Helper()
	var last string
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		select {
		case <-s.ended:
			s.t.Fatalf("the service has ended while %s was waited for:\n%s", what, s.out.String())
		default:
		}
		res, err := http.Get("http://" + s.admin + "/update")
		if err != nil {
			last = err.Error()
			continue
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		var status map[string]any
		if err == nil {
			err = json.Unmarshal(b, &status)
		}
		if err == nil && ok(status) {
			return
		}
		last = string(b)
	}
	s.t.Fatalf("waited for %s in vain; the last answer: %s", what, last)
}

func TestSelfUpdate(t *testing.T) {
	i := install(t)
	i.publish("1.1.0", testrelease.Zstd())
	if out := i.run(0, "--self-update"); !strings.Contains(out, "hello 1.1.0 is installed (was 1.0.0).") || strings.Contains(out, "SIGHUP") {
		t.Errorf("it says %q", out)
	}
	i.is("1.1.0")
	i.holds("lock", "previous-", "state")
	if out := i.run(0, "self-update", "--rollback"); !strings.Contains(out, "hello is back at 1.0.0.") {
		t.Errorf("it says %q", out)
	}
	i.is("1.0.0")
}

// TestRunningFile: a file that runs can be renamed and not removed. What is left is swept when nobody runs it any more.
func TestRunningFile(t *testing.T) {
	i := install(t)
	s := i.start("")
	s.await("1.0.0", func(st map[string]any) bool { return st["running"] == "1.0.0" })
	i.publish("1.1.0")
	i.run(0, "--self-update")
	i.is("1.1.0")
	i.run(0, "self-update", "--rollback") // 1.0.0 runs from the kept file, which goes back
	i.is("1.0.0")
	s.await("1.0.0 still serves", func(st map[string]any) bool { return st["running"] == "1.0.0" })
	i.publish("1.2.0")
	i.run(0, "--self-update")
	i.is("1.2.0")
	s.kill()
	i.run(0, "self-update", "--rollback")
	i.is("1.0.0")
	i.run(0, "self-update", "--version", "1.2.0")
	i.holds("lock", "previous-", "state")
}

// TestServiceIsStartedAnew: a service installs, ends with a code on which its manager starts it again, and proves itself.
func TestServiceIsStartedAnew(t *testing.T) {
	i := install(t)
	i.publish("1.1.0")
	s := i.start("", "--interval", "1s")
	if code := s.ends(); code == 0 {
		t.Errorf("after an update the exit code is 0, so no manager starts it again:\n%s", s.out.String())
	}
	i.is("1.1.0")
	s = i.start("", "--interval", "1s")
	s.await("1.1.0 is proved", func(st map[string]any) bool { return st["running"] == "1.1.0" && st["proved"] == true })
}

// TestCrashingRelease: three starts that prove nothing, and the version before is back.
func TestCrashingRelease(t *testing.T) {
	i := install(t)
	i.publish("1.1.0")
	s := i.start("", "--interval", "1s")
	s.ends()
	i.is("1.1.0")
	for n := range 6 { // the manager
		s = i.start("HELLO_FAULT=crash-after-ready", "--interval", "1h")
		code := s.ends()
		if b, err := os.ReadFile(i.path); err == nil && string(b) == string(bytesOf(t, "1.0.0")) {
			if n < 3 {
				t.Errorf("undone after %d starts", n+1)
			}
			break
		} else if code == 0 {
			t.Errorf("start %d ended with 0", n+1)
		}
	}
	i.is("1.0.0")
	i.run(3, "--self-update") // it failed here, and is not tried again by itself
	i.is("1.0.0")
}

// TestTampered: what was refused has changed nothing.
func TestTampered(t *testing.T) {
	i := install(t)
	i.publish("1.1.0")
	path := i.repo.FilePath("1.1.0")
	i.repo.Hook(path, testrelease.Bytes(testrelease.Flip(i.repo.Get(path), 4000)))
	i.run(4, "--self-update")
	i.is("1.0.0")
}
