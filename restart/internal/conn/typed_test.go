//go:build linux

package conn

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"
)

// kinds opens one socket of each kind that Listen and ListenPacket take.
func kinds(t *testing.T, listeners func(name string, raw net.Listener), packets func(name string, raw net.PacketConn)) {
	t.Helper()
	for _, k := range []struct{ network, address string }{
		{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "s")}, {"unixpacket", filepath.Join(t.TempDir(), "s")},
	} {
		ln, err := net.Listen(k.network, k.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		listeners(k.network, ln)
	}
	for _, k := range []struct{ network, address string }{
		{"udp", "127.0.0.1:0"}, {"unixgram", filepath.Join(t.TempDir(), "s")}, {"ip4:253", "127.0.0.1"},
	} {
		if k.network == "ip4:253" && os.Geteuid() != 0 {
			continue // raw sockets are root's
		}
		c, err := net.ListenPacket(k.network, k.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		packets(k.network, c)
	}
}

// TestTypedHidesNothing: what a program gets has every method of what is wrapped.
func TestTypedHidesNothing(t *testing.T) {
	check := func(name string, raw, typed any) {
		has := map[string]reflect.Type{}
		for m := range reflect.TypeOf(typed).Methods() {
			has[m.Name] = reflect.ValueOf(typed).MethodByName(m.Name).Type()
		}
		for m := range reflect.TypeOf(raw).Methods() {
			if want := reflect.ValueOf(raw).MethodByName(m.Name).Type(); has[m.Name] != want {
				t.Errorf("%s: %T has no method %s %v", name, typed, m.Name, want)
			}
		}
	}
	kinds(t, func(name string, raw net.Listener) {
		check(name, raw, NewGate(raw, "").Typed())
	}, func(name string, raw net.PacketConn) {
		g, err := NewPacketGate(raw)
		if err != nil {
			t.Fatal(err)
		}
		check(name, raw, g.Typed())
	})
}

// TestDeadlineWhileParked: whoever ends a server by a deadline (miekg/dns, quic-go) is not kept by a parked read; and
// without a deadline nothing returns.
func TestDeadlineWhileParked(t *testing.T) {
	try := func(t *testing.T, setDeadline func(time.Time) error, call func() error, raw syscall.Conn) {
		t.Helper()
		calls := map[string]func() error{"call": call, "raw read": func() error {
			rc, err := raw.SyscallConn()
			if err != nil {
				return err
			}
			return rc.Read(func(uintptr) bool { return false })
		}}
		for name, call := range calls {
			if err := setDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- call() }()
			select {
			case err := <-ended:
				t.Fatalf("the parked %s returned %v", name, err)
			case <-time.After(20 * time.Millisecond):
			}
			for _, d := range []time.Duration{20 * time.Millisecond, -time.Second} { // one that is to come, one that has passed
				if err := setDeadline(time.Now().Add(d)); err != nil {
					t.Fatal(err)
				}
				var timeout net.Error
				if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("%s at the deadline: %v", name, err)
				}
				go func() { ended <- call() }()
			}
			<-ended
		}
	}
	kinds(t, func(name string, raw net.Listener) {
		t.Run(name, func(t *testing.T) {
			g := NewGate(raw, "")
			ln := g.Typed().(interface {
				net.Listener
				syscall.Conn
				SetDeadline(time.Time) error
			})
			accept := func() error { _, err := ln.Accept(); return err }
			try(t, ln.SetDeadline, accept, ln)
			g.Resume()
			ln.SetDeadline(time.Now().Add(20 * time.Millisecond))
			if err := accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Accept at a deadline: %v", err)
			}
		})
	}, func(name string, raw net.PacketConn) {
		t.Run(name, func(t *testing.T) {
			g, err := NewPacketGate(raw)
			if err != nil {
				t.Fatal(err)
			}
			c := g.Typed()
			read := func() error { _, _, err := c.ReadFrom(make([]byte, 10)); return err }
			try(t, c.SetReadDeadline, read, c.(syscall.Conn))
			try(t, c.SetReadDeadline, func() error { _, err := c.(net.Conn).Read(make([]byte, 10)); return err }, c.(syscall.Conn))
			if u, ok := c.(*UDPGate); ok {
				try(t, c.SetReadDeadline, func() error { _, _, _, _, err := u.ReadMsgUDP(make([]byte, 10), nil); return err }, u)
				c.SetReadDeadline(time.Time{})
				g.Resume()
				if _, err := u.WriteTo([]byte("x"), u.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				if n, _, _, _, err := u.ReadMsgUDP(make([]byte, 10), nil); n != 1 || err != nil {
					t.Errorf("ReadMsgUDP: %d, %v", n, err)
				}
			}
		})
	})
}
