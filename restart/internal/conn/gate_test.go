package conn

import (
	"errors"
	"net"
	"testing"
)

// TestCloseAfterRelease: servers close their listener when they are told to end, which is after the handover. One that
// gets an error for it (fasthttp) would not wait for its requests.
func TestCloseAfterRelease(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := NewGate(ln, "")
	g.Resume()
	ended := make(chan error)
	go func() {
		_, err := g.Accept()
		ended <- err
	}()
	g.Release()
	for range 2 {
		if err := g.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
