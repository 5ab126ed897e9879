// Package testh2 is a client of HTTP/2 that knows only what a request takes, so that nothing is tried again behind a
// test's back: it sends a POST with a body, once. A stream beyond the last one of a GOAWAY is lost.
package testh2

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// ErrLeaving says that the connection takes no more requests, and that nothing was sent.
var ErrLeaving = errors.New("the server has said goodbye")

const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	limit   = 20 * time.Second // on one answer
)

// A Client is one connection, for as many requests at a time as the server takes.
type Client struct {
	c   net.Conn
	tls bool

	mu      sync.Mutex // writing, and what follows
	next    uint32
	open    map[uint32]*stream
	leaving bool // a GOAWAY has come: no new streams
	err     error
}

type stream struct {
	body []byte
	done chan error
}

// New speaks over c, which is encrypted if tls is set.
func New(c net.Conn, tls bool) (*Client, error) {
	h := &Client{c: c, tls: tls, next: 1, open: map[uint32]*stream{}}
	c.SetDeadline(time.Now().Add(10 * time.Minute)) // Post has a limit of its own
	if _, err := io.WriteString(c, preface); err != nil {
		return nil, err
	}
	h.frame(4, 0, 0, nil) // SETTINGS
	h.frame(8, 0, 0, binary.BigEndian.AppendUint32(nil, 1<<30))
	go h.read()
	return h, nil
}

func (h *Client) frame(kind, flags byte, stream uint32, payload []byte) error {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	b = binary.BigEndian.AppendUint32(b, stream)
	_, err := h.c.Write(append(b, payload...))
	return err
}

// Post sends one request, its body in two parts, and returns the body of its answer.
func (h *Client) Post(path string) ([]byte, error) {
	h.mu.Lock()
	if h.leaving || h.err != nil {
		h.mu.Unlock()
		return nil, ErrLeaving
	}
	id := h.next
	h.next += 2
	s := &stream{done: make(chan error, 1)}
	h.open[id] = s
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
	case got := <-s.done: // an answer counts even if writing failed
		return s.body, got
	case <-time.After(limit):
		return nil, errors.Join(errors.New("no answer"), err)
	}
}

func (h *Client) read() {
	r := bufio.NewReader(h.c)
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
			h.endAbove(0, fmt.Errorf("closed: %w", err))
			h.mu.Unlock()
			h.c.Close()
			return
		}
		h.take(head[3], head[4], binary.BigEndian.Uint32(head[5:])&0x7fffffff, payload)
		idle := h.leaving && len(h.open) == 0
		h.mu.Unlock()
		if idle {
			h.c.Close()
		}
	}
}

// take does what a frame asks for; h.mu is held.
func (h *Client) take(kind, flags byte, id uint32, payload []byte) {
	switch kind {
	case 4: // SETTINGS
		if flags&1 == 0 {
			h.frame(4, 1, 0, nil)
		}
	case 6: // PING
		if flags&1 == 0 {
			h.frame(6, 1, 0, payload)
		}
	case 7: // GOAWAY
		h.leaving = true
		h.endAbove(binary.BigEndian.Uint32(payload)&0x7fffffff, errors.New("beyond the last stream of the GOAWAY"))
	case 3: // RST_STREAM
		h.end(id, fmt.Errorf("stream reset, code %d", binary.BigEndian.Uint32(payload)))
	case 0, 1: // DATA, HEADERS
		if s := h.open[id]; s != nil && kind == 0 {
			s.body = append(s.body, payload...)
		}
		if flags&1 != 0 {
			h.end(id, nil)
		}
	}
}

func (h *Client) end(id uint32, err error) {
	if s := h.open[id]; s != nil {
		s.done <- err
		delete(h.open, id)
	}
}

func (h *Client) endAbove(last uint32, err error) {
	for id := range h.open {
		if id > last {
			h.end(id, err)
		}
	}
}

// A Shared is one connection at a time, for several who post.
type Shared struct {
	// Dial connects; again says that it is in place of a connection that went bad.
	Dial func(again bool) (*Client, error)

	mu  sync.Mutex
	now *Client
}

// Client returns the present connection, or another if that is bad.
func (s *Shared) Client(bad *Client) (*Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && s.now != bad {
		return s.now, nil
	}
	c, err := s.Dial(s.now != nil)
	if err != nil {
		return nil, err
	}
	s.now = c
	return c, nil
}
