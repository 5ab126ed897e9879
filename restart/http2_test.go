//go:build linux

package restart_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testh2"
)

// startH2Load runs streams at a time on each of conns connections.
func startH2Load(s *service, conns, streams int, path string) *load {
	l := &load{errs: map[string]int{}, pids: map[int]bool{}, stop: make(chan struct{})}
	for range conns {
		shared := &testh2.Shared{Dial: func(again bool) (*testh2.Client, error) {
			c, err := s.dialH2()
			if err == nil && again {
				l.reconnects.Add(1)
			}
			return c, err
		}}
		for range streams {
			l.wg.Go(func() {
				var bad *testh2.Client
				for {
					select {
					case <-l.stop:
						return
					case <-time.After(time.Millisecond):
					}
					c, err := shared.Client(bad)
					if err != nil {
						l.fail(err)
						continue
					}
					_, err = c.Post(path)
					if errors.Is(err, testh2.ErrLeaving) {
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

func (s *service) dialH2() (*testh2.Client, error) {
	c, err := net.Dial(s.conf.Network, s.conf.Address)
	if err != nil {
		return nil, err
	}
	if s.conf.TLS {
		c = clientTLS(c, "h2")
	}
	return testh2.New(c, s.conf.TLS)
}

// TestSoakHTTP2: no stream is lost at a handover, although no body can be sent twice.
func TestSoakHTTP2(t *testing.T) {
	t.Parallel()
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
