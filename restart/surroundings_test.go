//go:build linux

package restart_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
)

// TestRelativeNameAndChdir: argv[0] is relative, and the program changes its directory; the successor starts all the
// same, from a link that was flipped meanwhile.
func TestRelativeNameAndChdir(t *testing.T) {
	t.Parallel()
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
	for _, v := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(s.dir, v), 0o755); err != nil {
			t.Fatal(err)
		}
		copyFile(t, os.Args[0], filepath.Join(s.dir, v, "server"))
	}
	link := filepath.Join(s.dir, "current")
	if err := os.Symlink("v1", link); err != nil {
		t.Fatal(err)
	}
	s.cmd = &exec.Cmd{Path: "current/server", Args: []string{"current/server"}, Dir: s.dir}
	s.launch(config{Chdir: "/", Probation: 20 * time.Millisecond})
	if err := os.Symlink("v2", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	pid := s.handover(s.pid())
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || exe != filepath.Join(s.dir, "v2", "server") {
		t.Errorf("the successor runs %s (%v), want the one that the link names now", exe, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = testenv.WriteProgram(to, b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestStartedAsBegun: a successor has the arguments, the environment and the ignored signals that the first process was
// started with, whatever it has made of them; and it is the file that runs, whatever the first argument names.
func TestStartedAsBegun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, arg0 string
		nohup      bool
	}{
		{"its path", "", false},
		{"another program", "sleep", false},
		{"a name that is nowhere", "my-service", false},
		{"a path that is nowhere", "bin/hello", false},
		{"a login shell's name", "-hello", false},
		{"a space", " ", false},
		{"nohup", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
			s.link()
			if c.arg0 == "" {
				c.arg0 = s.exe
			}
			s.cmd = &exec.Cmd{Path: s.exe, Args: []string{c.arg0, "serve", "--flag"}}
			if c.nohup {
				testenv.Need(t, "nohup")
				s.cmd = exec.Command("nohup", s.exe, "serve", "--flag")
			}
			s.env = []string{"SECRET=hidden"}
			s.launch(config{Forget: true, Probation: 20 * time.Millisecond})
			pid := s.pid()
			for range 2 {
				pid = s.handover(pid)
				got := s.status()
				if want := strings.Join([]string{c.arg0, "serve", "--flag"}, "\x00"); got.Started != want {
					t.Errorf("the successor was started with %q, want %q", got.Started, want)
				}
				if got.Secret != "hidden" || strings.Count(got.Env, "LATER=x") != 1 || leaked(got.Env) {
					t.Errorf("the secret was %q, and the environment is\n%s", got.Secret, got.Env)
				}
				if got.NoHUP != c.nohup {
					t.Errorf("the successor ignores SIGHUP at its start: %v, want %v", got.NoHUP, c.nohup)
				}
			}
		})
	}
}

// TestSurroundings: what keeps a successor from starting gives a clear error, and the old process serves on. When it is
// mended, the next handover works.
func TestSurroundings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		spoil, mend func(s *service) error
		want        string
		blame       string
	}{
		{"deleted working directory",
			func(s *service) error { return os.Remove(filepath.Join(s.dir, "cwd")) },
			func(s *service) error { return os.Mkdir(filepath.Join(s.dir, "cwd"), 0o755) },
			"the working directory", "not to blame"},
		{"removed executable",
			func(s *service) error { return os.Rename(s.exe, s.exe+".away") },
			func(s *service) error { return os.Rename(s.exe+".away", s.exe) },
			"the executable cannot be started", "to blame"},
		{"empty executable",
			func(s *service) error {
				if err := os.Rename(s.exe, s.exe+".away"); err != nil {
					return err
				}
				return testenv.WriteProgram(s.exe, nil)
			},
			func(s *service) error { return os.Rename(s.exe+".away", s.exe) },
			"is empty", "to blame"},
		{"truncated executable",
			func(s *service) error {
				if err := os.Rename(s.exe, s.exe+".away"); err != nil {
					return err
				}
				b, err := os.ReadFile(s.exe + ".away")
				if err != nil {
					return err
				}
				return testenv.WriteProgram(s.exe, b[:3000])
			},
			func(s *service) error { return os.Rename(s.exe+".away", s.exe) },
			"the new process", "to blame"},
		{"no execute permission",
			func(s *service) error {
				if err := os.Rename(s.exe, s.exe+".away"); err != nil {
					return err
				}
				return os.WriteFile(s.exe, []byte("x"), 0o644)
			},
			func(s *service) error { return os.Rename(s.exe+".away", s.exe) },
			"is not an executable file", "to blame"},
		{"no descriptors",
			func(s *service) error { return limitFiles(s.pid(), 16) },
			func(s *service) error { return limitFiles(s.pid(), 1024) },
			"no file descriptors are left", "not to blame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
			s.exe = filepath.Join(s.dir, "server")
			copyFile(t, os.Args[0], s.exe)
			s.cmd = exec.Command(s.exe)
			s.cmd.Dir = filepath.Join(s.dir, "cwd")
			if err := os.Mkdir(s.cmd.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			s.launch(config{Probation: 20 * time.Millisecond})
			s.alive() // the poller's descriptors are there
			if err := c.spoil(s); err != nil {
				t.Fatal(err)
			}
			s.signal(s.pid(), syscall.SIGHUP)
			if _, line := s.wait("undo"); !strings.Contains(line, c.want) || !strings.Contains(line, "undo, "+c.blame) {
				t.Errorf("got %q, want %q and %q", line, c.want, c.blame)
			}
			if err := c.mend(s); err != nil {
				t.Fatal(err)
			}
			if got := s.alive(); got != s.pid() {
				t.Errorf("%d serves, want %d", got, s.pid())
			}
			s.serves(s.handover(s.pid()))
		})
	}
}

// leaked reports whether an environment has variables that are between our processes. That these tests run in their long
// form is not one of them.
func leaked(env string) bool {
	return strings.Contains(env, "TABLEFLIP") || strings.Contains(strings.ReplaceAll(env, "THESEUS_TESTS=", ""), "THESEUS_")
}

// TestChildrenInheritNothing: what a program starts while it serves has none of our descriptors and variables.
func TestChildrenInheritNothing(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 20 * time.Millisecond})
	pid := s.pid()
	for range 2 { // of a first process, and of a successor
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		_, body, err := c.do("GET /children HTTP/1.1\r\nHost: x\r\n\r\n")
		c.close()
		if err != nil {
			t.Fatal(err)
		}
		if leaked(body) {
			t.Errorf("a variable has leaked:\n%s", body)
		}
		if strings.Contains(body, "socket:") {
			t.Errorf("a socket has leaked:\n%s", body)
		}
		for _, fd := range []string{" 3 -> pipe", " 4 -> pipe"} {
			if strings.Contains(body, fd) {
				t.Errorf("tableflip's pipe has leaked:\n%s", body)
			}
		}
		if pid == s.pid() {
			pid = s.handover(pid)
		}
	}
}

// TestLeakedSentinel: tableflip's variable without its pipes has leaked through some other program.
func TestLeakedSentinel(t *testing.T) {
	t.Parallel()
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
	s.cmd = exec.Command("/usr/bin/env", "TABLEFLIP_HAS_PARENT_7DIU3=yes", os.Args[0])
	s.launch(config{Probation: 20 * time.Millisecond})
	s.serves(s.handover(s.pid()))
}

// TestStaleUnixSocket: a process that was killed leaves its socket's path behind, and the next one starts all the same;
// but a path on which somebody listens is not taken.
func TestStaleUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	c := config{Network: "unix", Address: path, Probation: 20 * time.Millisecond}
	s := startService(t, c)
	s.signal(s.pid(), syscall.SIGKILL)
	s.gone(s.pid())
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the path should be left: %v", err)
	}
	s = startService(t, c)
	s.serves(s.handover(s.pid()))

	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), serverVar+`={"Network":"unix","Address":"`+path+`"}`)
	out, err := other.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("a second server on %s: %v\n%s", path, err, out)
	}
	pid := s.alive()
	s.signal(pid, syscall.SIGTERM)
	s.gone(pid)
	if _, err := os.Lstat(path); err == nil {
		t.Error("the path is left after an orderly stop")
	}
}

// TestSlowRequestIsFinished: what was begun before a handover ends in the process that began it.
func TestSlowRequestIsFinished(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 20 * time.Millisecond})
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	answer := make(chan error, 1)
	var pid int
	go func() {
		var err error
		pid, err = c.get("/sleep?d=400ms")
		answer <- err
	}()
	s.wait("sleeping")
	next := s.handover(s.pid())
	if err := <-answer; err != nil || pid != s.pid() {
		t.Errorf("%d answered (%v), want %d", pid, err, s.pid())
	}
	if pid, err = c.get("/"); err != nil || pid != next {
		t.Errorf("then %d answered on the same connection (%v), want %d", pid, err, next)
	}
}

// TestHalfARequest: a request of which the old process has read a part is answered there; a pipelined one behind it
// too, or by the successor, whole.
func TestHalfARequest(t *testing.T) {
	t.Parallel()
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, cut := range []int{1, len("GET / HTTP/1.1\r\n"), len(request) - 1, len(request)} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			t.Parallel()
			s := startService(t, config{Probation: 20 * time.Millisecond})
			c, err := s.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			if _, _, err := c.do(request + request[:cut]); err != nil {
				t.Fatal(err)
			}
			mark := s.mark()
			s.signal(s.pid(), syscall.SIGHUP)
			s.waitAfter(mark, "standing by -> draining")
			if _, _, err := c.do(request[cut:]); err != nil {
				t.Errorf("the rest of the request: %v", err)
			}
			if cut == len(request) { // that was the second answer; nothing more is owed
				return
			}
			if _, _, err := c.do(request); err != nil {
				t.Errorf("the next request: %v", err)
			}
		})
	}
}

// TestEventStreamSaysGoodbye when the drain begins, and not when its limit ends it.
func TestEventStreamSaysGoodbye(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 20 * time.Millisecond, Drain: time.Hour})
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	fmt.Fprint(c.Conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	c.SetDeadline(time.Now().Add(patience))
	expect := func(want string) {
		t.Helper()
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatalf("%q: %v", want, err)
			}
			if strings.Contains(line, want) {
				return
			}
		}
	}
	expect("hello")
	mark := s.mark()
	s.signal(s.pid(), syscall.SIGHUP)
	s.waitAfter(mark, "standing by -> draining")
	expect("goodbye")
}

// TestDrainIsBounded: the limit ends a drain and says by name what it cut; a second signal ends it at once.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("limit", func(t *testing.T) {
		t.Parallel()
		s := startService(t, config{OnDrain: time.Hour, Drain: 300 * time.Millisecond})
		s.signal(s.pid(), syscall.SIGTERM)
		if _, line := s.wait("event cut"); !strings.Contains(line, "slow (drain function 1)") {
			t.Errorf("got %q", line)
		}
		s.wait("run: <nil>")
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		s := startService(t, config{OnDrain: time.Hour, Drain: time.Hour})
		s.signal(s.pid(), syscall.SIGTERM)
		s.wait("serving -> draining")
		s.signal(s.pid(), syscall.SIGTERM)
		s.wait("event cut")
		s.wait("run: <nil>")
	})
	t.Run("hammer", func(t *testing.T) {
		t.Parallel()
		s := startService(t, config{OnDrain: time.Hour, Drain: time.Hour, Probation: 20 * time.Millisecond})
		s.signal(s.pid(), syscall.SIGHUP)
		s.wait("standing by -> draining")
		s.signal(s.pid(), syscall.SIGUSR2)
		s.wait("event cut")
		s.wait("run: <nil>")
	})
	t.Run("finished", func(t *testing.T) {
		t.Parallel()
		s := startService(t, config{OnDrain: 100 * time.Millisecond})
		s.signal(s.pid(), syscall.SIGTERM)
		s.wait("slow: finished")
		s.wait("run: <nil>")
		if n := s.count(0, "event cut"); n != 0 {
			t.Error("something was cut")
		}
	})
}

// TestPackets: datagrams are answered by one process or the other, through a handover.
func TestPackets(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Packet: freePacketAddress(t), Probation: 50 * time.Millisecond})
	c, err := net.Dial("udp", s.conf.Packet)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stop, done := make(chan struct{}), make(chan struct{})
	answers := make(chan string, 1<<20) // process ids
	var asked, answered int
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			select {
			case <-stop:
				return
			default:
			}
			asked++
			fmt.Fprintf(c, "%d", asked)
			c.SetReadDeadline(time.Now().Add(patience))
			n, err := c.Read(b)
			if err == nil {
				answered++
				pid, _, _ := strings.Cut(string(b[:n]), " ")
				answers <- pid
			}
		}
	}()
	answeredBy := func(pid int) {
		t.Helper()
		for limit := time.After(patience); ; {
			select {
			case by := <-answers:
				if by == fmt.Sprint(pid) {
					return
				}
			case <-limit:
				t.Fatalf("process %d answers no packet", pid)
			}
		}
	}
	pid := s.pid()
	answeredBy(pid)
	for range 3 {
		pid = s.handover(pid)
		answeredBy(pid)
	}
	close(stop)
	<-done
	if asked != answered {
		t.Errorf("%d of %d packets were answered", answered, asked)
	}
}

func freePacketAddress(t *testing.T) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// TestLameDuck: TLS connections cannot be passed on. They are answered to the end, told to go, and lose nothing.
func TestLameDuck(t *testing.T) {
	t.Parallel()
	s := startService(t, config{TLS: true, Probation: 20 * time.Millisecond, Grace: time.Minute, Drain: 2 * time.Minute})
	l := startLoad(s, 6, 1, 5*time.Millisecond)
	pid := s.pid()
	for range rounds(3, 25) {
		pid = s.handover(pid)
	}
	l.end()
	t.Logf("%d requests, %d reconnects", l.requests.Load(), l.reconnects.Load())
	if l.failed.Load() != 0 || l.reconnects.Load() == 0 {
		t.Errorf("%d failed %v, %d reconnects", l.failed.Load(), l.errs, l.reconnects.Load())
	}
}

// TestSoakNoGrowth compares the last tenth of many handovers with the first.
func TestSoakNoGrowth(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: time.Millisecond})
	c, err := s.dial() // one connection that moves along
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	n := rounds(20, 500)
	var first, last runtimeStats
	pid := s.pid()
	for i := range n {
		pid = s.handover(pid)
		if _, err := c.get("/"); err != nil {
			t.Fatal(err)
		}
		st := s.status().Stats
		if i < n/10 {
			first = worse(first, st)
		}
		if i >= n-n/10 {
			last = worse(last, st)
		}
	}
	t.Logf("%d handovers: first %+v, last %+v", n, first, last)
	if last.Descriptors > first.Descriptors+8 || last.Goroutines > first.Goroutines+8 || last.HeapKB > first.HeapKB*3/2 {
		t.Errorf("growth from %+v to %+v", first, last)
	}
}

// TestSoakNoGrowthOfFailures is the same for one process whose successors fail.
func TestSoakNoGrowthOfFailures(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: time.Second})
	s.plan("serving 1ms exit2")
	n := rounds(20, 500)
	var first, last runtimeStats
	for i := range n {
		mark := s.mark()
		s.signal(s.pid(), syscall.SIGHUP)
		s.waitAfter(mark, "event undone")
		st := s.status().Stats
		if i < n/10 {
			first = worse(first, st)
		}
		if i >= n-n/10 {
			last = worse(last, st)
		}
	}
	t.Logf("%d failures: first %+v, last %+v", n, first, last)
	if last.Descriptors > first.Descriptors+8 || last.Goroutines > first.Goroutines+8 || last.HeapKB > first.HeapKB*3/2 {
		t.Errorf("growth from %+v to %+v", first, last)
	}
}

func worse(a, b runtimeStats) runtimeStats {
	return runtimeStats{max(a.Descriptors, b.Descriptors), max(a.Goroutines, b.Goroutines), max(a.HeapKB, b.HeapKB)}
}

// TestCloseFreesTheAddress: a listener that the program closes refuses connections, can be opened again, and is handed over
// then like any other.
func TestCloseFreesTheAddress(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			address := testenv.Port(t)
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			s := startService(t, config{Second: network + " " + address, Probation: 20 * time.Millisecond})
			greeting := func() string {
				c, err := net.Dial(network, address)
				if err != nil {
					return ""
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				b := make([]byte, 20)
				n, _ := c.Read(b)
				return string(b[:n])
			}
			ask := func(path string) {
				t.Helper()
				c, err := s.dial()
				if err != nil {
					t.Fatal(err)
				}
				defer c.close()
				if _, body, err := c.do("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || body != "<nil>" {
					t.Fatalf("%s: %q, %v", path, body, err)
				}
			}
			pid := s.pid()
			for range 2 {
				if got := greeting(); got != fmt.Sprint(pid) {
					t.Errorf("%q greets, want %d", got, pid)
				}
				ask("/close")
				if got := greeting(); got != "" {
					t.Errorf("%q greets at a closed listener", got)
				}
				ask("/open")
				if got := greeting(); got != fmt.Sprint(pid) {
					t.Errorf("%q greets, want %d", got, pid)
				}
				pid = s.handover(pid)
			}
			if got := greeting(); got != fmt.Sprint(pid) {
				t.Errorf("%q greets after the handovers, want %d", got, pid)
			}
		})
	}
}

// TestRemovedSocketPath: a successor makes a path anew that was removed, for instance by what cleans /tmp.
func TestRemovedSocketPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	s := startService(t, config{Network: "unix", Address: path, Probation: 20 * time.Millisecond})
	pid := s.pid()
	for range 2 {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pid = s.handover(pid)
		s.serves(pid)
	}
}

// TestPIDFileOnAFullDisk: the file never names a process that is gone, and names the one in service when there is space.
func TestPIDFileOnAFullDisk(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.Need(t, "mount", "umount")
	t.Parallel()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir).CombinedOutput(); err != nil {
		testenv.Skip(t, "a mount", "run the tests where tmpfs can be mounted: "+string(out))
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	file := filepath.Join(dir, "pid")
	s := startService(t, config{PIDFile: file, Probation: 20 * time.Millisecond})
	named := func() string {
		b, _ := os.ReadFile(file)
		return strings.TrimSpace(string(b))
	}
	if named() != fmt.Sprint(s.pid()) {
		t.Fatalf("the file says %q", named())
	}
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 1<<20), 0o644); err == nil {
		t.Fatal("the disk is not full")
	}
	pid := s.handover(s.pid())
	if named() != "" {
		t.Errorf("on a full disk the file names %q, and %d serves", named(), pid)
	}
	if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); named() != fmt.Sprint(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("with space again the file says %q, want %d", named(), pid)
		}
	}
	s.signal(pid, syscall.SIGTERM)
	s.gone(pid)
	if named() != "" {
		t.Errorf("after the stop the file says %q", named())
	}
}

// TestNobodyReadsTheLog: a full pipe does not keep the process from handing over and stopping.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	fd := int(write.Fd())
	s := startService(t, config{LogTo: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), Probation: 20 * time.Millisecond})
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for err := error(nil); err == nil; {
			_, err = syscall.Write(fd, make([]byte, size))
		}
	}
	pid := s.pid()
	for range 2 {
		pid = s.handover(pid)
	}
	s.serves(pid)
	mark := s.mark()
	s.signal(pid, syscall.SIGTERM)
	s.waitAfter(mark, "run: <nil>")
}
