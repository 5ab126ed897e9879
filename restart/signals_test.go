//go:build linux

package restart_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignalHooks: the caller chooses what a signal does, and is told before and after.
func TestSignalHooks(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 20 * time.Millisecond, Hooks: true})
	s.signal(s.pid(), syscall.SIGUSR1)
	s.wait("after USR1")
	mark := s.mark()
	s.signal(s.pid(), syscall.SIGTSTP) // HandOver, by the caller's choice
	next, _ := s.waitAfter(mark, "this process is in service")
	s.wait(fmt.Sprintf("%d run: <nil>", s.pid()))
	s.signal(next, syscall.SIGHUP) // nothing, by the caller's choice
	s.waitAfter(mark, "after HUP")
	s.serves(next)
	var order []string
	s.mu.Lock()
	for _, l := range s.lines {
		for _, w := range []string{"before USR1", "after USR1", "before TSTP", "serving -> handing over", "after TSTP", "before HUP", "after HUP"} {
			if strings.Contains(l, w) {
				order = append(order, w)
			}
		}
	}
	s.mu.Unlock()
	if got, want := strings.Join(order, ", "), "before USR1, after USR1, before TSTP, serving -> handing over, after TSTP, before HUP, after HUP"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestR21KilledBeforeHello: an end by a signal is an end. Who sent it is not known, so it is neither the new version's fault
// nor forgotten.
func TestR21KilledBeforeHello(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		s := startService(t, config{})
		s.plan("start 0s hang")
		s.signal(s.pid(), syscall.SIGHUP)
		child := 0
		for child == 0 {
			child = findChild(s.pid())
		}
		s.wait("hanging")
		s.signal(child, sig)
		s.wait("undo, to blame: unknown")
		s.serves(s.pid())
	}
}

// TestR21EndsBySIGTERM: a version that tells itself to stop is undone like one that dies, each time.
func TestR21EndsBySIGTERM(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 20 * time.Second})
	for _, plan := range []string{"run 0s term", "serving 0s term", "serving 50ms term"} {
		s.plan(plan)
		mark := s.mark()
		s.signal(s.pid(), syscall.SIGHUP)
		s.waitAfter(mark, "undo, to blame: unknown")
		s.serves(s.pid())
	}
}
