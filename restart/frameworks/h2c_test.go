package frameworks

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"github.com/theseus-go/theseus/restart/internal/conn"
)

// An h2cBench is a server with one client.
type h2cBench struct {
	t      *testing.T
	gate   *conn.Gate
	server *conn.Server
	client net.Conn
}

func serveH2C(t *testing.T, srv *http.Server) *h2cBench {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &h2cBench{t: t, gate: conn.NewGate(ln, "tcp x")}
	b.gate.Resume()
	b.server = conn.NewServer(b.gate, srv, nil, make(chan struct{}), func(text string) { t.Error(text) })
	b.server.Serve(func(err error) { t.Error(err) })
	if b.client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	b.client.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { b.client.Close(); srv.Close(); b.gate.Close() })
	return b
}

func (b *h2cBench) drain() <-chan []string {
	ended := make(chan []string, 1)
	b.gate.Release()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- b.server.Drain(ctx, 100*time.Millisecond, nil, nil)
	}()
	return ended
}

// TestH2CHandler: HTTP/2 that a handler speaks on a hijacked connection, by prior knowledge or after an upgrade, is told to
// go elsewhere, and its streams are finished.
func TestH2CHandler(t *testing.T) {
	for _, configured := range []bool{false, true} {
		for _, upgrade := range []bool{false, true} {
			t.Run(fmt.Sprintf("configured %v, upgrade %v", configured, upgrade), func(t *testing.T) {
				began, goOn := make(chan struct{}), make(chan struct{})
				h2s := &http2.Server{}
				srv := &http.Server{}
				if configured {
					if err := http2.ConfigureServer(srv, h2s); err != nil {
						t.Fatal(err)
					}
				}
				srv.Handler = h2c.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					close(began)
					<-goOn
					io.WriteString(w, r.Proto)
				}), h2s)
				b := serveH2C(t, srv)
				c := b.client
				sawGoAway, answered := make(chan struct{}), make(chan error, 1)
				if upgrade {
					io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n\r\n")
					line := make([]byte, len("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))
					if _, err := io.ReadFull(c, line); err != nil || !strings.HasPrefix(string(line), "HTTP/1.1 101 ") {
						t.Fatalf("%q, %v", line, err)
					}
				}
				io.WriteString(c, http2.ClientPreface)
				fr := http2.NewFramer(c, c)
				fr.WriteSettings()
				if !upgrade {
					// :method GET, :scheme http, :path /, :authority x
					fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82, 0x86, 0x84, 0x41, 1, 'x'}, EndStream: true, EndHeaders: true})
				}
				go func() {
					goAway := false
					for {
						f, err := fr.ReadFrame()
						if err != nil {
							answered <- err
							return
						}
						switch f := f.(type) {
						case *http2.PingFrame:
							if !f.IsAck() {
								fr.WritePing(true, f.Data)
							}
						case *http2.GoAwayFrame:
							if !goAway {
								goAway = true
								close(sawGoAway)
							}
						case *http2.DataFrame:
							if f.StreamEnded() {
								answered <- nil
								return
							}
						}
					}
				}()
				<-began
				ended := b.drain()
				<-sawGoAway
				close(goOn)
				if err := <-answered; err != nil {
					t.Errorf("the stream in flight: %v", err)
				}
				c.Close()
				if cut := <-ended; cut != nil {
					t.Errorf("cut %v", cut)
				}
			})
		}
	}
}
