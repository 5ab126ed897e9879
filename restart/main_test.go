//go:build linux

package restart_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-go/theseus/internal/testenv"
	"github.com/theseus-go/theseus/restart"
)

// The test binary is the server too: with serverVar it runs serverMain, and so do its successors.
const serverVar = "RESTART_TEST_SERVER"

// patience is for anything that should happen soon, on a machine that is busy with twenty other things.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	if conf := os.Getenv(serverVar); conf != "" {
		serverMain(conf)
		return
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	// What runs these tests may ignore signals (a job in the background, nohup), and every program below would inherit that.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	var err error
	if bin, err = os.MkdirTemp("", "restart-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	testenv.Overlap()
	return m.Run()
}

// config is how a server of these tests behaves.
type config struct {
	Network, Address string // for clients; and for Listen, unless the next two say otherwise
	ListenNetwork    string
	ListenAddress    string
	Options          restart.Options `json:"-"`
	PIDFile          string
	Start            time.Duration
	Probation        time.Duration
	Drain            time.Duration
	Grace            time.Duration
	LogTo            string // file of the log; none if empty
	Second           string // address of another listener, which the program closes and opens again by /reopen
	Forget           bool   // the program changes its arguments and environment after the start
	FirstPlan        string // what the first process does
	Plan             string // file: what a successor does; see misbehave
	Chdir            string // after New
	TLS              bool
	H2C              bool
	ShutdownDelay    time.Duration
	OnDrain          time.Duration // a drain function that takes so long
	Hooks            bool          // signals of the test's choice
	Packet           string        // address of a UDP echo server
	Many             int           // further servers, each with a listener of its own
	More             []string      // further listeners, "network address", with a server each that answers its number
	Exclusive        bool          // a lock on a file, which every request needs
	Hand             bool          // hands a state and a file on
	Fewer            bool          // not in a successor
	Respelled        string        // the address that a successor listens on, if it is another one
	FilesLeft        int           // descriptors that a successor may open from Run on, less one
}

// say writes a line that the test waits for.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%d %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

func serverMain(text string) {
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	successor := os.Getenv("TABLEFLIP_HAS_PARENT_7DIU3") != ""
	plan := func() []string {
		b, _ := os.ReadFile(c.Plan)
		if !successor {
			return strings.Fields(c.FirstPlan)
		}
		return strings.Fields(string(b))
	}()
	misbehave(plan, "start")
	started := strings.Join(os.Args, "\x00")
	secret, nohup := os.Getenv("SECRET"), signal.Ignored(syscall.SIGHUP)
	if c.Forget {
		os.Args[0] = "other"
		os.Args = append(os.Args[:1], "--changed")
		os.Unsetenv("SECRET")
		os.Setenv("LATER", "x")
	}
	var signals restart.Signals
	if c.Hooks {
		hook := func(name string, do restart.Action) restart.Signal {
			return restart.Signal{Do: do, Before: func() { say("before %s", name) }, After: func() { say("after %s", name) }}
		}
		signals = restart.DefaultSignals()
		signals[syscall.SIGUSR1] = hook("USR1", restart.ActionNothing)
		signals[syscall.SIGTSTP] = hook("TSTP", restart.ActionHandOver)
		signals[syscall.SIGHUP] = hook("HUP", restart.ActionNothing)
	}
	var exclusive *restart.Exclusive
	var lock fileLock
	if c.Exclusive {
		exclusive = &restart.Exclusive{
			Acquire: func(context.Context) error {
				misbehave(plan, "acquire")
				if len(plan) == 1 && plan[0] == "unacquired" {
					return errors.New("planned")
				}
				return lock.acquire(filepath.Join(filepath.Dir(c.Plan), "lock"))
			},
			Release: func(context.Context) error { return lock.release() },
		}
	}
	logger := slog.New(slog.DiscardHandler)
	if c.LogTo != "" {
		f, err := os.OpenFile(c.LogTo, os.O_WRONLY, 0)
		if err != nil {
			say("fatal %v", err)
			os.Exit(1)
		}
		logger = slog.New(slog.NewTextHandler(f, nil))
	}
	r := restart.New(restart.Options{
		Signals: signals, Exclusive: exclusive,
		PIDFile: c.PIDFile, UpgradeTimeout: c.Start, Probation: c.Probation, Drain: c.Drain, Grace: c.Grace, ShutdownDelay: c.ShutdownDelay,
		Logger: logger,
		OnEvent: func(e restart.Event) {
			say("event %s %s: %s (%v)", e.Kind, e.Phase, e.Text, e.Err)
			if e.Kind == restart.EventPhase && (e.Phase == restart.PhaseProbation || !successor && e.Phase == restart.PhaseServing) {
				go misbehave(plan, "serving")
			}
		},
		Health: func(ctx context.Context) error {
			if len(plan) == 3 && plan[0] == "serving" && successor {
				// A probation that is over before what is planned for it, on a machine that is slow, would be no test.
				if d, _ := time.ParseDuration(plan[1]); d < time.Second {
					select {
					case <-fallenIll:
					case <-ctx.Done():
					}
				}
			}
			if ill.Load() {
				return errors.New("planned illness")
			}
			return nil
		},
	})
	if c.Chdir != "" {
		os.Chdir(c.Chdir)
	}
	if c.ListenNetwork == "" {
		c.ListenNetwork, c.ListenAddress = c.Network, c.Address
	}
	if successor && c.Respelled != "" {
		c.ListenAddress = c.Respelled
	}
	ln, err := r.Listen(c.ListenNetwork, c.ListenAddress)
	if err != nil {
		say("fatal %v", err)
		os.Exit(1)
	}
	misbehave(plan, "listen")
	if c.Hand {
		state, err := r.InheritState("count")
		if err != nil {
			say("fatal %v", err)
			os.Exit(1)
		}
		f, err := r.InheritFile("notes")
		if err != nil {
			say("fatal %v", err)
			os.Exit(1)
		}
		if f == nil {
			if f, err = os.CreateTemp(filepath.Dir(c.Plan), "notes"); err != nil {
				say("fatal %v", err)
				os.Exit(1)
			}
			os.Remove(f.Name())
			r.HandFile("notes", f)
		}
		fmt.Fprintf(f, "%d ", os.Getpid())
		notes := make([]byte, 1000)
		n, _ := f.ReadAt(notes, 0)
		say("inherited %d bytes; notes: %s.", len(state), notes[:n])
		r.HandState("count", func() []byte { return make([]byte, len(state)*2+700) })
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		if c.Exclusive && !lock.use() {
			say("a request without the lock")
			http.Error(w, "without the lock", http.StatusInternalServerError)
			return
		}
		defer lock.used()
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprintf(w, "%d %d", os.Getpid(), n)
	})
	mux.HandleFunc("/sleep", func(w http.ResponseWriter, req *http.Request) {
		d, _ := time.ParseDuration(req.FormValue("d"))
		say("sleeping")
		time.Sleep(d)
		fmt.Fprintf(w, "%d 0", os.Getpid())
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, req *http.Request) {
		var m runtimeStats
		m.read()
		json.NewEncoder(w).Encode(struct {
			restart.Status
			Stats   runtimeStats
			Env     string
			Started string // the arguments
			Secret  string // of the environment
			NoHUP   bool
		}{r.Status(), m, strings.Join(os.Environ(), "\n"), started, secret, nohup})
	})
	mux.HandleFunc("/hold", func(w http.ResponseWriter, req *http.Request) { // until the test makes a file
		say("holding")
		for {
			if _, err := os.Stat(filepath.Join(filepath.Dir(c.Plan), req.FormValue("until"))); err == nil {
				fmt.Fprintf(w, "%d 0", os.Getpid())
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	mux.HandleFunc("/handover", func(w http.ResponseWriter, req *http.Request) {
		go func() { say("handover: %v", r.Handover(context.Background())) }()
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "data: hello\n\n")
		w.(http.Flusher).Flush()
		<-restart.DrainStarted(req.Context())
		io.WriteString(w, "data: goodbye\n\n")
	})
	mux.HandleFunc("/children", func(w http.ResponseWriter, req *http.Request) {
		out, err := exec.Command("/bin/sh", "-c", "env; ls -l /proc/self/fd").CombinedOutput()
		fmt.Fprintf(w, "%s%v", out, err)
	})
	if c.Second != "" {
		network, address, _ := strings.Cut(c.Second, " ")
		second, err := r.Listen(network, address)
		if err != nil {
			say("fatal %v", err)
			os.Exit(1)
		}
		greet := func() {
			for {
				c, err := second.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, os.Getpid())
				c.Close()
			}
		}
		go greet()
		mux.HandleFunc("/close", func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, second.Close()) })
		mux.HandleFunc("/open", func(w http.ResponseWriter, req *http.Request) {
			if second, err = r.Listen(network, address); err == nil {
				go greet()
			}
			fmt.Fprint(w, err)
		})
	}
	srv := &http.Server{Handler: mux}
	if c.TLS {
		srv.TLSConfig = testTLS()
	}
	if c.H2C {
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	r.Serve(ln, srv)
	for n, spec := range c.More {
		if successor && c.Fewer {
			break
		}
		network, address, _ := strings.Cut(spec, " ")
		ln, err := r.Listen(network, address)
		if err != nil {
			say("fatal %v", err)
			os.Exit(1)
		}
		say("more %d: %s", n, ln.Addr())
		r.Serve(ln, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid(), n) })})
	}
	for n := range c.Many {
		ln, err := r.Listen("unix", fmt.Sprintf("many/%d", n))
		if err != nil {
			say("fatal %v", err)
			os.Exit(1)
		}
		r.Serve(ln, &http.Server{Handler: mux})
	}
	if c.Packet != "" {
		pc, err := r.ListenPacket("udp", c.Packet)
		if err != nil {
			say("fatal %v", err)
			os.Exit(1)
		}
		go func() {
			b := make([]byte, 1500)
			for {
				n, from, err := pc.ReadFrom(b)
				if err != nil {
					say("packets: %v", err)
					return
				}
				pc.WriteTo(fmt.Appendf(nil, "%d %s", os.Getpid(), b[:n]), from)
			}
		}()
	}
	r.Go(func(ctx context.Context) error {
		say("worker begins")
		<-ctx.Done()
		say("worker ends")
		return nil
	})
	r.OnFailure(func(_ context.Context, cause error) error {
		blame := "to blame"
		switch h, ok := errors.AsType[*restart.HandoverError](cause); {
		case errors.Is(cause, context.Canceled):
			blame = "not to blame"
		case ok && h.Blame() != "release":
			blame = "to blame: " + h.Blame()
		}
		say("undo, %s: %v", blame, cause)
		return nil
	})
	if c.OnDrain != 0 {
		r.OnDrain("slow", func(ctx context.Context) error {
			select {
			case <-time.After(c.OnDrain):
				say("slow: finished")
			case <-ctx.Done():
				say("slow: cut")
				time.Sleep(time.Hour)
			}
			return nil
		})
	}
	misbehave(plan, "run")
	if successor && c.FilesLeft > 0 {
		var m runtimeStats
		m.read()
		if err := limitFiles(os.Getpid(), uint64(m.Descriptors-1+c.FilesLeft-1)); err != nil {
			say("fatal %v", err)
		}
	}
	err = r.Run(context.Background())
	say("run: %v", err)
	if err != nil {
		os.Exit(1)
	}
}

var (
	ill       atomic.Bool
	fallenIll = make(chan struct{})
)

// misbehave carries out a plan of three words: when (start, listen, run, serving), after how long, and what.
func misbehave(plan []string, when string) {
	if len(plan) != 3 || plan[0] != when {
		return
	}
	d, _ := time.ParseDuration(plan[1])
	time.Sleep(d)
	say("dying %d", time.Now().UnixNano()) // the same clock as the test's
	switch plan[2] {
	case "exit0":
		os.Exit(0)
	case "exit2":
		os.Exit(2)
	case "panic":
		panic("planned")
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "term":
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
	case "hang":
		say("hanging")
		time.Sleep(time.Hour)
	case "freeze":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "ill":
		ill.Store(true)
		close(fallenIll)
	}
}

// service is a server under test, with all its successors.
type service struct {
	t    *testing.T
	conf config
	dir  string
	exe  string
	cmd  *exec.Cmd
	env  []string // more of it

	inNamespace bool          // the process ids in its lines are not ours
	waited      chan struct{} // closed when cmd has ended
	ended       chan struct{} // closed when no process of the service is left

	mu    sync.Mutex
	lines []string
	more  chan struct{}
	pids  map[int]bool
}

// startService starts a server. Every process of it writes to one pipe, which ends when all have gone.
func startService(t *testing.T, c config) *service {
	t.Helper()
	s := &service{t: t, dir: t.TempDir(), more: make(chan struct{}), pids: map[int]bool{}}
	s.link()
	return s.launch(c)
}

// link gives the service a name of its own for this binary. A copy would be busy while another test forks.
func (s *service) link() {
	s.t.Helper()
	s.exe = filepath.Join(s.dir, "server")
	if err := os.Link(os.Args[0], s.exe); err != nil {
		b, err := os.ReadFile(os.Args[0])
		if err == nil {
			err = testenv.WriteProgram(s.exe, b)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *service) launch(c config) *service {
	t := s.t
	t.Helper()
	if c.Network == "" {
		c.Network, c.Address = "tcp", testenv.Port(t)
	}
	if c.Probation == 0 {
		c.Probation = 200 * time.Millisecond
	}
	if c.Start == 0 {
		c.Start = time.Minute
	}
	if c.Drain == 0 {
		c.Drain = 5 * time.Second
	}
	c.Plan = filepath.Join(s.dir, "plan")
	if c.PIDFile == "" {
		c.PIDFile = filepath.Join(s.dir, "pid")
	}
	s.conf = c
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if s.cmd == nil {
		s.cmd = exec.Command(s.exe)
	}
	s.cmd.Env = append(append(os.Environ(), serverVar+"="+string(text), "GORACE=atexit_sleep_ms=0"), s.env...)
	if s.cmd.Dir == "" {
		s.cmd.Dir = s.dir
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr, s.cmd.Stdout = in, in
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	ended := make(chan struct{})
	s.ended = ended
	go func() {
		defer close(ended)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			s.mu.Lock()
			s.lines = append(s.lines, sc.Text())
			if pid, _, ok := strings.Cut(sc.Text(), " "); ok {
				if n, err := strconv.Atoi(pid); err == nil {
					s.pids[n] = true
				}
			}
			close(s.more)
			s.more = make(chan struct{})
			s.mu.Unlock()
		}
	}()
	s.waited = make(chan struct{})
	go func() { s.cmd.Wait(); close(s.waited) }()
	t.Cleanup(func() {
		if s.inNamespace {
			s.cmd.Process.Kill()
		}
		limit := time.After(patience)
		for left := true; left; { // a successor that is just starting makes itself known by its first line
			s.mu.Lock()
			for pid := range s.pids {
				if !s.inNamespace && isServer(pid) {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			more := s.more
			s.mu.Unlock()
			select {
			case <-more:
			case <-ended:
				left = false
			case <-limit:
				t.Error("a process of the service is left")
				left = false
			}
		}
		<-s.waited
		if t.Failed() {
			s.mu.Lock()
			t.Logf("the service said:\n%s", strings.Join(s.lines, "\n"))
			s.mu.Unlock()
		}
	})
	s.wait("event proved serving")
	return s
}

// isServer guards against a process id that belongs to somebody else by now.
func isServer(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(b, []byte(serverVar))
}

func (s *service) pid() int { return s.cmd.Process.Pid }

// mark is where the log is now; waitAfter looks at what comes later.
func (s *service) mark() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// behind is the mark behind the last line that contains text; 0 if there is none.
func (s *service) behind(text string) (mark int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.lines {
		if strings.Contains(l, text) {
			mark = i + 1
		}
	}
	return mark
}

func (s *service) wait(text string) (pid int, line string) {
	s.t.Helper()
	return s.waitAfter(0, text)
}

// waitAfter waits for a line after mark that contains text.
func (s *service) waitAfter(mark int, text string) (pid int, line string) {
	s.t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		lines, more := s.lines, s.more
		s.mu.Unlock()
		for ; mark < len(lines); mark++ {
			if strings.Contains(lines[mark], text) {
				pid, _ := strconv.Atoi(strings.Fields(lines[mark])[0])
				return pid, lines[mark]
			}
		}
		select {
		case <-more:
		case <-limit:
			s.t.Fatalf("the service never said %q", text)
		}
	}
}

// waitAny waits for a line after mark that contains one of the texts.
func (s *service) waitAny(mark int, texts ...string) (pid int, line string) {
	s.t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		lines, more := s.lines[mark:], s.more
		s.mu.Unlock()
		for _, l := range lines {
			for _, text := range texts {
				if strings.Contains(l, text) {
					pid, _ := strconv.Atoi(strings.Fields(l)[0])
					return pid, l
				}
			}
		}
		select {
		case <-more:
		case <-limit:
			s.t.Fatalf("the service never said one of %q", texts)
		}
	}
}

// count counts the lines from mark on that contain text.
func (s *service) count(mark int, text string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines[mark:] {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (s *service) plan(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.conf.Plan, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) signal(pid int, sig syscall.Signal) {
	s.t.Helper()
	if pid <= 1 {
		s.t.Fatalf("kill %d would hit others", pid)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		s.t.Fatalf("kill %d: %v", pid, err)
	}
}

// handover asks pid for a handover and returns the process id of the proved successor.
func (s *service) handover(pid int) int {
	s.t.Helper()
	mark := s.mark()
	s.signal(pid, syscall.SIGHUP)
	next, _ := s.waitAfter(mark, "this process is in service")
	s.waitAfter(mark, fmt.Sprintf("%d run: <nil>", pid))
	return next
}

// alive asks a new connection who serves.
func (s *service) alive() int {
	s.t.Helper()
	c, err := s.dial()
	if err != nil {
		s.t.Fatalf("nobody serves: %v", err)
	}
	defer c.close()
	pid, err := c.get("/")
	if err != nil {
		s.t.Fatalf("nobody answers: %v", err)
	}
	return pid
}

func (s *service) dial() (*client, error) {
	c, err := net.Dial(s.conf.Network, s.conf.Address)
	if err != nil {
		return nil, err
	}
	if s.conf.TLS {
		c = clientTLS(c, "http/1.1")
	}
	return &client{Conn: c, r: bufio.NewReader(c)}, nil
}

// client is one connection of a client that never retries.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (c *client) close() { c.Conn.Close() }

func (c *client) do(request string) (*http.Response, string, error) {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.Conn, request); err != nil {
		return nil, "", fmt.Errorf("writing: %w", err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, "", fmt.Errorf("reading: %w", err)
	}
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = errors.New(res.Status)
	}
	return res, string(b), err
}

func (c *client) get(path string) (pid int, err error) {
	_, body, err := c.do("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if err == nil {
		_, err = fmt.Sscan(body, &pid)
	}
	return pid, err
}

// load is what many clients do at once; failed must be 0.
type load struct {
	requests, failed, reconnects atomic.Int64
	mu                           sync.Mutex
	errs                         map[string]int
	pids                         map[int]bool
	answers                      []freshAnswer // on new connections
	stop                         chan struct{}
	wg                           sync.WaitGroup
}

// freshAnswer is what a client got that dialled at begun.
type freshAnswer struct {
	begun, ended time.Time
	pid          int
}

// back is how long after death a client that dialled later had an answer of pid. The load must have ended.
func (l *load) back(death time.Time, pid int) (time.Duration, bool) {
	for _, a := range l.answers {
		if a.pid == pid && a.begun.After(death) {
			return a.ended.Sub(death), true
		}
	}
	return 0, false
}

// startLoad lets keep clients use one connection each for ever, and fresh clients a new one for each request. GET and
// POST take turns. A connection that the server ends in order, with "Connection: close", counts as a reconnect.
func startLoad(s *service, keep, fresh int, pause time.Duration) *load {
	l := &load{errs: map[string]int{}, pids: map[int]bool{}, stop: make(chan struct{})}
	client := func(keep bool) {
		var c *client
		defer func() {
			if c != nil {
				c.close()
			}
		}()
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			case <-time.After(pause):
			}
			request := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
			if i%2 == 1 {
				request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
			}
			begun := time.Now()
			if c == nil {
				var err error
				if c, err = s.dial(); err != nil {
					l.fail(err)
					continue
				}
			}
			l.requests.Add(1)
			res, body, err := c.do(request)
			if err != nil {
				l.fail(err)
			} else {
				var pid int
				fmt.Sscan(body, &pid)
				l.mu.Lock()
				l.pids[pid] = true
				if !keep {
					l.answers = append(l.answers, freshAnswer{begun, time.Now(), pid})
				}
				l.mu.Unlock()
			}
			if err != nil || !keep || res.Close {
				if err == nil && keep {
					l.reconnects.Add(1)
				}
				c.close()
				c = nil
			}
		}
	}
	for range keep {
		l.wg.Go(func() { client(true) })
	}
	for range fresh {
		l.wg.Go(func() { client(false) })
	}
	return l
}

func (l *load) fail(err error) {
	l.failed.Add(1)
	text := err.Error()
	var sys syscall.Errno
	if errors.As(err, &sys) {
		text = sys.Error()
	}
	l.mu.Lock()
	l.errs[text]++
	l.mu.Unlock()
}

// answeredBy waits until a request has been answered by a process.
func (l *load) answeredBy(pid int) {
	for {
		l.mu.Lock()
		answered := l.pids[pid]
		l.mu.Unlock()
		if answered {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

// runtimeStats is what must not grow.
type runtimeStats struct{ Descriptors, Goroutines, HeapKB int }

func (m *runtimeStats) read() {
	fds, _ := os.ReadDir("/proc/self/fd")
	m.Descriptors = len(fds)
	m.Goroutines = numGoroutine()
	m.HeapKB = heapKB()
}

// answer is what /status says.
type answer struct {
	Phase       string
	Ready       bool
	PID         int
	Successor   int
	Predecessor bool
	Failed      int
	Error       string
	Stats       runtimeStats
	Env         string
	Started     string
	Secret      string
	NoHUP       bool
}

func (s *service) status() (a answer) {
	s.t.Helper()
	c, err := s.dial()
	if err != nil {
		s.t.Fatalf("nobody serves: %v", err)
	}
	defer c.close()
	_, body, err := c.do("GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
	if err == nil {
		err = json.Unmarshal([]byte(body), &a)
	}
	if err != nil {
		s.t.Fatalf("asking for the status: %v", err)
	}
	return a
}

// childOf returns the first child of pid.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	child := findChild(pid)
	if child == 0 {
		t.Fatalf("process %d has no child", pid)
	}
	return child
}

func findChild(pid int) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var parent int
		if fmt.Sscan(rest, &state, &parent); parent == pid {
			child, _ := strconv.Atoi(strings.Split(name, "/")[2])
			return child
		}
	}
	return 0
}
