package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	EndP50      float64 `json:",omitzero"` // ms from the drain signal to the end of an event stream
	EndMax      float64 `json:",omitzero"`
	Errors      map[string]int
}

type counts struct{ Requests, Failed, Reconnects int64 }

// load is the clients of one server.
type load struct {
	set    setting
	addr   string // of the server, or of the relay before it
	dial   func() (net.Conn, error)
	stop   chan struct{}
	wg     sync.WaitGroup
	during atomic.Bool // a handover is under way

	mu               sync.Mutex
	kept, fresh      counts
	errs             map[string]int
	steady, handover []time.Duration
	ends             []time.Duration // of event streams
	changed          chan int        // a process id that answers for the first time
	seen             map[int]bool
}

// http1 is clients that keep their connection and, a quarter as many, clients that open a new one for each request.
func http1(secure bool) func(*load) (func() error, error) {
	return func(l *load) (func() error, error) {
		if plain := l.dial; secure {
			l.dial = func() (net.Conn, error) {
				c, err := plain()
				if err == nil {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
				}
				return c, err
			}
		}
		for range l.set.clients {
			l.wg.Go(func() { l.client(true) })
		}
		for range max(1, l.set.clients/4) {
			l.wg.Go(func() { l.client(false) })
		}
		return nil, nil
	}
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
		case <-time.After(l.set.pause):
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
		l.count(sum, begun, during, err)
		l.mu.Lock()
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

// count notes one request.
func (l *load) count(sum *counts, begun time.Time, during bool, err error) {
	took := time.Since(begun)
	l.mu.Lock()
	defer l.mu.Unlock()
	sum.Requests++
	switch {
	case err != nil:
		sum.Failed++
		l.errs[reason(err)]++
	case during:
		l.handover = append(l.handover, took)
	default:
		l.steady = append(l.steady, took)
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
		l.answered(pid)
	}
	return res.Close, err
}

// answered notes a process that answers for the first time.
func (l *load) answered(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
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

// setting is how a row is measured.
type setting struct {
	handovers int
	interval  time.Duration // between the end of one handover and the next
	clients   int
	pause     time.Duration // of a client between two requests
	delay     time.Duration // of a round trip, by a relay
	slow      time.Duration // that an answer takes, where the clients are of HTTP/2 or gRPC
	network   string
	probation time.Duration
}

func measure(p peer, set setting) (result, error) {
	dir, err := os.MkdirTemp("", "theseus-bench-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	addr := filepath.Join(dir, "socket")
	if set.network == "tcp" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return result{}, err
		}
		addr = ln.Addr().String()
		ln.Close()
	}
	srv, err := p.start(dir, addr, set)
	if err != nil {
		return result{}, err
	}
	to := addr
	network := set.network
	if set.delay > 0 {
		network = "tcp"
		relay, err := newRelay(set.network, addr, set.delay/2)
		if err != nil {
			return result{}, err
		}
		defer relay.Close()
		to = relay.Addr().String()
	}
	l := &load{set: set, addr: to, stop: make(chan struct{}), errs: map[string]int{}, changed: make(chan int, 4096), seen: map[int]bool{}}
	l.dial = func() (net.Conn, error) { return net.Dial(network, to) }
	up := false
	for range 500 { // until it answers
		if c, err := net.Dial(set.network, addr); err == nil {
			c.Close()
			up = true
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !up {
		return result{}, fmt.Errorf("it never answered on %s", addr)
	}
	finish, err := p.load(l)
	if err != nil {
		return result{}, err
	}
	serving := 0
	select {
	case serving = <-l.changed:
	case <-time.After(10 * time.Second):
		return result{}, errors.New("no answer named a process")
	}
	res := result{Server: p.name, Handovers: set.handovers, Errors: l.errs}
	var firsts []time.Duration
	for range set.handovers {
		time.Sleep(set.interval)
		took, err := l.handOver(srv, &serving)
		if err != nil {
			return res, err
		}
		firsts = append(firsts, took)
	}
	time.Sleep(set.interval)
	close(l.stop)
	l.wg.Wait()
	if finish != nil {
		if err := finish(); err != nil {
			return res, err
		}
	}
	srv.stop(serving)
	res.Kept, res.New = l.kept, l.fresh
	res.SteadyP99, res.HandoverP99 = percentile(l.steady, 99), percentile(l.handover, 99)
	res.FirstP50, res.FirstP99 = percentile(firsts, 50), percentile(firsts, 99)
	res.EndP50, res.EndMax = percentile(l.ends, 50), percentile(l.ends, 100)
	return res, nil
}

// handOver asks serving to be replaced, and returns how long it was until another process answered; serving is that one
// then. It waits until the old one has gone, because the next handover has to.
func (l *load) handOver(srv *process, serving *int) (first time.Duration, err error) {
	l.during.Store(true)
	defer l.during.Store(false)
	before, begun := *serving, time.Now()
	if err := srv.handOver(before); err != nil {
		return 0, fmt.Errorf("handing over from %d: %w", before, err)
	}
	for tries := 0; *serving == before; tries++ {
		select {
		case *serving = <-l.changed:
			first = time.Since(begun)
		case <-time.After(10*time.Second + l.set.slow):
			if srv.exits || tries == 2 {
				return 0, errors.New("no new process has answered for a while")
			}
			if err := srv.handOver(before); err != nil { // a reload that comes too early is forgotten
				return 0, fmt.Errorf("handing over from %d: %w", before, err)
			}
		}
	}
	if !srv.exits {
		time.Sleep(100 * time.Millisecond)
		return first, nil
	}
	for limit := time.Now().Add(40 * time.Second); !ended(before); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			return 0, fmt.Errorf("process %d was replaced and has not ended", before)
		}
	}
	return first, nil
}

// ended says whether a process runs no more; that nobody has reaped it yet does not matter.
func ended(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return true
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}

// percentile of durations, in milliseconds.
func percentile(d []time.Duration, p int) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return float64(d[min(len(d)-1, len(d)*p/100)].Microseconds()) / 1000
}
