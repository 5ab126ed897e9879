//go:build unix

package conn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// TestHooksSeeTheConnection: a program that looks at its connections (who is at the other end of the unix socket?) finds
// them as it would without this package.
func TestHooksSeeTheConnection(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			ln, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			g := NewGate(ln, network)
			g.Resume()
			seen := make(chan string, 8)
			srv := &http.Server{
				ConnContext: func(ctx context.Context, c net.Conn) context.Context { seen <- fmt.Sprintf("%T", c); return ctx },
				ConnState:   func(c net.Conn, _ http.ConnState) { seen <- fmt.Sprintf("%T", c) },
				Handler:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}),
			}
			s := NewServer(g, srv, nil, nil, func(string) {})
			s.Serve(func(err error) { t.Error(err) })
			defer srv.Close()
			defer g.Close()
			c, err := net.Dial(network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			want := fmt.Sprintf("%T", c)
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
				t.Fatal(err)
			}
			for range 4 { // ConnContext, and the states new, active and idle
				if got := <-seen; got != want {
					t.Errorf("a hook sees a %s, want %s", got, want)
				}
			}
		})
	}
}
