//go:build linux

package restart_test

import (
	"syscall"
	"testing"
	"time"
)

func TestHandoverLosesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []config{
		{},
		{Network: "unix", Address: "@"},
	} {
		name := "tcp"
		if c.Network != "" {
			name = c.Network
			c.Address = t.TempDir() + "/s"
		}
		t.Run(name, func(t *testing.T) {
			c.Probation = 50 * time.Millisecond
			s := startService(t, c)
			l := startLoad(s, 8, 2, time.Millisecond)
			pid := s.pid()
			l.answeredBy(pid)
			const rounds = 5
			for range rounds {
				pid = s.handover(pid)
				l.answeredBy(pid)
			}
			l.end()
			t.Logf("%d requests, %d failed, %d reconnects, %d processes, %v", l.requests.Load(), l.failed.Load(), l.reconnects.Load(), len(l.pids), l.errs)
			if l.failed.Load() != 0 || l.reconnects.Load() != 0 || len(l.pids) != rounds+1 {
				t.Errorf("want 0 failed, 0 reconnects and %d processes", rounds+1)
			}
			if got := s.alive(); got != pid {
				t.Errorf("%d serves, want %d", got, pid)
			}
			s.signal(pid, syscall.SIGTERM)
			s.wait("event phase stopped")
		})
	}
}
