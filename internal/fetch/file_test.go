package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/verify"
)

// ranges serves text with ranges and an ETag, as a good server does.
func ranges(text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(text)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	}
}

// chunked sends text without a length, and no ranges.
func chunked(text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		w.Write(text)
	}
}

// part sends text[from:] as a range that claims to begin at says.
func part(text []byte, says, from int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			w.Write(text)
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", says, says+len(text)-from-1, len(text)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(text[from:])
	}
}

func TestFile(t *testing.T) {
	good := randomBytes(200)
	flipped := bytes.Clone(good)
	flipped[150] ^= 1
	longer := append(bytes.Clone(good), 'x')
	for _, test := range []struct {
		name     string
		left     []byte // from an earlier process
		sources  []http.HandlerFunc
		err      error
		keeps    []byte // after an error
		requests []string
	}{
		{name: "plain", sources: []http.HandlerFunc{ranges(good)}, requests: []string{"0 "}},
		{name: "plain, without a length", sources: []http.HandlerFunc{chunked(good)}, requests: []string{"0 "}},
		{name: "already there", left: good, sources: []http.HandlerFunc{ranges(good)}},
		{name: "resumed after a process restart", left: good[:77], sources: []http.HandlerFunc{ranges(good)}, requests: []string{"0 bytes=77-"}},
		{name: "what is left is another file's beginning", left: flipped[:180], sources: []http.HandlerFunc{ranges(good)}, requests: []string{"0 bytes=180-", "0 "}},
		{name: "what is left is another file", left: flipped, sources: []http.HandlerFunc{ranges(good)}, requests: []string{"0 "}},
		{name: "what is left is longer", left: longer, sources: []http.HandlerFunc{ranges(good)}, requests: []string{"0 "}},

		{name: "A02 artifact swapped", sources: []http.HandlerFunc{ranges(flipped)}, err: ErrHash, requests: []string{"0 "}},
		{name: "A02 artifact swapped, in the resumed half", left: good[:100], sources: []http.HandlerFunc{ranges(flipped)}, err: ErrHash, requests: []string{"0 bytes=100-", "0 "}},
		{name: "A09 endless data: artifact", sources: []http.HandlerFunc{endless}, err: ErrSize, requests: []string{"0 "}},
		{name: "A09 endless data: the artifact and one byte", sources: []http.HandlerFunc{chunked(longer)}, err: ErrSize, requests: []string{"0 "}},
		{name: "A09 endless data: resumed", left: good[:100], sources: []http.HandlerFunc{endless}, err: ErrSize, requests: []string{"0 bytes=100-", "0 "}},
		{name: "A09 longer file keeps what was there", left: good[:100], sources: []http.HandlerFunc{ranges(longer)}, err: ErrSize, keeps: good[:100], requests: []string{"0 bytes=100-", "0 "}},
		{name: "A10 short file", sources: []http.HandlerFunc{ranges(good[:199])}, err: ErrSize, requests: []string{"0 "}},
		{name: "A10 short file, chunked", sources: []http.HandlerFunc{chunked(good[:199])}, err: ErrSize, keeps: good[:199],
			requests: []string{"0 bytes=0-", "0 bytes=199-", "0 bytes=199-", "0 bytes=199-", "0 bytes=199-"}},
		{name: "A17 malicious mirror", sources: []http.HandlerFunc{ranges(flipped), ranges(good)}, requests: []string{"0 ", "1 "}},
		{name: "A17 malicious mirror: it cannot cost what is there", left: good[:100], sources: []http.HandlerFunc{ranges(good[:50]), ranges(longer), status(500), part(good, 99, 99)},
			requests: []string{"0 bytes=100-", "0 ", "1 bytes=100-", "1 ", "2 bytes=100-", "3 bytes=100-", "3 "}},
		{name: "A17 malicious mirror: poisons the first half", sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Length", "200")
			w.Write(flipped[:160])
		}, ranges(good)}, requests: []string{"0 ", "0 bytes=160-", "1 bytes=160-", "1 "}},

		{name: "N07 range lies: another offset", left: good[:100], sources: []http.HandlerFunc{part(good, 90, 90)}, requests: []string{"0 bytes=100-", "0 "}},
		{name: "N07 range lies: nothing is given up for it", left: good[:100], sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				part(good, 90, 90)(w, r)
				return
			}
			w.WriteHeader(http.StatusNotFound)
		}}, err: ErrNotFound, keeps: good[:100], requests: []string{"0 bytes=100-", "0 "}},
		{name: "N07 range lies: right offset, other bytes", left: good[:100], sources: []http.HandlerFunc{part(good, 100, 90)}, requests: []string{"0 bytes=100-", "0 "}},
		{name: "N07 range lies: all of it as a part", left: good[:100], sources: []http.HandlerFunc{part(good, 0, 0)}, requests: []string{"0 bytes=100-"}},
		{name: "N07 range lies: no Content-Range", left: good[:100], sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusPartialContent)
			}
			w.Write(good)
		}}, requests: []string{"0 bytes=100-", "0 "}},
		{name: "N07 200 for Range", left: good[:100], sources: []http.HandlerFunc{answer(string(good))}, requests: []string{"0 bytes=100-"}},
		{name: "N07 416 for a range that exists", left: good[:100], sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			w.Write(good)
		}}, requests: []string{"0 bytes=100-", "0 "}},
		{name: "N08 Content-Encoding of the very bytes", sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip") // as servers say of files named .gz
			w.Write(good)
		}}, requests: []string{"0 "}},
		{name: "N08 Content-Encoding gzip", sources: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bytes.Repeat([]byte("z"), 200))
		}}, err: ErrHash, requests: []string{"0 "}},
		{name: "N06 404", sources: []http.HandlerFunc{status(404)}, err: ErrNotFound, left: good[:9], keeps: good[:9], requests: []string{"0 bytes=9-"}},
		{name: "N06 503", sources: []http.HandlerFunc{status(503), ranges(good)}, left: good[:9], requests: []string{"0 bytes=9-", "1 bytes=9-"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests []string
			c := &Client{}
			for i, h := range test.sources {
				c.Sources = append(c.Sources, serve(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Accept-Encoding") != "identity" {
						t.Errorf("N08 Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
					}
					requests = append(requests, fmt.Sprintf("%d %s", i, r.Header.Get("Range")))
					h(w, r)
				}))
			}
			if test.name == "A10 short file, chunked" {
				test.requests[0] = "0 "
			}
			dst := target(t, test.left)
			last := int64(-1)
			var res Result
			var err error
			n := allocated(func() {
				res, err = c.File(t.Context(), "files/a", verify.IDOf(good), dst, func(done, total int64) {
					if last = done; total != 200 || done > total {
						t.Errorf("progress is %d of %d", done, total)
					}
				})
			})
			if n > 8<<20 {
				t.Errorf("allocated %d bytes", n)
			}
			if fmt.Sprintf("%q", requests) != fmt.Sprintf("%q", test.requests) {
				t.Errorf("requests are %q, want %q", requests, test.requests)
			}
			if !errors.Is(err, test.err) {
				t.Fatalf("error is %v, want %v", err, test.err)
			}
			if strings.HasPrefix(test.name, "N08") && err != nil && !strings.Contains(err.Error(), `Content-Encoding "gzip"`) {
				t.Errorf("the error does not name the encoding: %v", err)
			}
			got := content(t, dst)
			if err != nil {
				if !bytes.Equal(got, test.keeps) {
					t.Errorf("%d bytes are left, want %d", len(got), len(test.keeps))
				}
				return
			}
			if !bytes.Equal(got, good) || last != 200 {
				t.Errorf("got %d bytes, the last progress was %d", len(got), last)
			}
			if at, err := dst.Seek(0, io.SeekCurrent); at != 0 || err != nil {
				t.Errorf("dst is at %d, %v", at, err)
			}
			if len(res.Failed) != len(c.Sources)-1 && len(test.requests) > 0 {
				t.Errorf("result is %+v", res)
			}
		})
	}
}

// A09: not even for a moment does the file hold more than was signed.
func TestA09DiskNeverAboveSize(t *testing.T) {
	for _, size := range []int64{0, 1, chunk - 1, chunk, chunk + 1, 3*chunk + 7} {
		dst := target(t, nil)
		d := &download{want: verify.ID{Size: size}, dst: dst, hash: sha256.New()}
		if err := d.copy(t.Context(), strings.NewReader(strings.Repeat("x", int(size)+1))); err != errLonger {
			t.Errorf("size %d: error is %v", size, err)
		}
		if n := len(content(t, dst)); int64(n) > size || d.n != int64(n) {
			t.Errorf("size %d: %d bytes are written", size, n)
		}
	}
}

// breaking is a listener whose connections are reset after a number of bytes, as often as it is told.
type breaking struct {
	net.Listener
	after, times atomic.Int64
}

func (b *breaking) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err == nil && b.times.Add(-1) >= 0 {
		c = &breakingConn{c, b.after.Load()}
	}
	return c, err
}

type breakingConn struct {
	net.Conn
	left int64
}

func (c *breakingConn) Write(p []byte) (int, error) {
	n, _ := c.Conn.Write(p[:min(int64(len(p)), c.left)])
	if c.left -= int64(n); c.left == 0 {
		c.Conn.(*net.TCPConn).SetLinger(0) // a reset, not an end
		c.Conn.Close()
		return n, errors.New("reset")
	}
	return n, nil
}

func breakingServer(t *testing.T, h http.HandlerFunc) (string, *breaking) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	b := &breaking{Listener: s.Listener}
	s.Listener = b
	s.Config.SetKeepAlivesEnabled(false)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, b
}

// N06: a connection that is reset at any byte of an answer, headers included, costs nothing but the rest.
func TestN06ResetAtEveryByte(t *testing.T) {
	good := randomBytes(100)
	var requests atomic.Int64
	url, b := breakingServer(t, func(w http.ResponseWriter, r *http.Request) { requests.Add(1); ranges(good)(w, r) })
	c := &Client{Sources: []string{url}}
	dst := target(t, nil)
	k, broke := int64(1), 0
	for ; ; k++ {
		if err := dst.Truncate(0); err != nil {
			t.Fatal(err)
		}
		requests.Store(0)
		b.after.Store(k)
		b.times.Store(1)
		if _, err := c.File(t.Context(), "files/a", verify.IDOf(good), dst, nil); err != nil {
			t.Fatalf("N06 reset after %d bytes: %v", k, err)
		}
		if !bytes.Equal(content(t, dst), good) {
			t.Fatalf("N06 reset after %d bytes: other bytes", k)
		}
		if requests.Load() > 2 {
			t.Fatalf("N06 reset after %d bytes: %d requests", k, requests.Load())
		}
		if requests.Load() == 2 {
			broke++
		} else if k > 250 {
			break // the whole answer is shorter than k
		}
	}
	if broke < 200 { // 100 bytes and their headers; the last ones may all have arrived before the reset
		t.Errorf("only %d of %d answers were broken", broke, k)
	}
}

// N06: a source that breaks off is resumed as long as it makes progress, and then left for the next.
func TestN06Resume(t *testing.T) {
	good := randomBytes(12*minResume + 5)
	for _, test := range []struct {
		name     string
		step     int64 // bytes before each reset
		requests int64
		mirror   bool
	}{
		{"N06 a reset after each 2 MiB", 2 * minResume, 7, false},
		{"N06 a reset after each byte", 1, maxBroken, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var requests atomic.Int64
			source := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				var from int64
				fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
				if from > 0 && r.Header.Get("If-Range") != `"1"` {
					t.Errorf("If-Range is %q", r.Header.Get("If-Range"))
				}
				w.Header().Set("ETag", `"1"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(good)-1, len(good)))
				w.Header().Set("Content-Length", fmt.Sprint(int64(len(good))-from))
				if from > 0 {
					w.WriteHeader(http.StatusPartialContent)
				}
				w.Write(good[from:min(int64(len(good)), from+test.step)]) // less than promised: the server cuts it
			})
			c := &Client{Sources: []string{source, serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("If-Range") != "" {
					t.Error("an ETag of one source is sent to another")
				}
				ranges(good)(w, r)
			})}}
			dst := target(t, nil)
			res, err := c.File(t.Context(), "files/a", verify.IDOf(good), dst, nil)
			if err != nil || (res.Source == c.Sources[1]) != test.mirror {
				t.Fatalf("result is %+v, %v", res, err)
			}
			if requests.Load() != test.requests {
				t.Errorf("%d requests, want %d", requests.Load(), test.requests)
			}
			if !bytes.Equal(content(t, dst), good) {
				t.Error("other bytes")
			}
		})
	}
}

// N06: a source that begins anew each time, and breaks off now earlier and now later, is left in the end.
func TestN06ToAndFro(t *testing.T) {
	good := randomBytes(4 * minResume)
	requests := 0
	c := &Client{Sources: []string{serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("Content-Length", fmt.Sprint(len(good)))
		if requests < 50 {
			w.Write(good[:minResume/2+requests%2*minResume])
		} else {
			w.Write(good)
		}
	}), serve(t, ranges(good))}}
	res, err := c.File(t.Context(), "files/a", verify.IDOf(good), target(t, nil), nil)
	if err != nil || res.Source != c.Sources[1] || requests > 2*maxBroken {
		t.Errorf("%d requests: %+v, %v", requests, res, err)
	}
}

// N07: a file that is replaced between two answers is noticed by If-Range, before its second half is downloaded.
func TestN07ChangedFile(t *testing.T) {
	good := randomBytes(1000)
	old := bytes.Clone(good)
	old[0] ^= 1
	var asked []string
	c := &Client{Sources: []string{serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		if len(asked) > 1 {
			ranges(good)(w, r)
			return
		}
		w.Header().Set("ETag", `"old"`)
		w.Header().Set("Content-Length", "1000")
		w.Write(old[:500])
	})}}
	dst := target(t, nil)
	if _, err := c.File(t.Context(), "files/a", verify.IDOf(good), dst, nil); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(asked) != "[ bytes=500-]" || !bytes.Equal(content(t, dst), good) {
		t.Errorf("asked for %q", asked)
	}
}

// A fault of the target is no fault of the source, and no other source is troubled with it.
func TestLocalError(t *testing.T) {
	good := randomBytes(1000)
	testenv.NeedOS(t, "linux")
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	d := &download{want: verify.IDOf(good), dst: full, hash: sha256.New()}
	c := &Client{Sources: []string{serve(t, ranges(good)), serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the mirror was asked") })}}
	res, err := c.each(t.Context(), "files/a", nil, func(s source, _ *Result) error { return d.from(t.Context(), s, "files/a") })
	if !errors.Is(err, syscall.ENOSPC) || Unreachable(err) || len(res.Failed) != 0 {
		t.Errorf("error is %v, result %+v", err, res)
	}
	readonly, err := os.Open(target(t, nil).Name())
	if err != nil {
		t.Fatal(err)
	}
	defer readonly.Close()
	if _, err := c.File(t.Context(), "files/a", verify.IDOf(good), readonly, nil); err == nil || Unreachable(err) {
		t.Errorf("error is %v", err)
	}
}

func TestFileCancelled(t *testing.T) {
	good := randomBytes(4 * chunk)
	ctx, cancel := context.WithCancel(t.Context())
	c := &Client{Sources: []string{serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(good)))
		w.Write(good[:2*chunk])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})}}
	dst := target(t, nil)
	var at time.Time
	_, err := c.File(ctx, "files/a", verify.IDOf(good), dst, func(int64, int64) { at = time.Now(); cancel() })
	if !errors.Is(err, context.Canceled) || time.Since(at) > time.Second {
		t.Errorf("A11 %v after %v", err, time.Since(at))
	}
	left := content(t, dst)
	if len(left) == 0 || !bytes.HasPrefix(good, left) {
		t.Errorf("%d bytes are left", len(left))
	}
	if _, err := c.File(ctx, "files/a", verify.IDOf(good), dst, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("while hashing: %v", err)
	}
}

// The memory for a download does not depend on its size.
func TestFileMemory(t *testing.T) {
	good := randomBytes(32 << 20)
	c := &Client{Sources: []string{serve(t, ranges(good))}}
	dst := target(t, good[:5<<20])
	calls := 0
	start := time.Now()
	n := allocated(func() {
		if _, err := c.File(t.Context(), "files/a", verify.IDOf(good), dst, func(int64, int64) { calls++ }); err != nil {
			t.Error(err)
		}
	})
	if n > 8<<20 {
		t.Errorf("allocated %d bytes for %d", n, len(good))
	}
	if most := 2 + int(time.Since(start)/(100*time.Millisecond)); calls < 2 || calls > most {
		t.Errorf("%d calls of progress, at most %d expected", calls, most)
	}
}
