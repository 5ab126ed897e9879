package conn

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkHTTP2 is one request after the other, and many at once, on one connection without TLS: with what follows the
// frames for a farewell, and without it. A machine's speed drifts, so run it several times and compare pairs:
//
//	for i in $(seq 10); do go test ./restart/internal/conn -run '^$' -bench HTTP2; done
func BenchmarkHTTP2(b *testing.B) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	start := func(b *testing.B, wrapped bool) (*http.Client, string) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
		})}
		b.Cleanup(func() { srv.Close() })
		if wrapped {
			g := NewGate(ln, "bench")
			g.Resume()
			NewServer(g, srv, nil, nil, func(text string) { b.Error(text) }).Serve(func(err error) { b.Error(err) })
		} else {
			go srv.Serve(ln)
		}
		client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
		b.Cleanup(client.CloseIdleConnections)
		return client, "http://" + ln.Addr().String()
	}
	ask := func(b *testing.B, client *http.Client, url string) {
		res, err := client.Post(url, "text/plain", strings.NewReader("hello"))
		if err != nil {
			b.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "hello" {
			b.Fatalf("%q, %v", body, err)
		}
		res.Body.Close()
	}
	for _, load := range []struct {
		name string
		run  func(*testing.B, *http.Client, string)
	}{
		{"serial", func(b *testing.B, client *http.Client, url string) {
			for b.Loop() {
				ask(b, client, url)
			}
		}},
		{"parallel", func(b *testing.B, client *http.Client, url string) {
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ask(b, client, url)
				}
			})
		}},
	} {
		for _, kind := range []string{"plain", "wrapped"} {
			b.Run(load.name+"/"+kind, func(b *testing.B) {
				client, url := start(b, kind == "wrapped")
				ask(b, client, url)
				b.ReportAllocs()
				b.ResetTimer()
				load.run(b, client, url)
			})
		}
	}
}
