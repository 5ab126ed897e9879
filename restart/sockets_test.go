//go:build linux

package restart_test

import (
	"bufio"
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

// answersAs reports who answers at an address: the process, and the number of its listener.
func answersAs(network, address string) (pid, number int, err error) {
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	_, body, err := (&client{Conn: c, r: bufio.NewReader(c)}).do("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if err == nil {
		_, err = fmt.Sscan(body, &pid, &number)
	}
	return pid, number, err
}

// TestSocketsOfOneName: systemd gives all sockets of a unit one name. Each finds its own server again, over handovers, and
// one that nobody has asked for is closed and named with its address.
func TestSocketsOfOneName(t *testing.T) {
	t.Parallel()
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
	var paths []string
	var files []*os.File
	for n := range 4 {
		path := filepath.Join(s.dir, fmt.Sprint(n))
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
		if err != nil {
			t.Fatal(err)
		}
		ln.SetUnlinkOnClose(false)
		f, err := ln.File()
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		defer f.Close()
		paths, files = append(paths, path), append(files, f)
	}
	s.cmd = exec.Command("/bin/sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=4 LISTEN_FDNAMES=web:admin:web:web exec "+os.Args[0])
	s.cmd.ExtraFiles = files
	s.launch(config{Probation: 50 * time.Millisecond, More: []string{"fd web", "fd admin", "fd web"}})
	if _, line := s.wait("event downgrade"); !strings.Contains(line, "web (unix "+paths[3]+")") {
		t.Errorf("of the socket that nobody uses the log says %q", line)
	}
	pid := s.pid()
	for range 3 {
		for number, path := range paths[:3] {
			if p, n, err := answersAs("unix", path); err != nil || p != pid || n != number {
				t.Errorf("socket %d: listener %d of process %d answers (%v), want process %d", number, n, p, err, pid)
			}
		}
		pid = s.handover(pid)
	}
}

// TestSocketsOnPortZero: several listeners that were asked for in the same way keep their ports.
func TestSocketsOnPortZero(t *testing.T) {
	t.Parallel()
	s := startService(t, config{Probation: 50 * time.Millisecond, More: []string{"tcp 127.0.0.1:0", "tcp 127.0.0.1:0", "tcp 127.0.0.1:0"}})
	var addresses []string
	for n := range 3 {
		_, line := s.wait(fmt.Sprintf("more %d: ", n))
		addresses = append(addresses, line[strings.LastIndex(line, " ")+1:])
	}
	pid := s.pid()
	for range 3 {
		for number, address := range addresses {
			if p, n, err := answersAs("tcp", address); err != nil || p != pid || n != number {
				t.Errorf("socket %d: listener %d of process %d answers (%v), want process %d", number, n, p, err, pid)
			}
		}
		pid = s.handover(pid)
	}
}

// TestAnotherSpelling: the next version may call the same address by another name.
func TestAnotherSpelling(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			c := config{Network: network, Probation: 50 * time.Millisecond}
			if network == "tcp" {
				c.Address = testenv.Port(t)
				_, port, _ := net.SplitHostPort(c.Address)
				c.Respelled = "localhost:" + port
			} else {
				dir := t.TempDir()
				c.Address, c.Respelled = dir+"/s", dir+"/../"+filepath.Base(dir)+"/s"
			}
			s := startService(t, c)
			l := startLoad(s, 4, 2, 2*time.Millisecond)
			pid := s.pid()
			for range 3 {
				pid = s.handover(pid)
			}
			s.serves(pid)
			l.end()
			if n := l.failed.Load() + l.reconnects.Load(); n > 0 {
				t.Errorf("%d requests failed or had to connect again: %v", n, l.errs)
			}
		})
	}
	// Not the same address, but one that cannot be opened beside it.
	t.Run("in the way", func(t *testing.T) {
		t.Parallel()
		c := config{Network: "tcp", Address: testenv.Port(t), Probation: 50 * time.Millisecond}
		_, port, _ := net.SplitHostPort(c.Address)
		c.Respelled = ":" + port
		s := startService(t, c)
		s.signal(s.pid(), syscall.SIGHUP)
		if _, line := s.wait("fatal"); !strings.Contains(line, "the process before this one listens on tcp "+c.Address) {
			t.Errorf("the new process says %q", line)
		}
		s.wait("undo, to blame")
		s.serves(s.pid())
	})
}

// TestSocketNotTakenOver: as long as the new version is on probation the old one accepts on the sockets that the new one
// does not use; then they are closed, and the log names them.
func TestSocketNotTakenOver(t *testing.T) {
	t.Parallel()
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
	s.exe = os.Args[0]
	dropped := filepath.Join(s.dir, "dropped")
	s.launch(config{Probation: time.Second, More: []string{"unix " + dropped}, Fewer: true})
	mark := s.mark()
	s.signal(s.pid(), syscall.SIGHUP)
	s.waitAfter(mark, "handing over -> standing by")
	if pid, _, err := answersAs("unix", dropped); err != nil || pid != s.pid() {
		t.Errorf("during probation %d answers (%v), want %d", pid, err, s.pid())
	}
	next, line := s.waitAfter(mark, "event downgrade")
	if !strings.Contains(line, "unix "+dropped) {
		t.Errorf("the log says %q", line)
	}
	s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", s.pid()))
	s.serves(next)
	if _, _, err := answersAs("unix", dropped); err == nil {
		t.Error("the socket is still served")
	}
}
