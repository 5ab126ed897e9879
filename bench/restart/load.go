package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// result is a row of the table.
type result struct {
	Server      string
	Handovers   int
	Kept, New   counts
	SteadyP99   float64 // ms
	HandoverP99 float64 // ms; of requests that began within 100 ms after a handover was asked for, or until it was done
	FirstP50    float64 // ms from asking for a handover to the first answer of the new process
	FirstP99    float64
	Errors      map[string]int
}

type counts struct{ Requests, Failed, Reconnects int64 }

// load is the clients of one server.
type load struct {
	dial   func() (net.Conn, error)
	stop   chan struct{}
	wg     sync.WaitGroup
	during atomic.Bool // a handover is under way

	mu               sync.Mutex
	kept, fresh      counts
	errs             map[string]int
	steady, handover []time.Duration
	changed          chan int // a process id that answers for the first time
	seen             map[int]bool
}

func (l *load) client(keep bool) {
	sum := &l.fresh
	if keep {
		sum = &l.kept
	}
	var c net.Conn
	var r *bufio.Reader
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		case <-time.After(*pause):
		}
		request := "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
		if i%2 == 1 {
			request = "POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 5\r\n\r\nhello"
		}
		during, begun := l.during.Load(), time.Now()
		var err error
		if c == nil {
			if c, err = l.dial(); err == nil {
				r = bufio.NewReader(c)
			} else {
				c = nil
			}
		}
		closes := false
		if err == nil {
			closes, err = l.ask(c, r, request)
		}
		took := time.Since(begun)
		l.mu.Lock()
		sum.Requests++
		if err != nil {
			sum.Failed++
			l.errs[reason(err)]++
		} else if during {
			l.handover = append(l.handover, took)
		} else {
			l.steady = append(l.steady, took)
		}
		if err != nil || closes || !keep {
			if err == nil && keep {
				sum.Reconnects++
			}
			if c != nil {
				c.Close()
			}
			c = nil
		}
		l.mu.Unlock()
	}
}

func (l *load) ask(c net.Conn, r *bufio.Reader, request string) (closes bool, err error) {
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return false, err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return false, err
	}
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	if pid, perr := strconv.Atoi(strings.TrimSpace(string(body))); err == nil && perr == nil {
		l.mu.Lock()
		l.answered(pid)
		l.mu.Unlock()
	}
	return res.Close, err
}

// answered notes a process that answers for the first time.
func (l *load) answered(pid int) {
	if pid == 0 || l.seen[pid] {
		return
	}
	l.seen[pid] = true
	select {
	case l.changed <- pid:
	default:
	}
}

func reason(err error) string {
	var e syscall.Errno
	switch {
	case errors.As(err, &e):
		return e.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed without an answer"
	}
	return err.Error()
}

func measure(p peer) (result, error) {
	dir, err := os.MkdirTemp("", "theseus-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "socket")
	if *network == "tcp" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return result{}, err
		}
		addr = ln.Addr().String()
		ln.Close()
	}
	srv, err := p.start(dir, addr)
	if err != nil {
		return result{}, err
	}
	to := addr
	if *delay > 0 {
		relay, err := newRelay(*network, addr, *delay/2)
		if err != nil {
			return result{}, err
		}
		defer relay.Close()
		to = relay.Addr().String()
	}
	l := &load{stop: make(chan struct{}), errs: map[string]int{}, changed: make(chan int, 4096), seen: map[int]bool{}}
	l.dial = func() (net.Conn, error) {
		network := *network
		if *delay > 0 {
			network = "tcp"
		}
		c, err := net.Dial(network, to)
		if err == nil && p.tls && !p.http2 {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		}
		return c, err
	}
	up := false
	for range 500 { // until it answers
		if c, err := net.Dial(*network, addr); err == nil {
			c.Close()
			up = true
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !up {
		return result{}, fmt.Errorf("it never answered on %s", addr)
	}
	if p.http2 {
		l.http2Clients(*clients, p.tls)
	} else {
		for range *clients {
			l.wg.Go(func() { l.client(true) })
		}
		for range max(1, *clients/4) {
			l.wg.Go(func() { l.client(false) })
		}
	}
	serving := 0
	select {
	case serving = <-l.changed:
	case <-time.After(10 * time.Second):
		return result{}, errors.New("no answer named a process")
	}
	res := result{Server: p.name, Handovers: *handovers, Errors: l.errs}
	var firsts []time.Duration
	for range *handovers {
		time.Sleep(*interval)
		l.during.Store(true)
		begun := time.Now()
		if err := srv.handOver(serving); err != nil {
			return res, fmt.Errorf("handing over from %d: %w", serving, err)
		}
		before := serving
		for tries := 0; serving == before; tries++ {
			select {
			case serving = <-l.changed:
				firsts = append(firsts, time.Since(begun))
			case <-time.After(10 * time.Second):
				if srv.exits || tries == 2 {
					return res, errors.New("no new process has answered for a while")
				}
				if err := srv.handOver(serving); err != nil { // a reload that comes too early is forgotten
					return res, fmt.Errorf("handing over from %d: %w", serving, err)
				}
			}
		}
		if srv.exits { // the next handover has to wait for that
			for range 20000 {
				if syscall.Kill(before, 0) != nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
		} else {
			time.Sleep(100 * time.Millisecond)
		}
		l.during.Store(false)
	}
	time.Sleep(*interval)
	close(l.stop)
	l.wg.Wait()
	srv.stop(serving)
	res.Kept, res.New = l.kept, l.fresh
	res.SteadyP99, res.HandoverP99 = percentile(l.steady, 99), percentile(l.handover, 99)
	res.FirstP50, res.FirstP99 = percentile(firsts, 50), percentile(firsts, 99)
	return res, nil
}

func percentile(d []time.Duration, p int) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return float64(d[min(len(d)-1, len(d)*p/100)].Microseconds()) / 1000
}
