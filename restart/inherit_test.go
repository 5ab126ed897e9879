//go:build linux

package restart_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"
)

// TestInherit: a program's own file and state go from process to process.
func TestInherit(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 20 * time.Millisecond, Hand: true})
	pids := []int{s.pid()}
	for range 2 {
		pids = append(pids, s.handover(pids[len(pids)-1]))
	}
	s.wait(fmt.Sprintf("inherited 0 bytes; notes: %d .", pids[0]))
	s.wait(fmt.Sprintf("inherited 700 bytes; notes: %d %d .", pids[0], pids[1]))
	s.wait(fmt.Sprintf("inherited 2100 bytes; notes: %d %d %d .", pids[0], pids[1], pids[2]))
}

// TestSessionsResume: TLS clients of the old process resume their sessions with the new one, and those of a new one that
// did not stay with the old one.
func TestSessionsResume(t *testing.T) {
	t.Parallel()
	s := startService(t, config{TLS: true, Probation: time.Second, Grace: 100 * time.Millisecond})
	caches := make([]tls.ClientSessionCache, 50)
	for n := range caches {
		caches[n] = tls.NewLRUClientSessionCache(1)
	}
	connect := func() (answered, resumed int) {
		t.Helper()
		for _, cache := range caches {
			nc, err := net.Dial("tcp", s.conf.Address)
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: cache})
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			got := 0
			for b := make([]byte, 1000); ; { // the ticket comes with the answer
				n, err := c.Read(b)
				if got += n; err != nil {
					break
				}
			}
			if got > 0 {
				answered++
			}
			if c.ConnectionState().DidResume {
				resumed++
			}
			c.Close()
		}
		return answered, resumed
	}
	if _, n := connect(); n != 0 {
		t.Fatalf("%d sessions resumed that never were", n)
	}
	pid := s.pid()
	for range 2 {
		pid = s.handover(pid)
		if _, n := connect(); n != len(caches) {
			t.Errorf("after a handover %d of %d sessions resumed", n, len(caches))
		}
	}
	s.plan("serving 300ms exit2")
	mark := s.mark()
	s.signal(pid, 1)
	s.waitAfter(mark, "handing over -> standing by")
	answered, _ := connect() // with tickets of the new process, which dies meanwhile on a slow machine
	s.waitAfter(mark, "undo, to blame")
	if _, n := connect(); n < answered { // a client forgets a session that it could not resume
		t.Errorf("after the way back %d of %d sessions resumed", n, answered)
	}
}
