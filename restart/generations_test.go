//go:build linux

package restart_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestSeveralGenerationsDrain: the next handover does not wait for the slow requests of the last one. Three processes drain
// at once; what a further SIGHUP asks for begins when the oldest has ended.
func TestSeveralGenerationsDrain(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 100 * time.Millisecond, Drain: time.Minute})
	l := startLoad(s, 6, 3, 2*time.Millisecond)
	pids := []int{s.pid()}
	type held struct {
		asked, answered int
		err             error
	}
	answers := make(chan held)
	hold := func(pid int) {
		c, err := s.dial()
		if err != nil {
			t.Error(err)
			return
		}
		mark := s.mark()
		go func() {
			defer c.close()
			h := held{asked: pid}
			if h.answered, h.err = c.get(fmt.Sprintf("/hold?until=%d", pid)); h.err == nil {
				_, h.err = c.get("/") // from whoever serves then, on the same connection
			}
			answers <- h
		}()
		s.waitAfter(mark, fmt.Sprintf("%d holding", pid))
	}
	release := func(pid int) {
		if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprint(pid)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if h := <-answers; h.err != nil || h.answered != pid {
			t.Errorf("the request held by %d was answered by %d (%v)", pid, h.answered, h.err)
		}
	}
	for n := range 3 {
		hold(pids[n])
		mark := s.mark()
		begun := time.Now()
		s.signal(pids[n], syscall.SIGHUP)
		next, _ := s.waitAfter(mark, "this process is in service")
		t.Logf("handover %d was proved after %v", n+1, time.Since(begun))
		pids = append(pids, next)
	}
	for _, pid := range pids[:3] {
		if s.count(0, fmt.Sprintf("%d run:", pid)) > 0 {
			t.Errorf("process %d has not waited for its request", pid)
		}
	}
	mark := s.mark()
	hold(pids[3])
	s.signal(pids[3], syscall.SIGHUP)
	s.signal(pids[3], syscall.SIGHUP)
	l.more(300) // a while
	if n := s.count(mark, "serving -> handing over"); n > 0 {
		t.Error("a fourth process drains")
	}
	release(pids[0])
	next, _ := s.waitAfter(mark, "this process is in service")
	for _, pid := range pids[1:] {
		release(pid)
		s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
	}
	s.serves(next)
	l.end()
	if n := l.failed.Load() + l.reconnects.Load(); n > 0 {
		t.Errorf("%d of %d requests failed or had to connect again: %v", n, l.requests.Load(), l.errs)
	}
}

// TestMiddleGenerationDies: a process that is killed while it drains takes nothing with it but its own requests, and those
// before and after it go on.
func TestMiddleGenerationDies(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 100 * time.Millisecond, Drain: time.Minute})
	old := s.pid()
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	answer := make(chan error, 1)
	go func() {
		_, err := c.get(fmt.Sprintf("/hold?until=%d", old))
		if err == nil {
			_, err = c.get("/")
		}
		answer <- err
	}()
	s.wait("holding")
	mark := s.mark()
	s.signal(old, syscall.SIGHUP)
	middle, _ := s.waitAfter(mark, "this process is in service")
	mark = s.mark()
	s.signal(middle, syscall.SIGHUP)
	next, _ := s.waitAfter(mark, "this process is in service")
	s.waitAfter(mark, fmt.Sprintf("%d event phase draining", middle))
	s.signal(middle, syscall.SIGKILL)
	if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprint(old)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Errorf("the request held by the oldest process: %v", err)
	}
	s.serves(next)
	s.serves(s.handover(next))
}
