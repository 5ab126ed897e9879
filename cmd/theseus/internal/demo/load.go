package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// A load asks a server without pause, with clients as simple as can be: a connection, bytes out, bytes in. Nothing is ever
// tried again, so each request that a handover could lose is lost here, and counted.
type load struct {
	addr    string
	clients int
	cancel  context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced whenever something below changes
	requests  int
	failures  []failure
	answers   map[string]int
	order     []string            // versions as they were first seen
	firsts    map[string]sighting // first answer of each version on a new connection
	lastNew   map[int]time.Time   // last answer of each process on a new connection
	versionOf map[int]string      // by process
	dying     string              // the version that is going to crash
	diedAt    time.Time           // when its process was gone
	dyingPID  int
	revivedAt time.Time // first answer of another process on a new connection after that
}

// sighting is the first answer of a version, and the last one before it of another process.
type sighting struct{ first, before time.Time }

// failure is a request that was dialled or written and got no complete answer.
type failure struct {
	what   string
	err    error
	opened time.Time // when its connection was dialled
	ended  time.Time
}

func newLoad(addr string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	return &load{
		addr: addr, ctx: ctx, cancel: cancel, clients: len(clientKinds),
		changed: make(chan struct{}), answers: map[string]int{}, firsts: map[string]sighting{}, lastNew: map[int]time.Time{}, versionOf: map[int]string{},
	}
}

// A clientKind is one client: what it asks, and whether it keeps its connection.
type clientKind struct {
	name  string
	keep  bool
	post  bool
	sleep string        // how long the answer takes
	pause time.Duration // between an answer and the next request
}

// Two clients look closely: what they do not see between two answers is how long a handover takes.
var clientKinds = []clientKind{
	{"GET on a new connection", false, false, "", 2 * time.Millisecond},
	{"GET on a new connection", false, false, "", 2 * time.Millisecond},
	{"POST on a new connection", false, true, "", 8 * time.Millisecond},
	{"GET on a kept connection", true, false, "", 4 * time.Millisecond},
	{"GET on a kept connection", true, false, "", 4 * time.Millisecond},
	{"POST on a kept connection", true, true, "", 4 * time.Millisecond},
	{"POST on a kept connection", true, true, "", 4 * time.Millisecond},
	{"slow GET on a new connection", false, false, "700ms", 8 * time.Millisecond},
	{"slow GET on a kept connection", true, false, "300ms", 4 * time.Millisecond},
}

// start waits until the server listens, then lets the clients go.
func (l *load) start() {
	l.running.Go(func() {
		for l.ctx.Err() == nil {
			if c, err := net.Dial("tcp", l.addr); err == nil {
				c.Close()
				break
			}
			sleep(l.ctx, 5*time.Millisecond)
		}
		for i, k := range clientKinds {
			l.running.Go(func() { l.client(i, k) })
		}
	})
}

// stop ends the clients; each finishes the request that it has begun.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

func (l *load) client(number int, k clientKind) {
	var c *connection
	for n := 0; l.ctx.Err() == nil; n++ {
		if c == nil {
			c = &connection{opened: time.Now()}
		}
		answer, err := c.ask(l.addr, k, number, n)
		l.record(k, c, answer, err)
		if err != nil || !k.keep || answer.last {
			c.close()
			c = nil
		}
		sleep(l.ctx, k.pause)
	}
	if c != nil {
		c.close()
	}
}

// connection is a raw connection, dialled with its first request.
type connection struct {
	opened time.Time
	conn   net.Conn
	r      *bufio.Reader
}

// answer is a complete answer.
type answer struct {
	version string // of GET /version
	pid     int
	last    bool // the server said that it closes the connection
}

// ask sends one request and reads one answer, and checks that it is the answer to this request.
func (c *connection) ask(addr string, k clientKind, number, n int) (a answer, err error) {
	if c.conn == nil {
		if c.conn, err = net.Dial("tcp", addr); err != nil {
			return a, err
		}
		c.r = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return a, err
	}
	method, path, body := "GET", "/version", ""
	switch {
	case k.sleep != "":
		path = "/sleep?d=" + k.sleep
	case k.post:
		method, path, body = "POST", "/echo", fmt.Sprintf("client %d, request %d", number, n)
	}
	if _, err := fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: demo\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body); err != nil {
		return a, err
	}
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return a, err
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("answered %s", resp.Status)
	}
	a.last = resp.Close
	switch {
	case k.post && string(got) != body:
		return a, fmt.Errorf("sent %q and was answered %q", body, got)
	case path == "/version":
		var said struct {
			Version string
			PID     int
		}
		if err := json.Unmarshal(bytes.TrimSpace(got), &said); err != nil {
			return a, fmt.Errorf("answered %q", got)
		}
		a.version, a.pid = said.Version, said.PID
	}
	return a, nil
}

// close ends a connection that has nothing under way. It does so by a reset, which leaves no port of this machine blocked
// for a minute: thousands of connections are made here.
func (c *connection) close() {
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
		tcp.Close()
	}
}

func (l *load) record(k clientKind, c *connection, a answer, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if err != nil {
		l.failures = append(l.failures, failure{k.name, err, c.opened, now})
	}
	if a.version != "" {
		l.answers[a.version]++
		if !k.keep {
			l.sight(a, now)
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// sight follows which process takes new connections.
func (l *load) sight(a answer, now time.Time) {
	if _, seen := l.firsts[a.version]; !seen {
		l.order = append(l.order, a.version)
		var before time.Time
		for _, t := range l.lastNew {
			if t.After(before) {
				before = t
			}
		}
		l.firsts[a.version] = sighting{now, before}
		if a.version == l.dying {
			l.dyingPID = a.pid
			go l.watchDeath(a.pid)
		}
	}
	l.lastNew[a.pid], l.versionOf[a.pid] = now, a.version
	if !l.diedAt.IsZero() && l.revivedAt.IsZero() && a.pid != l.dyingPID {
		l.revivedAt = now
	}
}

// watchDeath notes when a process is gone. Nobody tells: it is neither our child nor does it say goodbye.
func (l *load) watchDeath(pid int) {
	for alive(pid) && l.ctx.Err() == nil {
		time.Sleep(200 * time.Microsecond)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.diedAt = time.Now()
}

// until waits for a condition on what was recorded.
func (l *load) until(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		l.mu.Lock()
		if ok() {
			l.mu.Unlock()
			return nil
		}
		changed := l.changed
		requests, failures := l.requests, len(l.failures)
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s (after %d requests, %d without an answer): %w", what, requests, failures, ctx.Err())
		}
	}
}

// await waits until a version has answered on a new connection.
func (l *load) await(ctx context.Context, version string) error {
	return l.until(ctx, "clients are served by "+version, func() bool { _, ok := l.firsts[version]; return ok })
}

func (l *load) atLeast(ctx context.Context, n int) error {
	return l.until(ctx, fmt.Sprintf("%d requests were made", n), func() bool { return l.requests >= n })
}

// gap is how long, in milliseconds, no process answered on new connections before a version's first answer.
func (l *load) gap(version string) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.firsts[version]
	return milliseconds(s.first.Sub(s.before))
}

// mortal announces that a version is going to crash.
func (l *load) mortal(version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dying = version
}

// awaitDeath waits for the crash, and returns after how many milliseconds another process answered on a new connection.
func (l *load) awaitDeath(ctx context.Context) (float64, error) {
	err := l.until(ctx, l.dying+" has crashed and another process answers", func() bool { return !l.revivedAt.IsZero() })
	l.mu.Lock()
	defer l.mu.Unlock()
	return milliseconds(max(0, l.revivedAt.Sub(l.diedAt))), err // the answer may come before we see that the process is gone
}

// line is the load in one line.
func (l *load) line() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	serving, last := "nobody", time.Time{}
	for pid, t := range l.lastNew {
		if t.After(last) {
			serving, last = l.versionOf[pid], t
		}
	}
	return fmt.Sprintf("%d requests, %d without an answer, served by %s", l.requests, len(l.failures), serving)
}

// numbers is the result of a load that has stopped.
type numbers struct {
	requests int
	failures []string
	lost     int // inside the version that crashed
	answers  map[string]int
	versions []string
}

func (l *load) numbers() numbers {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := numbers{requests: l.requests, answers: l.answers, versions: l.order}
	for _, f := range l.failures {
		if l.diedWith(f) {
			n.lost++
			continue
		}
		n.failures = append(n.failures, fmt.Sprintf("%s: %v", f.what, f.err))
	}
	n.requests -= n.lost
	return n
}

// diedWith reports whether a request was inside the process that crashed: its connection was opened while that process took
// the new ones, and was cut when it died. A connection from before was the old process's, and its loss would be ours.
func (l *load) diedWith(f failure) bool {
	const clock = 100 * time.Millisecond // between what happened and when we saw it
	first, ok := l.firsts[l.dying]
	return ok && !l.diedAt.IsZero() &&
		f.opened.After(first.before.Add(-clock)) && f.opened.Before(l.diedAt) && f.ended.Before(l.diedAt.Add(time.Second)) &&
		(errors.Is(f.err, io.EOF) || errors.Is(f.err, io.ErrUnexpectedEOF) || errors.Is(f.err, syscall.ECONNRESET) || errors.Is(f.err, syscall.EPIPE))
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
