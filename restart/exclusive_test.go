//go:build linux

package restart_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
)

// fileLock is what a database with one writer has: a lock on its file, and time to open it.
type fileLock struct {
	mu    sync.Mutex
	file  *os.File
	users int
}

func (l *fileLock) acquire(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return err
	}
	time.Sleep(20 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = f
	return nil
}

func (l *fileLock) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users > 0 {
		say("released under a request")
	}
	if l.file == nil {
		return errors.New("released without the lock")
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *fileLock) use() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users++
	return l.file != nil
}

func (l *fileLock) used() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users--
}

// TestSoakExclusive: a program that holds a lock on a file is handed over without a refused or failed request, and gets the
// lock back whatever becomes of the new process. What a killed process had accepted is lost with it, as ever.
func TestSoakExclusive(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			c := config{Network: network, Exclusive: true, Probation: 100 * time.Millisecond}
			if c.Address = testenv.Port(t); network == "unix" {
				c.Address = t.TempDir() + "/s"
			}
			s := startService(t, c)
			l := startLoad(s, 8, 4, time.Millisecond)
			pid := s.pid()
			check := func(what string) {
				t.Helper()
				l.more(100)
				if n := l.failed.Load() + l.reconnects.Load(); n > 0 {
					t.Fatalf("%s: %d of %d requests failed or had to connect again: %v", what, n, l.requests.Load(), l.errs)
				}
				if n := s.count(0, "without the lock") + s.count(0, "released under"); n > 0 {
					t.Fatalf("%s: the lock was not held", what)
				}
			}
			for range rounds(5, 25) {
				pid = s.handover(pid)
				check("a handover")
			}
			s.wait("event paused standing by: clients have waited")
			for _, plan := range []string{"serving 20ms ill", "unacquired", "acquire 0s exit2", "acquire 0s kill"} {
				s.plan(plan)
				mark := s.mark()
				s.signal(pid, syscall.SIGHUP)
				s.waitAfter(mark, "undo, to blame")
				check(plan)
				s.serves(pid)
			}
			s.plan("serving 20ms kill")
			mark := s.mark()
			s.signal(pid, syscall.SIGHUP)
			s.waitAfter(mark, "undo, to blame")
			l.more(100)
			s.serves(pid)
			s.plan("")
			s.serves(s.handover(pid))
			l.end()
			if n := s.count(0, "without the lock") + s.count(0, "released under"); n > 0 {
				t.Error("the lock was not held")
			}
		})
	}
}

// TestExclusiveWaitsForRequests: the lock changes hands when the last request has ended; one that does not end within Drain
// calls the handover off.
func TestExclusiveWaitsForRequests(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Exclusive: true, Probation: 50 * time.Millisecond, Drain: 500 * time.Millisecond})
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	answered := make(chan error, 1)
	go func() {
		_, err := c.get("/hold?until=end")
		answered <- err
	}()
	s.wait("holding")
	s.signal(s.pid(), syscall.SIGHUP)
	s.wait("undo, not to blame")
	s.serves(s.pid())
	if err := os.WriteFile(s.dir+"/end", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the request that was waited for: %v", err)
	}
	s.serves(s.handover(s.pid()))
}

// TestExclusiveOverTLS: connections that cannot move are ended before the lock changes hands.
func TestExclusiveOverTLS(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Exclusive: true, TLS: true, Probation: 50 * time.Millisecond})
	l := startLoad(s, 4, 2, 2*time.Millisecond)
	pid := s.pid()
	for range 3 {
		pid = s.handover(pid)
		l.more(50)
	}
	s.serves(pid)
	l.end()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed: %v", n, l.requests.Load(), l.errs)
	}
	if n := s.count(0, "without the lock") + s.count(0, "released under"); n > 0 {
		t.Error("the lock was not held")
	}
}

// TestExclusiveFromTableflip: the program that ran before knows of no lock, or has it until it ends.
func TestExclusiveFromTableflip(t *testing.T) {
	t.Parallel()
	s := startProgram(t, "tableflip", config{Exclusive: true, Probation: 50 * time.Millisecond, Drain: time.Second})
	var held fileLock
	if err := held.acquire(s.dir + "/lock"); err != nil {
		t.Fatal(err)
	}
	install(t, os.Args[0], s.exe)
	mark := s.mark()
	s.signal(s.pid(), syscall.SIGHUP)
	next, _ := s.waitAfter(mark, "this process is in service")
	s.waitAfter(mark, "what is exclusive cannot be had yet")
	if err := held.release(); err != nil {
		t.Fatal(err)
	}
	s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", s.pid())) // it accepts until it has heard of the next one
	s.serves(next)
	s.serves(s.handover(next))
}
