//go:build linux

package restart_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/testenv"
)

// A supervisor starts a service, and follows the process that it has started.
type supervisor struct {
	tools []string
	root  bool
	// command returns what runs the supervisor for the service in s.dir.
	command func(t *testing.T, s *service) *exec.Cmd
	hup     func(s *service) *exec.Cmd // asks for a handover; nil: by a signal to the process in service
	stop    func(s *service) *exec.Cmd // stops the service; nil: SIGTERM to the supervisor
	exit    func(s *service) *exec.Cmd // ends the supervisor after that; nil: it has ended
	inside  bool                       // in a PID namespace
}

func writeScript(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := testenv.WriteProgram(name, []byte("#!/bin/sh\n"+text+"\n")); err != nil {
		t.Fatal(err)
	}
}

// supervisord returns one that runs command with settings.
func supervisord(command func(s *service) string, settings string) supervisor {
	ctl := func(s *service, args ...string) *exec.Cmd {
		return exec.Command("supervisorctl", append([]string{"-c", s.dir + "/supervisord.conf"}, args...)...)
	}
	return supervisor{
		tools: []string{"supervisord"},
		command: func(t *testing.T, s *service) *exec.Cmd {
			conf := fmt.Sprintf(`[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile=%[1]s/supervisord.pid
[unix_http_server]
file=%[1]s/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%[1]s/sock
[program:server]
command=%[2]s
stderr_logfile=/dev/fd/2
stderr_logfile_maxbytes=0
stdout_logfile=/dev/null
stdout_logfile_maxbytes=0
startsecs=0
autorestart=true
%[3]s
`, s.dir, command(s), settings)
			if err := os.WriteFile(s.dir+"/supervisord.conf", []byte(conf), 0o644); err != nil {
				t.Fatal(err)
			}
			return exec.Command("supervisord", "-c", s.dir+"/supervisord.conf")
		},
		hup:  func(s *service) *exec.Cmd { return ctl(s, "signal", "HUP", "server") },
		stop: func(s *service) *exec.Cmd { return ctl(s, "stop", "server") },
		exit: func(s *service) *exec.Cmd { return ctl(s, "shutdown") },
	}
}

// container runs words, then the service, as process 1 of a PID namespace.
func container(words ...string) func(t *testing.T, s *service) *exec.Cmd {
	return func(_ *testing.T, s *service) *exec.Cmd {
		args := append([]string{"--pid", "--fork", "--kill-child", "--mount-proc"}, words...)
		return exec.Command("unshare", append(args, s.exe)...)
	}
}

var supervisors = map[string]supervisor{
	"runit": {
		tools: []string{"runsv", "sv"},
		command: func(t *testing.T, s *service) *exec.Cmd {
			writeScript(t, s.dir+"/sv/run", "exec "+s.exe)
			return exec.Command("runsv", s.dir+"/sv")
		},
		hup:  func(s *service) *exec.Cmd { return exec.Command("sv", "hup", s.dir+"/sv") },
		stop: func(s *service) *exec.Cmd { return exec.Command("sv", "-w", "15", "down", s.dir+"/sv") },
		exit: func(s *service) *exec.Cmd { return exec.Command("sv", "-w", "15", "exit", s.dir+"/sv") },
	},
	"s6": {
		tools: []string{"s6-supervise", "s6-svc"},
		command: func(t *testing.T, s *service) *exec.Cmd {
			writeScript(t, s.dir+"/sv/run", "exec "+s.exe)
			return exec.Command("s6-supervise", s.dir+"/sv")
		},
		hup:  func(s *service) *exec.Cmd { return exec.Command("s6-svc", "-h", s.dir+"/sv") },
		stop: func(s *service) *exec.Cmd { return exec.Command("s6-svc", "-wD", "-d", s.dir+"/sv") },
		exit: func(s *service) *exec.Cmd { return exec.Command("s6-svc", "-x", s.dir+"/sv") },
	},
	"supervisord": supervisord(func(s *service) string { return s.exe }, ""),
	"supervisord that signals the group": supervisord(func(s *service) string { return s.exe },
		"stopasgroup=true\nkillasgroup=true"),
	"pidproxy": supervisord(func(s *service) string { return "pidproxy " + s.dir + "/pid " + s.exe }, ""),
	"tini":     {tools: []string{"tini", "unshare"}, root: true, command: container("tini", "--"), inside: true},
	"tini -g":  {tools: []string{"tini", "unshare"}, root: true, command: container("tini", "-g", "--"), inside: true},
	"dumb-init": {
		tools: []string{"dumb-init", "unshare"}, root: true, command: container("dumb-init"), inside: true,
	},
	"dumb-init -c": {tools: []string{"dumb-init", "unshare"}, root: true, command: container("dumb-init", "-c"), inside: true},
	"a container's entry point that is a shell": {
		tools: []string{"unshare"}, root: true, inside: true,
		command: func(t *testing.T, s *service) *exec.Cmd {
			writeScript(t, s.dir+"/entrypoint", s.exe+"\necho 0 entry point ends with $? >&2")
			return exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", s.dir+"/entrypoint")
		},
		hup: func(s *service) *exec.Cmd {
			return exec.Command("nsenter", "-t", strconv.Itoa(findChild(s.pid())), "-p", "kill", "-HUP", strconv.Itoa(s.alive()))
		},
		stop: func(s *service) *exec.Cmd {
			return exec.Command("nsenter", "-t", strconv.Itoa(findChild(s.pid())), "-p", "kill", "-TERM", strconv.Itoa(s.alive()))
		},
	},
	"a shell that waits": {
		command: func(t *testing.T, s *service) *exec.Cmd {
			writeScript(t, s.dir+"/start", s.exe+` & pid=$!
trap 'kill -TERM $pid' TERM
trap 'kill -HUP $pid' HUP
while kill -0 $pid 2>/dev/null; do wait $pid; status=$?; done
exit $status`)
			return exec.Command(s.dir + "/start")
		},
	},
	"timeout": {
		tools:   []string{"timeout"},
		command: func(t *testing.T, s *service) *exec.Cmd { return exec.Command("timeout", "1000", s.exe) },
		hup: func(s *service) *exec.Cmd { // it passes a signal on once
			return exec.Command("kill", "-HUP", strconv.Itoa(childOf(s.t, s.pid())))
		},
	},
}

// supervised starts the service under a supervisor.
func supervised(t *testing.T, v supervisor, c config) *service {
	t.Helper()
	testenv.Need(t, v.tools...)
	if v.root {
		testenv.NeedRoot(t)
	}
	// The paths of some supervisors' sockets are short.
	dir, err := os.MkdirTemp("", "theseus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &service{t: t, dir: dir, more: make(chan struct{}), pids: map[int]bool{}, inNamespace: v.inside}
	s.link()
	s.cmd = v.command(t, s)
	s.launch(c)
	t.Cleanup(func() { s.cmd.Process.Kill() })
	return s
}

// TestSupervisors hands over under those that follow the process that they have started. Nothing fails, and after a stop
// nothing is left.
func TestSupervisors(t *testing.T) {
	t.Parallel()
	for name, v := range supervisors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := supervised(t, v, config{Probation: 50 * time.Millisecond})
			run := func(c *exec.Cmd) {
				t.Helper()
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", c.Args, err, out)
				}
			}
			l := startLoad(s, 4, 1, 5*time.Millisecond)
			pid := s.alive()
			for range testenv.Pick(3, 3, 20) {
				mark := s.mark()
				if v.hup != nil {
					run(v.hup(s))
				} else if v.inside {
					s.signal(childOf(t, s.pid()), syscall.SIGHUP) // process 1
				} else {
					s.signal(s.pid(), syscall.SIGHUP)
				}
				next, _ := s.waitAfter(mark, "this process is in service")
				s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
				if pid = next; s.alive() != pid {
					t.Errorf("%d serves, want %d", s.alive(), pid)
				}
			}
			l.end()
			if l.failed.Load() != 0 {
				t.Errorf("%d of %d requests have failed: %v", l.failed.Load(), l.requests.Load(), l.errs)
			}
			if n := s.count(0, "event phase serving: starting"); n != 1 {
				t.Errorf("the supervisor has started the service %d times", n)
			}
			mark := s.mark()
			switch {
			case v.stop != nil:
				c := v.stop(s)
				out, err := c.CombinedOutput()
				// What is in a container goes with it, also the command that ends it.
				if err != nil && !(v.inside && c.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL) {
					t.Fatalf("%v: %v\n%s", c.Args, err, out)
				}
			case v.inside:
				s.signal(childOf(t, s.pid()), syscall.SIGTERM)
			default:
				s.signal(s.pid(), syscall.SIGTERM)
			}
			if !v.inside {
				s.gone(pid)
			}
			if n := s.count(mark, "event cut"); n != 0 {
				t.Error("the stop has cut something")
			}
			if v.exit != nil {
				run(v.exit(s))
			}
			select {
			case <-s.ended: // nobody holds the log any more
			case <-time.After(patience):
				t.Error("a process is left after the stop")
			}
		})
	}
}

// TestSupervisorKills: whoever kills the process that it has started gets rid of the service, in every phase.
func TestSupervisorKills(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]string{"in service": "", "on probation": "serving 1h exit0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := supervised(t, supervisor{tools: []string{"timeout"}, command: func(t *testing.T, s *service) *exec.Cmd {
				return exec.Command("timeout", "1000", s.exe)
			}}, config{Probation: time.Hour})
			if plan != "" {
				s.plan(plan)
				s.signal(childOf(t, s.pid()), syscall.SIGHUP)
				s.wait("standing by")
			}
			s.signal(childOf(t, s.pid()), syscall.SIGKILL)
			select {
			case <-s.ended:
			case <-time.After(patience):
				t.Error("a process is left")
			}
		})
	}
}

// TestStatusPassesThrough: a supervisor sees how the service has ended.
func TestStatusPassesThrough(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plan string
		want string
	}{
		"exit status": {"serving 300ms exit2", "ended with 2"},
		"a signal":    {"serving 300ms kill", "ended with 137"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := supervised(t, supervisor{command: func(t *testing.T, s *service) *exec.Cmd {
				writeScript(t, s.dir+"/start", s.exe+"\necho 0 ended with $? >&2")
				return exec.Command(s.dir + "/start")
			}}, config{FirstPlan: c.plan})
			s.wait(c.want)
		})
	}
}

// A pty is a pseudo-terminal on which an interactive shell runs.
type pty struct{ *os.File }

func openPTY(t *testing.T) (master pty, slave *os.File) {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		testenv.Skip(t, "/dev/ptmx", "mount devpts")
	}
	raw, err := m.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // what the terminal shows
		b := make([]byte, 4096)
		for {
			if _, err := m.Read(b); err != nil {
				return
			}
		}
	}()
	return pty{m}, slave
}

// TestTerminal: Ctrl-C stops who serves; a terminal that goes away does too, unless nohup has started the service.
func TestTerminal(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "bash")
	for _, c := range []struct {
		name, line string
		end        func(p pty)
		lives      bool
	}{
		{"Ctrl-C", "$SERVER", func(p pty) { p.Write([]byte{3}) }, false},
		{"hangup", "$SERVER", func(p pty) { p.Close() }, false},
		{"hangup of a job in the background", "$SERVER &", func(p pty) { p.Close() }, false},
		{"nohup", "nohup $SERVER", func(p pty) { p.Close() }, true},
		{"nohup in the background", "nohup $SERVER &", func(p pty) { p.Close() }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			master, slave := openPTY(t)
			defer master.Close()
			s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
			s.link()
			s.cmd = exec.Command("bash", "--norc", "-i")
			s.cmd.Stdin = slave
			s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			s.env = []string{"SERVER=" + s.exe}
			go func() { fmt.Fprintln(master, c.line) }()
			s.launch(config{Probation: 50 * time.Millisecond})
			slave.Close()
			l := startLoad(s, 4, 1, 5*time.Millisecond)
			pid := s.alive()
			handover := func() {
				t.Helper()
				mark := s.mark()
				s.signal(pid, syscall.SIGHUP)
				next, _ := s.waitAfter(mark, "this process is in service")
				s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
				pid = next
			}
			for range testenv.Pick(3, 3, 20) {
				handover()
			}
			if !c.lives {
				l.end()
			}
			c.end(master)
			if c.lives {
				<-s.waited                  // the shell
				time.Sleep(3 * time.Second) // a hangup may be told late; then SIGHUP means a handover again
				handover()
				l.end()
				s.signal(pid, syscall.SIGTERM)
			}
			if l.failed.Load() != 0 {
				t.Errorf("%d of %d requests have failed: %v", l.failed.Load(), l.requests.Load(), l.errs)
			}
			s.wait(fmt.Sprintf("%d run: <nil>", pid))
			if !c.lives {
				s.cmd.Process.Kill() // the shell holds the log, if it is left
			}
			select {
			case <-s.ended:
			case <-time.After(patience):
				t.Error("a process is left")
			}
		})
	}
}

// TestAnchorIsSmall measures what the anchor keeps for itself.
func TestAnchorIsSmall(t *testing.T) {
	t.Parallel()
	s := supervised(t, supervisor{tools: []string{"timeout"}, command: func(t *testing.T, s *service) *exec.Cmd {
		return exec.Command("timeout", "1000", s.exe)
	}}, config{Probation: 50 * time.Millisecond})
	anchor := childOf(t, s.pid())
	pid := s.alive()
	copyFile(t, os.Args[0], s.exe+".new") // an update: the pages of the file that the anchor runs are its own from here on
	if err := os.Rename(s.exe+".new", s.exe); err != nil {
		t.Fatal(err)
	}
	mark := s.mark()
	s.signal(anchor, syscall.SIGHUP)
	s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", anchor))
	if err != nil {
		testenv.Skip(t, "smaps_rollup", "a Linux kernel since 4.14")
	}
	kb := 0
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Private_") {
			n, _ := strconv.Atoi(f[1])
			t.Log(f[0], n, "kB")
			if f[0] != "Private_Hugetlb:" {
				kb += n
			}
		}
	}
	if kb == 0 || kb > 3<<10 && !raced {
		t.Errorf("the anchor has %d kB of private memory", kb)
	}
}
