//go:build linux

package restart_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A client of HTTP/2 that knows only what a request takes, so that nothing is retried behind our back: POST with a body
// that is sent once. A stream beyond the last one of a GOAWAY is lost.

const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

type h2Client struct {
	c  net.Conn
	mu sync.Mutex // writing, and what follows

	next    uint32
	open    map[uint32]chan error
	leaving bool // a GOAWAY has come: no new streams
	tls     bool
	err     error
}

func newH2Client(c net.Conn, tls bool) (*h2Client, error) {
	h := &h2Client{c: c, next: 1, open: map[uint32]chan error{}, tls: tls}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, h2Preface); err != nil {
		return nil, err
	}
	h.frame(4, 0, 0, nil) // SETTINGS
	h.frame(8, 0, 0, binary.BigEndian.AppendUint32(nil, 1<<30))
	go h.read()
	return h, nil
}

func (h *h2Client) frame(kind, flags byte, stream uint32, payload []byte) error {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	b = binary.BigEndian.AppendUint32(b, stream)
	_, err := h.c.Write(append(b, payload...))
	return err
}

var errH2Leaving = errors.New("the server has said goodbye")

// post sends one request and waits for its answer. errH2Leaving: nothing was sent.
func (h *h2Client) post(path string) error {
	h.mu.Lock()
	if h.leaving || h.err != nil {
		h.mu.Unlock()
		return errH2Leaving
	}
	id := h.next
	h.next += 2
	done := make(chan error, 1)
	h.open[id] = done
	scheme := byte(0x86)
	if h.tls {
		scheme = 0x87
	}
	block := []byte{0x83, scheme, 0x04, byte(len(path))} // :method POST, :scheme, :path
	block = append(block, path...)
	block = append(block, 0x01, 1, 'x') // :authority
	err := h.frame(1, 4, id, block)
	if err == nil {
		err = h.frame(0, 0, id, []byte("hello "))
	}
	h.mu.Unlock()
	time.Sleep(200 * time.Microsecond) // the body comes later, as it does
	h.mu.Lock()
	if err == nil {
		err = h.frame(0, 1, id, []byte("world"))
	}
	h.mu.Unlock()
	select {
	case got := <-done: // an answer counts even if writing failed
		return got
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("no answer"), err)
	}
}

func (h *h2Client) read() {
	r := bufio.NewReader(h.c)
	fail := func(err error, above uint32) {
		for id, done := range h.open {
			if id > above {
				done <- err
				delete(h.open, id)
			}
		}
	}
	for {
		var head [9]byte
		_, err := io.ReadFull(r, head[:])
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if err == nil {
			_, err = io.ReadFull(r, payload)
		}
		h.mu.Lock()
		if err != nil {
			h.err = err
			fail(fmt.Errorf("closed: %w", err), 0)
			h.mu.Unlock()
			h.c.Close()
			return
		}
		id := binary.BigEndian.Uint32(head[5:]) & 0x7fffffff
		switch kind, flags := head[3], head[4]; kind {
		case 4:
			if flags&1 == 0 {
				h.frame(4, 1, 0, nil)
			}
		case 6:
			if flags&1 == 0 {
				h.frame(6, 1, 0, payload)
			}
		case 7:
			h.leaving = true
			fail(errors.New("beyond the last stream of the GOAWAY"), binary.BigEndian.Uint32(payload)&0x7fffffff)
		case 3:
			if done := h.open[id]; done != nil {
				done <- fmt.Errorf("stream reset, code %d", binary.BigEndian.Uint32(payload))
				delete(h.open, id)
			}
		case 0, 1:
			if flags&1 != 0 {
				if done := h.open[id]; done != nil {
					done <- nil
					delete(h.open, id)
				}
			}
		}
		idle := h.leaving && len(h.open) == 0
		h.mu.Unlock()
		if idle {
			h.c.Close()
		}
	}
}

// startH2Load runs streams at a time on each of conns connections.
func startH2Load(s *service, conns, streams int, path string) *load {
	l := &load{errs: map[string]int{}, pids: map[int]bool{}, stop: make(chan struct{})}
	for range conns {
		var mu sync.Mutex
		var now *h2Client
		connection := func(not *h2Client) (*h2Client, error) {
			mu.Lock()
			defer mu.Unlock()
			if now != nil && now != not {
				return now, nil
			}
			c, err := s.dialH2()
			if err == nil {
				if now != nil {
					l.reconnects.Add(1)
				}
				now = c
			}
			return c, err
		}
		for range streams {
			l.wg.Go(func() {
				var bad *h2Client
				for {
					select {
					case <-l.stop:
						return
					case <-time.After(time.Millisecond):
					}
					c, err := connection(bad)
					if err != nil {
						l.fail(err)
						continue
					}
					err = c.post(path)
					if errors.Is(err, errH2Leaving) {
						bad = c
						continue
					}
					l.requests.Add(1)
					if err != nil {
						l.fail(err)
						bad = c
					}
				}
			})
		}
	}
	return l
}

func (s *service) dialH2() (*h2Client, error) {
	c, err := net.Dial(s.conf.Network, s.conf.Address)
	if err != nil {
		return nil, err
	}
	if s.conf.TLS {
		c = clientTLS(c, "h2")
	}
	return newH2Client(c, s.conf.TLS)
}

// TestSoakHTTP2: no stream is lost at a handover, although no body can be sent twice.
func TestSoakHTTP2(t *testing.T) {
	for _, c := range []struct {
		name string
		conf config
	}{
		{"h2c", config{H2C: true}},
		{"TLS", config{TLS: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.conf.Probation = 20 * time.Millisecond
			s := startService(t, c.conf)
			l := startH2Load(s, 3, 8, "/")
			long := startH2Load(s, 1, 2, "/sleep?d=300ms")
			pid := s.pid()
			n := rounds(4, 100)
			for range n {
				pid = s.handover(pid)
			}
			l.end()
			long.end()
			t.Logf("%d requests over %d handovers, %d reconnects", l.requests.Load()+long.requests.Load(), n, l.reconnects.Load())
			if l.failed.Load()+long.failed.Load() != 0 {
				t.Errorf("%d failed: %v %v", l.failed.Load()+long.failed.Load(), l.errs, long.errs)
			}
			if l.reconnects.Load() < int64(n) || long.requests.Load() == 0 {
				t.Errorf("%d reconnects over %d handovers, %d long requests: what was measured?", l.reconnects.Load(), n, long.requests.Load())
			}
			if k := s.count(0, "event cut"); k != 0 {
				t.Error("a drain was cut")
			}
			if k := s.count(0, "event downgrade"); k != 0 {
				t.Error("HTTP/2 connections are not wrapped on this release of Go")
			}
		})
	}
}
