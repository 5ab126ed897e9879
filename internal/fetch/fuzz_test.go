package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/text"
)

// R04: whatever bytes a server puts into its status line, its headers and its body, what is kept of them is text, and short.
func FuzzR04Answer(f *testing.F) {
	f.Add("200 OK", "ETag", "\"\xff\"", "x")
	f.Add("200 OK", "ETag", `W/"`+strings.Repeat("x", 300)+`"`, "x")
	f.Add("206 Partial Content", "Content-Range", "bytes 1-\xff/2", "x")
	f.Add("304 Not Modified", "ETag", `"a"`, "")
	f.Add("302 Found", "Location", "http://\xff\u202e/?sig=secret", "")
	f.Add("301 Moved", "Location", "https://u:p@h/\u2066", "")
	f.Add("503 \xff\x1b[2J", "Retry-After", "18446744073709551616", "")
	f.Add("429 ", "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", "")
	f.Add("200 OK", "Content-Encoding", "br\u202e\xff", "x")
	f.Add("\xff", "\x00", "\n", "\r\n")
	f.Fuzz(func(t *testing.T, status, header, value, body string) {
		c := &Client{Sources: []string{"http://127.0.0.1"}, Stall: time.Second}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		transport := c.sources[0].(*site).web.client.Transport.(*http.Transport)
		defer transport.CloseIdleConnections()
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
					fmt.Fprintf(server, "HTTP/1.1 %s\r\n%s: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, header, value, len(body), body)
				}
			}()
			return client, nil
		}
		refused := errors.New("not a document")
		res, err := c.Document(t.Context(), "stable", 1<<10, &Validator{Source: "http://127.0.0.1", ETag: value}, func(b []byte) error {
			if len(b) > 1<<10 {
				t.Fatal("above the cap")
			}
			if strings.HasPrefix(string(b), "x") {
				return nil
			}
			return refused
		})
		for _, a := range res.Failed {
			if text.Of(a.Error.String()) != a.Error {
				t.Fatalf("%q", a.Error)
			}
		}
		if err != nil && (!text.Honest(err.Error(), "") || len(err.Error()) > 4<<10) {
			t.Fatalf("%q", err)
		}
		tag := res.Validator.ETag
		if len(tag) > maxETag || validETag(tag) != tag || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("%q", tag)
		}
		if res.RetryAfter < 0 || res.RetryAfter > maxRetryAfter {
			t.Fatal(res.RetryAfter)
		}
	})
}
