//go:build linux

package restart_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
)

// notifySocket listens as a service manager does. What it is told comes as one line.
func notifySocket(t *testing.T) (said chan string, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	sock, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	said = make(chan string, 100)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := sock.Read(b)
			if err != nil {
				return
			}
			said <- strings.TrimSuffix(strings.ReplaceAll(string(b[:n]), "\n", " "), " ")
		}
	}()
	return said, path
}

// TestNotify records what a service manager is told, a state per line.
func TestNotify(t *testing.T) {
	t.Parallel()
	said, socket := notifySocket(t)
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-said:
			if !regexp.MustCompile("^" + want + "$").MatchString(got) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("nothing was said, want %s", want)
		}
	}
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}, env: []string{"NOTIFY_SOCKET=" + socket}}
	s.exe = os.Args[0]
	s.launch(config{Probation: 100 * time.Millisecond})
	expect("READY=1 STATUS=serving")

	s.plan("serving 0s exit2")
	s.signal(s.pid(), syscall.SIGHUP)
	expect(`RELOADING=1 MONOTONIC_USEC=[1-9]\d+ STATUS=handing over EXTEND_TIMEOUT_USEC=65100000`)
	s.wait("undone")
	for line := ""; !strings.HasPrefix(line, "READY=1"); { // it may be heard to serve or not
		select {
		case line = <-said:
		case <-time.After(patience):
			t.Fatal("the reload was never ended")
		}
		if !regexp.MustCompile(`^(READY=1 STATUS=serving; the last handover failed: .*exit status 2|STATUS=standing by: process \d+ is on probation for 100ms|STATUS=recalling)$`).MatchString(line) {
			t.Errorf("got %s", line)
		}
	}

	s.plan("")
	next := s.handover(s.pid())
	expect(`RELOADING=1 MONOTONIC_USEC=[1-9]\d+ STATUS=handing over EXTEND_TIMEOUT_USEC=65100000`)
	expect(fmt.Sprintf("STATUS=standing by: process %d is on probation for 100ms", next))
	expect(fmt.Sprintf("MAINPID=%d READY=1 STATUS=serving as process %d", next, next))
	s.signal(next, syscall.SIGTERM)
	expect("STOPPING=1 STATUS=draining EXTEND_TIMEOUT_USEC=10000000")
}

// TestWatchdog: the process in service says that it lives, and so does its successor.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sock, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{},
		env: []string{"NOTIFY_SOCKET=" + dir + "/notify", "WATCHDOG_USEC=100000"}}
	s.exe = os.Args[0]
	s.launch(config{Probation: 20 * time.Millisecond})
	hear := func() {
		t.Helper()
		b := make([]byte, 4096)
		sock.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := sock.Read(b)
			if err != nil {
				t.Fatal("the watchdog was not fed: ", err)
			}
			if strings.Contains(string(b[:n]), "WATCHDOG=1") {
				return
			}
		}
	}
	hear()
	pid := s.handover(s.pid())
	sock.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // what was said before
	for b := make([]byte, 4096); ; {
		if _, err := sock.Read(b); err != nil {
			break
		}
	}
	hear()
	s.serves(pid)
}

// TestSocketActivation: the service manager's sockets are used, by address and by name, survive handovers, and their
// paths are left alone.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	for _, byName := range []bool{false, true} {
		t.Run(fmt.Sprint("by name: ", byName), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "s")
			ln, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			ln.(*net.UnixListener).SetUnlinkOnClose(false)
			f, err := ln.(*net.UnixListener).File()
			if err != nil {
				t.Fatal(err)
			}
			c := config{Network: "unix", Address: path, Probation: 20 * time.Millisecond}
			if byName {
				c.ListenNetwork, c.ListenAddress = "fd", "web"
			}
			s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
			s.exe = os.Args[0]
			// LISTEN_PID has to be the server's, which a shell knows before it becomes the server.
			s.cmd = exec.Command("/bin/sh", "-c", `export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec "$0"`, s.exe)
			s.cmd.ExtraFiles = []*os.File{f}
			s.launch(c)
			f.Close()
			ln.Close()
			pid := s.handover(s.handover(s.pid()))
			s.serves(pid)
			if env := s.status().Env; strings.Contains(env, "LISTEN_") {
				t.Error("LISTEN_ variables are passed on")
			}
			s.signal(pid, syscall.SIGTERM)
			s.gone(pid)
			if _, err := os.Lstat(path); err != nil {
				t.Error("the service manager's socket was removed")
			}
		})
	}
}

// TestShutdownDelay: after the stop signal the process is not ready, and serves for a while.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	s := startService(t, config{ShutdownDelay: 3 * time.Second})
	begun := time.Now() // before the signal, from which the process counts
	s.signal(s.pid(), syscall.SIGTERM)
	s.wait("serving -> draining")
	if st := s.status(); st.Ready || st.PID != s.pid() {
		t.Errorf("during the delay: %+v", st)
	}
	s.wait("run: <nil>")
	if d := time.Since(begun); d < 3*time.Second {
		t.Errorf("it stopped after %v", d)
	}
}

// TestProcessOne: in a PID namespace of its own the program is process 1, and its handovers leave it up.
func TestProcessOne(t *testing.T) {
	testenv.Need(t, "unshare")
	testenv.NeedRoot(t)
	t.Parallel()
	quick := config{Probation: 50 * time.Millisecond}
	start := func(t *testing.T, c config) (s *service, init int) {
		s = &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
		s.exe = filepath.Join(s.dir, "server")
		copyFile(t, os.Args[0], s.exe)
		s.cmd = exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", s.exe)
		s.inNamespace = true
		s.launch(c)
		init = childOf(t, s.cmd.Process.Pid)
		t.Cleanup(func() { s.cmd.Process.Kill() })
		return s, init
	}
	status := func(t *testing.T, s *service) int {
		select {
		case <-s.waited:
			return s.cmd.ProcessState.ExitCode()
		case <-time.After(patience):
			t.Fatal("process 1 did not end")
			return -1
		}
	}
	t.Run("handovers, failures and a stop", func(t *testing.T) {
		t.Parallel()
		s, init := start(t, quick)
		pid := s.alive()
		if pid == 1 {
			t.Fatal("the program serves as process 1")
		}
		for range 3 {
			mark := s.mark()
			s.signal(init, syscall.SIGHUP)
			next, _ := s.waitAfter(mark, "this process is in service")
			s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
			if got := s.alive(); got != next || got == pid {
				t.Fatalf("%d serves, want %d", got, next)
			}
			pid = next
		}
		s.plan("serving 10ms exit2")
		s.signal(init, syscall.SIGHUP)
		s.wait("undo, to blame")
		if got := s.alive(); got != pid {
			t.Errorf("%d serves after a failure, want %d", got, pid)
		}
		s.signal(init, syscall.SIGTERM)
		if got := status(t, s); got != 0 {
			t.Errorf("exit status %d, want 0", got)
		}
	})
	// A program on tableflip alone closes the pipe by which the init learns who is in service.
	t.Run("to tableflip and back", func(t *testing.T) {
		t.Parallel()
		s, init := start(t, quick)
		pid := s.alive()
		for _, kind := range []string{"tableflip", "now"} {
			install(t, program(t, kind), s.exe)
			mark := s.mark()
			s.signal(init, syscall.SIGHUP)
			s.waitAfter(mark, "this process is in service")
			s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
			if pid = s.alive(); pid == 1 {
				t.Fatal("process 1 serves")
			}
		}
		s.signal(init, syscall.SIGTERM)
		if got := status(t, s); got != 0 {
			t.Errorf("exit status %d, want 0", got)
		}
	})
	t.Run("a storm", func(t *testing.T) {
		t.Parallel()
		s, init := start(t, quick)
		for range 300 {
			s.signal(init, syscall.SIGHUP)
			time.Sleep(300 * time.Microsecond)
		}
		s.alive()
		s.signal(init, syscall.SIGTERM)
		// A stop in the middle of a handover takes as long as that takes to be called off.
		if got := status(t, s); got != 0 {
			t.Errorf("exit status %d, want 0", got)
		}
	})
	// The old process still drains, and reaps the new one: the init learns the status by the pipe only.
	t.Run("a stop during the drain", func(t *testing.T) {
		t.Parallel()
		s, init := start(t, quick)
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c.get("/sleep?d=1s")
			c.close()
		}()
		old, _ := s.wait("sleeping")
		mark := s.mark()
		s.signal(init, syscall.SIGHUP)
		next, _ := s.waitAfter(mark, "this process is in service")
		s.waitAfter(mark, fmt.Sprintf("%d event phase draining", old))
		s.signal(init, syscall.SIGTERM)
		s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", next))
		if got := status(t, s); got != 0 {
			t.Errorf("exit status %d, want 0", got)
		}
	})
	t.Run("a death", func(t *testing.T) {
		t.Parallel()
		s, init := start(t, quick)
		main := childOf(t, init)
		s.signal(main, syscall.SIGKILL)
		if got := status(t, s); got != 128+int(syscall.SIGKILL) {
			t.Errorf("exit status %d, want 137", got)
		}
	})
}

// TestUnits: the unit files of doc/systemd are what systemd takes.
func TestUnits(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "systemd-analyze")
	units, err := filepath.Glob("../doc/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("no units were found: %v", err)
	}
	for _, unit := range units {
		b, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed here.
		dir := t.TempDir()
		text := regexp.MustCompile(`(?m)^(Exec\w+=)\S+`).ReplaceAllString(string(b), "${1}/bin/true")
		for _, name := range []string{unit, strings.TrimSuffix(unit, ".service") + ".socket"} {
			if filepath.Ext(name) == ".socket" {
				if b, err = os.ReadFile(name); err != nil {
					continue
				}
				text = string(b)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, filepath.Base(unit))).CombinedOutput()
		if err != nil || strings.Contains(string(out), filepath.Base(unit)) {
			t.Errorf("systemd-analyze verify %s: %v\n%s", unit, err, out)
		}
		out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=40", filepath.Join(dir, filepath.Base(unit))).CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze security %s: %v\n%s", unit, err, out)
		}
	}
}

// TestUnitsStopWaits: systemd does not wait for a main process that is not its child, so ExecStop has to. It ends also when
// there is no main process any more.
func TestUnitsStopWaits(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob("../doc/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("no units were found: %v", err)
	}
	for _, unit := range units {
		b, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		script := regexp.MustCompile(`(?m)^ExecStop=/bin/sh -c '(.*)'$`).FindSubmatch(b)
		if script == nil {
			t.Fatalf("%s has no ExecStop", unit)
		}
		main := exec.Command("/bin/sh", "-c", "trap 'sleep 0.3; echo drained; exit' TERM; echo ready; while :; do sleep 0.05; done")
		out, err := main.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := main.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { main.Process.Kill() })
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatal("the main process has not started")
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for lines.Scan() {
			}
			main.Wait()
		}()
		for _, pid := range []string{fmt.Sprint(main.Process.Pid), ""} {
			stop := exec.Command("/bin/sh", "-c", string(script[1]))
			stop.Env = append(os.Environ(), "MAINPID="+pid)
			if text, err := stop.CombinedOutput(); err != nil || len(text) > 0 {
				t.Errorf("%s: ExecStop with the main process %q: %v %s", unit, pid, err, text)
			}
			if err := syscall.Kill(main.Process.Pid, 0); err == nil {
				t.Errorf("%s: ExecStop has not waited for the main process", unit)
			}
		}
		<-ended
	}
}
