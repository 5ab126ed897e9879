package main

import (
	"crypto/tls"
	"errors"
	"strconv"
	"time"

	"github.com/theseus-go/theseus/internal/testh2"
)

// http2 is streams on shared connections, a few at a time on each.
func http2(secure bool) func(*load) (func() error, error) {
	const perConn = 8
	return func(l *load) (func() error, error) {
		for range max(1, l.set.clients/perConn) {
			s := &testh2.Shared{Dial: func(again bool) (*testh2.Client, error) { return l.dialH2(secure, again) }}
			for range perConn {
				l.wg.Go(func() { l.post(s) })
			}
		}
		return nil, nil
	}
}

func (l *load) dialH2(secure, again bool) (*testh2.Client, error) {
	c, err := l.dial()
	if err != nil {
		return nil, err
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}
	h, err := testh2.New(c, secure)
	if err == nil && again {
		l.mu.Lock()
		l.kept.Reconnects++
		l.mu.Unlock()
	}
	return h, err
}

func (l *load) post(s *testh2.Shared) {
	path := "/"
	if l.set.slow > 0 {
		path = "/?d=" + l.set.slow.String()
	}
	var bad *testh2.Client
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(l.set.pause):
		}
		during, begun := l.during.Load(), time.Now()
		c, err := s.Client(bad)
		pid := 0
		if err == nil {
			var body []byte
			if body, err = c.Post(path); err != nil {
				bad = c
			}
			pid, _ = strconv.Atoi(string(body))
		}
		if errors.Is(err, testh2.ErrLeaving) {
			continue // nothing was sent
		}
		l.count(&l.kept, begun, during, err)
		l.answered(pid)
	}
}
