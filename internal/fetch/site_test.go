package fetch

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func serveTLS(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// caFile writes certificates as an operator gets them.
func caFile(t *testing.T, der ...[]byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	var b []byte
	for _, d := range der {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d})...)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// expired is a certificate for 127.0.0.1 that was good once.
func expired(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func get(t *testing.T, c *Client) error {
	t.Helper()
	_, err := c.Document(t.Context(), "stable", 100, nil, want("text"))
	return err
}

func TestN04TLS(t *testing.T) {
	requests := atomic.Int64{}
	s := serveTLS(t, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); fmt.Fprint(w, "text") })
	ca := caFile(t, s.Certificate().Raw)

	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	old.TLS = &tls.Config{Certificates: []tls.Certificate{expired(t)}}
	old.Config.ErrorLog = quiet
	old.StartTLS()
	t.Cleanup(old.Close)

	for _, test := range []struct {
		name, source, ca string
		says             string
	}{
		{"N04 self-signed", s.URL, "", "authority"},
		{"N04 wrong host", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), ca, "another host name"},
		{"N04 expired", old.URL, caFile(t, old.TLS.Certificates[0].Certificate[0]), "clock"},
		{"N04 no TLS at all", "https" + strings.TrimPrefix(serve(t, answer("text")), "http"), "", "does not speak TLS"},
	} {
		err := get(t, &Client{Sources: []string{test.source}, CAFile: test.ca})
		if !errors.Is(err, ErrTLS) || !strings.Contains(err.Error(), test.says) || !Unreachable(err) {
			t.Errorf("%s: error is %v", test.name, err)
		}
	}
	if requests.Load() != 0 {
		t.Errorf("N04 %d requests were sent to servers that are not authenticated", requests.Load())
	}
	if err := get(t, &Client{Sources: []string{s.URL}, CAFile: ca}); err != nil {
		t.Errorf("with the CA file: %v", err)
	}
	if err := get(t, &Client{Sources: []string{s.URL}, HTTP: s.Client()}); err != nil {
		t.Errorf("with an own client: %v", err)
	}
}

func TestCAFile(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Client{
		{CAFile: empty},
		{CAFile: filepath.Join(t.TempDir(), "missing.pem")},
		{CAFile: empty, HTTP: http.DefaultClient},
	} {
		c.Sources = []string{"https://dl.example.com"}
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), "CA file") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestN02Downgrade(t *testing.T) {
	plain := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("N02 the redirect was followed") })
	for _, location := range []string{plain + "/stable", "http://dl.example.com/stable?X-Signature=hunter2", "//bob:hunter2@127.0.0.1/", "file:///etc/hostname", "ftp://127.0.0.1/"} {
		s := serveTLS(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, location, http.StatusFound) })
		for _, allow := range []bool{false, true} {
			err := get(t, &Client{Sources: []string{s.URL}, CAFile: caFile(t, s.Certificate().Raw), AllowHTTP: allow})
			if !errors.Is(err, ErrInsecure) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("N02 redirect to %s: error is %v", location, err)
			}
		}
	}
	// From http of this machine to http of another one.
	source := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://dl.example.com/", http.StatusFound)
	})
	if err := get(t, &Client{Sources: []string{source}}); !errors.Is(err, ErrInsecure) {
		t.Errorf("N02 error is %v", err)
	}
}

// N05: plain http of another machine needs to be allowed by name, and then works.
func TestN05PlainHTTP(t *testing.T) {
	source := serve(t, answer("text"))
	c := &Client{Sources: []string{"http://dl.example.com"}}
	if err := get(t, c); !errors.Is(err, ErrInsecure) {
		t.Errorf("N05 error is %v", err)
	}
	c = &Client{Sources: []string{"http://dl.example.com"}, AllowHTTP: true}
	resolve(t, c, map[string]string{"dl.example.com:80": source})
	if err := get(t, c); err != nil {
		t.Errorf("N05 %v", err)
	}
}

// resolve lets a client's connections to some hosts end at local servers, as if at a public address.
func resolve(t *testing.T, c *Client, servers map[string]string) {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	transport := c.sources[0].(*site).web.client.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		server, ok := servers[addr]
		if !ok {
			return dial(ctx, network, addr)
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
		return publicConn{conn}, err
	}
}

type publicConn struct{ net.Conn }

func (publicConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 80} }

func TestN03Redirects(t *testing.T) {
	t.Run("N03 loop", func(t *testing.T) {
		requests := 0
		source := serve(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		})
		if err := get(t, &Client{Sources: []string{source}}); !errors.Is(err, ErrInsecure) || requests != 1+maxRedirects {
			t.Errorf("%d requests: %v", requests, err)
		}
	})
	t.Run("N03 five are followed, to other hosts, without a Referer or credentials", func(t *testing.T) {
		other := serve(t, func(w http.ResponseWriter, r *http.Request) {
			for _, h := range []string{"Referer", "Authorization", "Cookie"} {
				if v := r.Header.Get(h); v != "" {
					t.Errorf("%s is %q", h, v)
				}
			}
			if !strings.HasSuffix(r.URL.Path, "xxxx") {
				http.Redirect(w, r, r.URL.Path+"x", http.StatusTemporaryRedirect)
				return
			}
			fmt.Fprint(w, "text")
		})
		source := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, other, http.StatusFound)
		})
		if err := get(t, &Client{Sources: []string{source}}); err != nil {
			t.Error(err)
		}
	})
	lookup(t)
	victim := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("N03 the victim was asked") })
	victimPort := victim[strings.LastIndex(victim, ":"):]
	location := ""
	source := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, location, http.StatusFound) })
	for _, host := range []string{
		"127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "localhost", "LOCALHOST", "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]",
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.100.100.200", "[::ffff:100.64.0.1]", "224.0.0.1",
		"inner.example.com", // not known without a lookup
	} {
		location = "http://" + host + victimPort + "/latest/meta-data"
		c := &Client{Sources: []string{"http://dl.example.com"}, AllowHTTP: true}
		resolve(t, c, map[string]string{"dl.example.com:80": source})
		if err := get(t, c); !errors.Is(err, ErrInsecure) {
			t.Errorf("N03 redirect from a public host to %s: error is %v", host, err)
		}
	}
	t.Run("N03 with an own client, literal addresses", func(t *testing.T) {
		location = victim
		c := &Client{Sources: []string{"http://dl.example.com"}, AllowHTTP: true, HTTP: &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext}}}
		resolve(t, c, map[string]string{"dl.example.com:80": source})
		if err := get(t, c); !errors.Is(err, ErrInsecure) {
			t.Error(err)
		}
	})
	t.Run("N03 inside may stay inside", func(t *testing.T) {
		location = serve(t, answer("text")) + "/stable"
		if err := get(t, &Client{Sources: []string{source}}); err != nil {
			t.Error(err)
		}
		c := &Client{Sources: []string{strings.Replace(source, "127.0.0.1", "inner.example.com", 1)}, AllowHTTP: true}
		if err := get(t, c); err != nil { // a name that resolves to an inner address
			t.Error(err)
		}
	})
	t.Run("N03 public to public", func(t *testing.T) {
		location = "http://cdn.example.com/stable"
		c := &Client{Sources: []string{"http://dl.example.com"}, AllowHTTP: true}
		resolve(t, c, map[string]string{"dl.example.com:80": source, "cdn.example.com:80": serve(t, answer("text"))})
		if err := get(t, c); err != nil {
			t.Error(err)
		}
	})
}

// lookup makes every host name that the test looks up one of 127.0.0.1, except in .invalid, by a DNS server of its own.
func lookup(t *testing.T) {
	t.Helper()
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for { // RFC 1035 §4.2.2: two bytes of length before each message
				size := make([]byte, 2)
				if _, err := io.ReadFull(server, size); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(size))
				if _, err := io.ReadFull(server, q); err != nil {
					return
				}
				end := 12 + bytes.IndexByte(q[12:], 0) + 5 // the header, the name, its type and class
				a := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
				switch {
				case bytes.Contains(q, []byte("\x07invalid\x00")):
					a[3] |= 3 // no such name
				case q[end-3] == 1: // type A
					a[7] = 1
					a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 1)
				}
				server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
		}()
		return client, nil
	}}
}

func TestN08NoCompression(t *testing.T) {
	source := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "text") // if anything unpacked it, it would fail
	})
	for _, client := range []*http.Client{nil, {Transport: &http.Transport{}}} {
		if err := get(t, &Client{Sources: []string{source}, HTTP: client}); err != nil {
			t.Error(err)
		}
	}
	_, err := (&Client{Sources: []string{source}}).Document(t.Context(), "stable", 100, nil, want("other"))
	if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), `Content-Encoding "gzip"`) {
		t.Errorf("error is %v", err)
	}
}

// N12: the environment's proxy is used; it can withhold, and an error about it does not repeat its password.
func TestN12Proxy(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "dl.example.com" && r.Header.Get("Proxy-Authorization") != "" {
			fmt.Fprint(w, "through the proxy")
		}
	})
	authorized := strings.Replace(proxy, "http://", "http://bob:hunter2@", 1)
	for _, test := range []struct{ name, source, proxy, says string }{
		{"N12 used", "http://dl.example.com", authorized, "got through the proxy"},
		{"N12 unreachable", "http://dl.example.com", strings.Replace(closed(t), "http://", "http://bob:hunter2@", 1), "the proxy cannot be reached"},
		{"N12 not for this machine", serve(t, answer("direct")), authorized, "got direct"},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{"FETCH_TEST_CHILD=" + test.source, "HTTP_PROXY=" + test.proxy, "GOCOVERDIR=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), test.says) || strings.Contains(string(out), "hunter2") {
			t.Errorf("%s: %v, %s", test.name, err, out)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	lookup(t)
	secret := "/stable?X-Amz-Signature=hunter2"
	for name, test := range map[string]struct {
		source string
		says   string
	}{
		"refused":                {closed(t), "nothing listens there (127.0.0.1:"},
		"refused after redirect": {serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, closed(t)+secret, http.StatusFound) }), "nothing listens"},
		"unknown host":           {"https://no-such-host.invalid", `"no-such-host.invalid"`},
		"control characters":     {raw(t, "HTTP/1.1 200 OK\r\n\x1b[31mX\r\n\r\n"), "MIME"},
		"no HTTP":                {raw(t, "\x1b]0;hello\x07\r\n\r\n"), "HTTP"},
		"huge headers":           {raw(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxHeader)), "header"},
		"bad redirect":           {raw(t, "HTTP/1.1 302 Found\r\nLocation: http://%zz"+secret+"\r\nContent-Length: 0\r\n\r\n"), "Location"},
		"redirect to nowhere":    {raw(t, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "302 Found"},
		"own status text":        {raw(t, "HTTP/1.1 599 \x1b[31mhacked\r\nContent-Length: 0\r\n\r\n"), "599"},
		"not found":              {serve(t, status(404)), "404 Not Found"},
		"forbidden":              {serve(t, status(403)), "no credentials"},
		"unauthorized":           {serve(t, status(401)), "no credentials"},
		"proxy":                  {serve(t, status(407)), "HTTPS_PROXY"},
	} {
		err := get(t, &Client{Sources: []string{test.source}})
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "fetching stable from "+test.source) {
			t.Errorf("%s: error is %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.ContainsAny(err.Error(), "\x1b\x07\r\n") || len(err.Error()) > 500 {
			t.Errorf("%s: error is %q", name, err)
		}
		if !Unreachable(err) {
			t.Errorf("%s: not unreachable: %v", name, err)
		}
		t.Log(err)
	}
	if got := plain("a\x1b[31m\r\nb\u202e https://x/y?sig=hunter2 c"); got != "a [31m b https://x/y c" {
		t.Errorf("plain text is %q", got)
	}
	if e := error(&url.Error{Op: "Get", URL: "https://x/" + secret, Err: errors.New("odd")}); strings.Contains(explain(t.Context(), e).Error(), "hunter2") {
		t.Error("the URL is repeated")
	}
}

// raw is a server that answers each connection with the same bytes, and closes it when it has read the request.
func raw(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			c.Write([]byte(text))
			c.(*net.TCPConn).CloseWrite()
		}
	}()
	return "http://" + l.Addr().String()
}

// R20: what leads to an IPv4 address is judged by it, so that a redirect cannot reach a private one in IPv6's clothes, and a
// network that has IPv6 only reaches public ones through its translator.
func TestR20Public(t *testing.T) {
	for ip, want := range map[string]bool{
		"198.51.100.7": true, "2606:4700::1": true, "::ffff:8.8.8.8": true,
		"::ffff:100.64.0.1": false, "100.127.255.255": false, "::ffff:127.0.0.1": false, "fe80::1%eth0": false,
		"169.254.169.254": false, "fd00:ec2::254": false, "0.0.0.0": false, "255.255.255.255": false,
		"64:ff9b::8.8.8.8": true, "64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::169.254.169.254": false,
		"64:ff9b::100.64.0.1": false, "64:ff9b::240.0.0.1": false, "64:ff9b::": false, "64:ff9b:1::8.8.8.8": false,
		"2002:808:808::1": true, "2002:7f00:1::": false, "2002:a00:1::1": false, "2002:a9fe:a9fe::": false, "2002:c0a8:101:5::1": false,
		"::8.8.8.8": true, "::10.0.0.1": false, "::169.254.169.254": false, "::1": false, "::": false, "::127.0.0.1": false,
		"240.0.0.1": false, "254.1.2.3": false, "0.1.2.3": false, "198.18.0.1": false, "192.0.0.8": false,
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "fec0::1": false, "100::1": false, "2001:4860:4860::8888": true,
	} {
		if got := public(netip.MustParseAddr(ip)); got != want {
			t.Errorf("R20 %s: public is %v", ip, got)
		}
	}
}
