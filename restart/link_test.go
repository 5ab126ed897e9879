//go:build unix

package restart

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns both ends of a link, the predecessor's first. Neither listens yet.
func pair(t *testing.T) (ours, theirs *link) {
	t.Helper()
	ours, f, err := newLink()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = openLink(f, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

func takeAll(string, net.Conn) bool  { return true }
func takeNone(string, net.Conn) bool { return false }

// TestLinkNeverWaitsForItsReader: the goroutine that decides says what it has to say, however much that is and whether or
// not the other process reads; and that gets all of it, in order, and nothing before it has made itself known.
func TestLinkNeverWaitsForItsReader(t *testing.T) {
	ours, theirs := pair(t)
	const messages = 10_000 // 5 MB, more than any socket buffer
	for n := range messages {
		ours.say(msgServer, fmt.Sprint(n))
	}
	theirs.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := theirs.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("before hello the successor has got %d bytes (%v)", n, err)
	}
	theirs.conn.SetReadDeadline(time.Time{})
	heard := make(chan string, messages)
	go theirs.listen(func(_ byte, text string) { heard <- text }, takeNone)
	theirs.say(msgHello, "1")
	go ours.listen(func(kind byte, _ string) {
		if kind == msgHello {
			ours.release()
		}
	}, takeNone)
	for n := range messages {
		select {
		case got := <-heard:
			if got != fmt.Sprint(n) {
				t.Fatalf("message %d is %s", n, got)
			}
		case <-time.After(time.Minute):
			t.Fatalf("only %d messages came", n)
		}
	}
}

// connection returns a connection to be passed, and its other end.
func connection(t *testing.T) (c *net.TCPConn, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); nc.Close() })
	return nc.(*net.TCPConn), client
}

// TestLinkConfirms: a connection is its sender's until the receiver says that it has it; one that it does not take, that
// the kernel drops or that is never read comes back.
func TestLinkConfirms(t *testing.T) {
	for _, row := range []struct {
		name  string
		adopt func(string, net.Conn) bool
		do    func(t *testing.T, theirs *link)
		taken bool
	}{
		{"taken", takeAll, nil, true},
		{"refused", takeNone, nil, false},
		{"the receiver ends before it reads", nil, func(_ *testing.T, theirs *link) { theirs.Close() }, false},
		{"the receiver has no descriptors left", takeAll, func(t *testing.T, _ *link) {
			var l syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
				t.Fatal(err)
			}
			none := l
			none.Cur = 0
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) })
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			ours, theirs := pair(t)
			ours.release()
			known := make(chan struct{})
			go ours.listen(func(byte, string) { close(known) }, takeNone)
			theirs.say(msgVersion, ourAbilities)
			theirs.say(msgHello, "1")
			<-known
			if !ours.can(confirms) || ours.can("fly") {
				t.Fatal("the other side's abilities were not heard")
			}
			c, client := connection(t)
			if row.do != nil {
				row.do(t, theirs)
			}
			got := make(chan string, 1)
			if row.adopt != nil {
				go theirs.listen(func(byte, string) {}, func(key string, c net.Conn) bool {
					got <- key
					return row.adopt(key, c)
				})
			}
			err := ours.pass("tcp some key", c)
			if row.taken != (err == nil) {
				t.Fatalf("taken: %v, want %v (%v)", err == nil, row.taken, err)
			}
			if row.taken {
				if key := <-got; key != "tcp some key" {
					t.Errorf("adopted for %q", key)
				}
			}
			if !row.taken { // it is as it was
				fmt.Fprint(client, "x")
				c.SetDeadline(time.Now().Add(time.Minute))
				if n, err := c.Read(make([]byte, 9)); n != 1 || err != nil {
					t.Errorf("after coming back: %d bytes, %v", n, err)
				}
			}
		})
	}
}

// TestLinkToTheFirstVersion: it cannot confirm, so a connection counts as taken when it is sent.
func TestLinkToTheFirstVersion(t *testing.T) {
	ours, theirs := pair(t)
	ours.release()
	c, _ := connection(t)
	if err := ours.pass("key", c); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go theirs.listen(func(byte, string) {}, func(key string, _ net.Conn) bool { got <- key; return true })
	if key := <-got; key != "key" {
		t.Errorf("adopted for %q", key)
	}
}

// TestLinkKeepsSocketOptions: what the program has set on a connection is set in the other process, and here if it comes
// back.
func TestLinkKeepsSocketOptions(t *testing.T) {
	for _, row := range []struct {
		name  string
		adopt bool
		set   func(c *net.TCPConn) error
	}{
		{"Nagle's algorithm", true, func(c *net.TCPConn) error { return c.SetNoDelay(false) }},
		{"no keep-alive", true, func(c *net.TCPConn) error { return c.SetKeepAlive(false) }},
		{"keep-alive of its own", true, func(c *net.TCPConn) error {
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second, Interval: 7 * time.Second, Count: 3})
		}},
		{"nothing", true, func(*net.TCPConn) error { return nil }},
		{"comes back", false, func(c *net.TCPConn) error { return errors.Join(c.SetNoDelay(false), c.SetKeepAlive(false)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			ours, theirs := pair(t)
			ours.release()
			known := make(chan struct{})
			go ours.listen(func(byte, string) { close(known) }, takeNone)
			theirs.say(msgVersion, ourAbilities)
			theirs.say(msgHello, "1")
			<-known
			c, _ := connection(t)
			if err := row.set(c); err != nil {
				t.Fatal(err)
			}
			want := optionsOf(t, c)
			got := make(chan net.Conn, 1)
			go theirs.listen(func(byte, string) {}, func(_ string, c net.Conn) bool {
				if row.adopt {
					got <- c
				}
				return row.adopt
			})
			if err := ours.pass("key", c); row.adopt != (err == nil) {
				t.Fatalf("passing: %v", err)
			}
			now := c
			if row.adopt {
				now = (<-got).(*net.TCPConn)
				defer now.Close()
			}
			if options := optionsOf(t, now); options != want {
				t.Errorf("the options were %s, and are %s", want, options)
			}
		})
	}
}

// optionsOf returns the options of a connection that package net sets.
func optionsOf(t *testing.T, c *net.TCPConn) (options string) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) {
		for _, o := range resetByNet {
			var v int
			if v, err = unix.GetsockoptInt(int(fd), o.level, o.name); err != nil {
				return
			}
			options += fmt.Sprintf(" %d/%d=%d", o.level, o.name, v)
		}
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return options
}
