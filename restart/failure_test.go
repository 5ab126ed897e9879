//go:build linux

package restart_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
)

// rounds is as many as the numbers in doc/restart.md are of, with THESEUS_TESTS=full, and a sample otherwise.
func rounds(sample, full int) int { return testenv.Pick(sample, sample, full) }

// deaths are the ways in which a successor can fail to prove itself, and when.
var deaths = []struct {
	plan   string
	served bool // it had begun to serve: requests that it had accepted are its loss
	dead   bool // it is gone when it says so; the others have to be found out
}{
	{"start 0s exit2", false, true},
	{"listen 0s exit0", false, true},
	{"run 0s kill", false, true},
	{"run 0s panic", false, true},
	{"start 0s hang", false, false},
	{"run 0s hang", false, false},
	{"serving 0s exit2", true, true},
	{"serving 0s kill", true, true},
	{"serving 50ms panic", true, true},
	{"serving 700ms exit0", true, true}, // of a probation of a second
	{"serving 900ms kill", true, true},
	{"serving 50ms ill", false, false}, // gives everything back, so nothing is lost
}

// backLimit is how long after the death of a successor a client that dials has waited at most for its answer. The second
// is of doc/restart.md, on a quiet machine.
var backLimit = testenv.Pick(patience, patience, time.Second)

// TestSoakF31DeathOfASuccessor is row F31: whatever the successor dies of, and whenever, the old process serves on under
// its process id, nobody is refused, connections that it held never notice, the update is undone, and a good one works.
func TestSoakF31DeathOfASuccessor(t *testing.T) {
	t.Parallel()
	for _, d := range deaths {
		t.Run(strings.ReplaceAll(d.plan, " ", "_"), func(t *testing.T) {
			t.Parallel()
			c := config{Probation: time.Second}
			if strings.Contains(d.plan, "hang") {
				c.Start = 2 * time.Second // what a good one needs on a busy machine
			}
			s := startService(t, c)
			pid := s.pid()
			var worst time.Duration
			for range rounds(1, 20) {
				s.plan(d.plan)
				held := startLoad(s, 4, 0, 2*time.Millisecond) // all their connections are the old process's
				for held.requests.Load() < 20 {
					time.Sleep(time.Millisecond)
				}
				fresh := startLoad(s, 0, 2, 2*time.Millisecond)
				mark := s.mark()
				s.signal(pid, syscall.SIGHUP)
				_, dying := s.waitAfter(mark, "dying")
				_, why := s.waitAfter(mark, "undo, to blame")
				// One that dies as it says that it serves may not have been heard.
				if d.served != strings.Contains(why, "did not pass its probation") && d.plan != "serving 50ms ill" && !strings.HasPrefix(d.plan, "serving 0s") {
					t.Errorf("the cause is %q", why)
				}
				for before := fresh.requests.Load(); fresh.requests.Load() < before+4; { // both have asked the old process
					time.Sleep(time.Millisecond)
				}
				held.end()
				fresh.end()
				if d.dead {
					var at int64
					fmt.Sscanf(dying[strings.Index(dying, "dying"):], "dying %d", &at)
					back, ok := fresh.back(time.Unix(0, at), pid)
					if !ok || back > backLimit {
						t.Errorf("%v passed until the old process answered again (%v), want at most %v", back, ok, backLimit)
					}
					worst = max(worst, back)
				}
				if held.failed.Load() != 0 || held.reconnects.Load() != 0 || len(held.pids) != 1 {
					t.Errorf("connections of the old process: %d failed, %d reconnects, processes %v: %v", held.failed.Load(), held.reconnects.Load(), held.pids, held.errs)
				}
				for text, n := range fresh.errs {
					if strings.Contains(text, "refused") || !d.served {
						t.Errorf("%d new connections failed: %s", n, text)
					}
				}
				if got := s.alive(); got != pid {
					t.Errorf("%d serves, want %d", got, pid)
				}
				s.plan("")
			}
			if d.dead {
				t.Logf("at most %v from the death to an answer of the old process on a new connection", worst)
			}
			s.checkPIDFile(pid)
			// It begins anew on a goroutine of its own, which may not have come to say so.
			s.waitAfter(s.behind(fmt.Sprintf("%d worker ends", pid)), fmt.Sprintf("%d worker begins", pid))
			if begun, ended := s.count(0, fmt.Sprintf("%d worker begins", pid)), s.count(0, fmt.Sprintf("%d worker ends", pid)); begun != ended+1 {
				t.Errorf("the worker of the old process began %d times and ended %d times", begun, ended)
			}
			next := s.handover(pid)
			if got := s.alive(); got != next || next == pid {
				t.Errorf("%d serves after a good update, want %d", got, next)
			}
		})
	}
}

// TestR07FrozenSuccessor: one that is stopped, neither dead nor ill, is missed after three seconds, and nobody says that it is
// the new version's fault.
func TestR07FrozenSuccessor(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 20 * time.Second})
	s.plan("serving 50ms freeze")
	s.signal(s.pid(), syscall.SIGHUP)
	s.wait("standing by -> recalling")
	if got := s.alive(); got != s.pid() {
		t.Errorf("%d serves, want %d", got, s.pid())
	}
	s.wait("undo, to blame: unknown")
}

func (s *service) checkPIDFile(want int) {
	s.t.Helper()
	b, err := os.ReadFile(s.conf.PIDFile)
	if err != nil || strings.TrimSpace(string(b)) != fmt.Sprint(want) {
		s.t.Errorf("the PID file says %q (%v), want %d", b, err, want)
	}
}

// waitPIDFile waits until the PID file names a process.
func (s *service) waitPIDFile(want int) {
	s.t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(s.conf.PIDFile); err == nil && strings.TrimSpace(string(b)) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(limit) {
			s.checkPIDFile(want)
			return
		}
	}
}

// gone waits until none of these processes is left.
func (s *service) gone(pids ...int) {
	s.t.Helper()
	limit := time.Now().Add(patience)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			if time.Now().After(limit) {
				s.t.Fatalf("process %d is left", pid)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// TestSoakF34Signals is row F34: who may end or change what while a successor is on probation.
func TestSoakF34Signals(t *testing.T) {
	t.Parallel()
	const inProbation, starting, draining = "probation: starting -> probation", "serving -> handing over", "standing by -> draining"
	for _, c := range []struct {
		name  string
		when  string
		do    func(s *service, old, successor int)
		check func(s *service, old, successor int)
	}{
		{"TERM to the old process while the new one starts", starting,
			func(s *service, old, _ int) { s.signal(old, syscall.SIGTERM) }, bothStop},
		{"TERM to the old process", inProbation,
			func(s *service, old, _ int) { s.signal(old, syscall.SIGTERM) }, bothStop},
		{"Ctrl-C: INT to both", inProbation,
			func(s *service, old, next int) { s.signal(old, syscall.SIGINT); syscall.Kill(next, syscall.SIGINT) }, bothStop},
		{"TERM to both, the new one first", inProbation,
			func(s *service, old, next int) {
				s.signal(old, syscall.SIGSTOP) // or it may see the other one's end before this process has sent the second signal
				s.signal(next, syscall.SIGTERM)
				s.signal(old, syscall.SIGTERM)
				s.signal(old, syscall.SIGCONT)
			}, bothStop},
		{"TERM to the new process", inProbation,
			func(s *service, _, next int) { s.signal(next, syscall.SIGTERM) },
			func(s *service, old, next int) {
				s.wait("undo, to blame: unknown")
				s.gone(next)
				s.serves(old)
			}},
		{"KILL to the old process", inProbation,
			func(s *service, old, _ int) { s.signal(old, syscall.SIGKILL) },
			func(s *service, old, next int) {
				s.wait(fmt.Sprintf("%d event proved serving", next))
				s.serves(next)
			}},
		{"HUP to the old process", inProbation,
			func(s *service, old, _ int) { s.signal(old, syscall.SIGHUP); s.signal(old, syscall.SIGHUP) }, thirdServes},
		{"HUP to the new process", inProbation,
			func(s *service, _, next int) { s.signal(next, syscall.SIGHUP); s.signal(next, syscall.SIGHUP) }, thirdServes},
		{"HUP to both", inProbation,
			func(s *service, old, next int) { s.signal(old, syscall.SIGHUP); syscall.Kill(next, syscall.SIGHUP) }, thirdServes},
		{"TERM to the old process while it drains", draining,
			func(s *service, old, _ int) { syscall.Kill(old, syscall.SIGTERM) },
			func(s *service, old, next int) {
				s.gone(old)
				s.serves(next)
			}},
		{"HUP to the old process while it drains", draining,
			func(s *service, old, _ int) { syscall.Kill(old, syscall.SIGHUP) },
			func(s *service, old, next int) {
				s.gone(old)
				if got := s.alive(); got == old {
					s.t.Errorf("%d serves", got)
				}
			}},
		{"TERM to the new process while the old one drains", draining,
			func(s *service, _, next int) { s.signal(next, syscall.SIGTERM) },
			func(s *service, old, next int) { s.gone(old, next) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for range rounds(1, 20) {
				t.Run("", func(t *testing.T) {
					s := startService(t, config{Probation: 300 * time.Millisecond})
					old := s.pid()
					held, err := s.dial()
					if err != nil {
						t.Fatal(err)
					}
					defer held.close()
					if _, err := held.get("/"); err != nil {
						t.Fatal(err)
					}
					mark := s.mark()
					s.signal(old, syscall.SIGHUP)
					who, _ := s.waitAfter(mark, c.when)
					next := 0
					switch c.when {
					case inProbation:
						next = who
					case draining:
						next, _ = s.waitAfter(mark, inProbation)
					}
					c.do(s, old, next)
					c.check(s, old, next)
				})
			}
		})
	}
}

func (s *service) serves(pid int) {
	s.t.Helper()
	if got := s.alive(); got != pid {
		s.t.Errorf("%d serves, want %d", got, pid)
	}
	s.checkPIDFile(pid)
}

// bothStop: the successor first, the swap is undone without blame, and nothing is left.
func bothStop(s *service, old, next int) {
	s.t.Helper()
	s.wait("undo, not to blame")
	s.wait(fmt.Sprintf("%d run: <nil>", old))
	s.gone(old)
	if next != 0 {
		s.gone(next)
	}
	if _, err := s.dial(); err == nil {
		s.t.Error("somebody still accepts")
	}
	if _, err := os.Stat(s.conf.PIDFile); err == nil {
		s.t.Error("the PID file is left")
	}
}

// thirdServes: one further handover, by whoever survives. A signal that comes after that has begun asks for another one;
// which signals are one is a matter of the table of histories.
func thirdServes(s *service, old, next int) {
	s.t.Helper()
	s.wait(fmt.Sprintf("%d run: <nil>", next)) // next hands over and ends
	s.gone(old, next)
	pid := s.settled()
	if pid == old || pid == next {
		s.t.Errorf("%d serves, want a third process", pid)
	}
	if n := s.count(0, "this process is in service"); n > 4 {
		s.t.Errorf("%d processes came into service, of which the last two were asked for together", n)
	}
}

// settled waits until one process is left, which serves and is named by the PID file, and returns it.
func (s *service) settled() int {
	s.t.Helper()
	limit := time.Now().Add(patience)
	for {
		st := s.status()
		s.mu.Lock()
		left := 0
		for pid := range s.pids {
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				left++
			}
		}
		s.mu.Unlock()
		b, _ := os.ReadFile(s.conf.PIDFile)
		if st.Phase == "serving" && !st.Predecessor && left == 1 && strings.TrimSpace(string(b)) == fmt.Sprint(st.PID) {
			return st.PID
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%d processes are left, the PID file says %q, status %+v", left, b, st)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSoakF31Storm: a thousand HUPs, and the service is alive, its PID file true, nobody else is left.
func TestSoakF31Storm(t *testing.T) {
	t.Parallel()
	for range rounds(1, 50) {
		t.Run("", func(t *testing.T) {
			s := startService(t, config{Probation: 20 * time.Millisecond})
			for range 1000 {
				b, err := os.ReadFile(s.conf.PIDFile)
				if err != nil {
					t.Fatal(err)
				}
				var pid int
				fmt.Sscan(string(b), &pid)
				if pid > 1 {
					syscall.Kill(pid, syscall.SIGHUP) // it may have gone meanwhile
				}
				time.Sleep(200 * time.Microsecond)
			}
			s.settled()
			if n := s.count(0, "undo"); n != 0 {
				t.Errorf("%d handovers failed", n)
			}
		})
	}
}

// TestSoakManyServers: the number of listeners and servers is not limited by what fits into a socket's buffer.
func TestSoakManyServers(t *testing.T) {
	t.Parallel()
	many := rounds(600, 5000)
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
	s.exe = os.Args[0]
	if err := os.Mkdir(filepath.Join(s.dir, "many"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.launch(config{Many: many, Probation: 100 * time.Millisecond, Start: time.Minute})
	var kept []*client
	for n := 0; n < many; n += max(1, many/50) {
		c, err := net.Dial("unix", filepath.Join(s.dir, "many", strconv.Itoa(n)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		kept = append(kept, &client{Conn: c, r: bufio.NewReader(c)})
	}
	pid := s.pid()
	for range 2 {
		for n, c := range kept {
			if got, err := c.get("/"); err != nil || got != pid {
				t.Fatalf("connection %d: %d answers (%v), want %d", n, got, err, pid)
			}
		}
		pid = s.handover(pid)
	}
	for n := range many {
		c, err := net.Dial("unix", filepath.Join(s.dir, "many", strconv.Itoa(n)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&client{Conn: c, r: bufio.NewReader(c)}).get("/")
		c.Close()
		if err != nil || got != pid {
			t.Fatalf("server %d: %d answers (%v), want %d", n, got, err, pid)
		}
	}
}

// TestSuccessorAtItsDescriptorLimit: a connection for which the new process has no descriptor left is not lost, whether the
// kernel drops it on the way or the new process cannot use it.
func TestSuccessorAtItsDescriptorLimit(t *testing.T) {
	t.Parallel()
	for _, left := range []int{0, 1, 2, 3, 30} {
		t.Run(strconv.Itoa(left), func(t *testing.T) {
			t.Parallel()
			s := startService(t, config{Probation: 50 * time.Millisecond, FilesLeft: left + 1, Drain: 2 * time.Second})
			var kept []*client
			for range 100 {
				c, err := s.dial()
				if err != nil {
					t.Fatal(err)
				}
				defer c.close()
				if _, err := c.get("/"); err != nil {
					t.Fatal(err)
				}
				kept = append(kept, c)
			}
			mark := s.mark()
			s.signal(s.pid(), syscall.SIGHUP)
			s.waitAfter(mark, "standing by -> draining")
			moved := 0
			for n, c := range kept {
				pid, err := c.get("/")
				if err != nil {
					t.Errorf("connection %d: %v", n, err)
				} else if pid != s.pid() {
					moved++
				}
			}
			if moved > len(kept)/2 {
				t.Errorf("%d connections have moved: the limit was not met", moved)
			}
			t.Logf("%d of %d have moved", moved, len(kept))
		})
	}
}

// TestDescriptorLimits: a handover at any limit of descriptors works, or is called off without blame; the service goes on,
// and no connection is lost without a word.
func TestDescriptorLimits(t *testing.T) {
	t.Parallel()
	for _, idle := range []int{0, rounds(50, 2000)} {
		t.Run(fmt.Sprintf("%d idle", idle), func(t *testing.T) {
			t.Parallel()
			s := startService(t, config{Probation: 20 * time.Millisecond, Drain: time.Second})
			s.alive()
			for left := 0; left < 40; left += rounds(4, 1) {
				kept := idleClients(t, s, idle)
				pid := s.alive()
				open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
				if err != nil {
					t.Fatal(err)
				}
				if err := limitFiles(pid, uint64(len(open)+left)); err != nil { // the successor inherits it
					t.Fatal(err)
				}
				mark := s.mark()
				s.signal(pid, syscall.SIGHUP)
				now, _ := s.waitAny(mark, "this process is in service", "undo, ")
				if now != pid {
					if err := limitFiles(now, 20000); err != nil {
						t.Fatal(err)
					}
				} else if n := s.count(mark, "undo, to blame"); n > 0 {
					t.Errorf("with %d descriptors left the new version is to blame", left)
				}
				if err := limitFiles(pid, 20000); err != nil && (now == pid || !errors.Is(err, syscall.ESRCH)) {
					t.Fatal(err) // a process that has handed over may have ended by now
				}
				t.Logf("%d descriptors left: handed over: %v", left, now != pid)
				for n, c := range kept {
					if _, err := c.get("/"); err != nil {
						t.Errorf("with %d descriptors left, connection %d: %v", left, n, err)
					}
					c.close()
				}
				if now != pid {
					s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
				}
				if s.count(mark, "without a PID file") > 0 { // it has a descriptor now, and tries again
					s.waitPIDFile(now)
				}
				s.serves(now)
			}
		})
	}
}

// idleClients opens connections that have had an answer.
func idleClients(t *testing.T, s *service, n int) (kept []*client) {
	t.Helper()
	for range n {
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.close)
		if _, err := c.get("/"); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	return kept
}
