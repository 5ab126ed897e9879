package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
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
	process int // that has answered last
}

func (h *h2Client) pid() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.process
}

func newH2Client(c net.Conn, tls bool) (*h2Client, error) {
	h := &h2Client{c: c, next: 1, open: map[uint32]chan error{}, tls: tls}
	c.SetDeadline(time.Now().Add(10 * time.Minute)) // post has a limit of its own
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
func (h *h2Client) post(path string) (pid int, err error) {
	h.mu.Lock()
	if h.leaving || h.err != nil {
		h.mu.Unlock()
		return 0, errH2Leaving
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
	err = h.frame(1, 4, id, block)
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
		return h.pid(), got
	case <-time.After(20 * time.Second):
		return 0, errors.Join(errors.New("no answer"), err)
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
			if kind == 0 && len(payload) > 0 {
				fmt.Sscan(string(payload), &h.process)
			}
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

// http2 is streams on shared connections, a few at a time on each.
func http2(secure bool) func(*load) (func() error, error) {
	const perConn = 8
	return func(l *load) (func() error, error) {
		for range max(1, l.set.clients/perConn) {
			s := &h2Shared{l: l, secure: secure}
			for range perConn {
				l.wg.Go(s.client)
			}
		}
		return nil, nil
	}
}

// h2Shared is one connection at a time, for several clients.
type h2Shared struct {
	l      *load
	secure bool
	mu     sync.Mutex
	now    *h2Client
}

// connection returns the present one, or another if that is the one that was bad.
func (s *h2Shared) connection(bad *h2Client) (*h2Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && s.now != bad {
		return s.now, nil
	}
	c, err := s.l.dial()
	if err != nil {
		return nil, err
	}
	if s.secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}
	h, err := newH2Client(c, s.secure)
	if err != nil {
		return nil, err
	}
	if s.now != nil {
		s.l.mu.Lock()
		s.l.kept.Reconnects++
		s.l.mu.Unlock()
	}
	s.now = h
	return h, nil
}

func (s *h2Shared) client() {
	l := s.l
	path := "/"
	if l.set.slow > 0 {
		path = "/?d=" + l.set.slow.String()
	}
	var bad *h2Client
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(l.set.pause):
		}
		during, begun := l.during.Load(), time.Now()
		c, err := s.connection(bad)
		pid := 0
		if err == nil {
			if pid, err = c.post(path); err != nil {
				bad = c
			}
		}
		if errors.Is(err, errH2Leaving) {
			continue // nothing was sent
		}
		l.count(&l.kept, begun, during, err)
		l.answered(pid)
	}
}
