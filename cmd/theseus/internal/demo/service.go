package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
)

// A service is the server of the demo: a process at first, then whichever process took over from it.
type service struct {
	path, addr string
	admin      *http.Client  // speaks to its admin endpoint, a unix socket
	group      int           // process group of all its processes
	ended      chan struct{} // closed when the last of them is gone

	mu  sync.Mutex
	log bytes.Buffer
}

// serviceStatus is what the demo reads of GET /update.
type serviceStatus struct {
	PID       int               `json:"pid"`
	Running   string            `json:"running"`
	Installed string            `json:"installed"`
	Proved    bool              `json:"proved"`
	Failed    map[string]string `json:"failed"`
}

func startService(s *stage) (*service, error) {
	dir := filepath.Join(s.dir, "service")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	v := &service{path: filepath.Join(dir, demoApp), ended: make(chan struct{})}
	if err := s.install("1.0.0", v.path); err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "admin.sock")
	v.addr, v.admin = ports[0], adminClient(socket)
	c := exec.Command(v.path, "--listen", v.addr, "--admin", "unix:"+socket, "--updates", s.mirror.url, "--key", s.public,
		"--interval", "1s", "--probation", "2s", "--drain", "10s")
	// Only builds with the tag "faults" look at this, and 1.3.0 is one.
	c.Env = append(os.Environ(), "HELLO_FAULT=crash-after-ready")
	// Every successor inherits the pipe, so its end is the end of the last of them, whoever's child that is.
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = in, in
	ownGroup(c)
	err = c.Start()
	in.Close()
	if err != nil {
		out.Close()
		return nil, ui.Fail(ui.ExitError, "starting hello in %s: %w: set TMPDIR to a folder in which programs may run", dir, err)
	}
	v.group = c.Process.Pid
	go c.Wait() // it ends when a successor has taken over
	go func() {
		defer close(v.ended)
		defer out.Close()
		io.Copy(writer(v.write), out)
	}()
	return v, nil
}

// freePorts finds addresses that nobody listens on. hello cannot choose one itself, because its successors must have the same.
func freePorts(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are found: no two are the same
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// adminURL is where the admin endpoint is, below its socket.
const adminURL = "http://localhost/update"

// adminClient opens a connection for each request, so that it reaches whoever serves then.
func adminClient(socket string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func (v *service) write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.log.Write(p)
}

// printLog shows what the server said last.
func (v *service) printLog(w io.Writer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(v.log.String()), "\n")
	for _, l := range lines[max(0, len(lines)-20):] {
		fmt.Fprintln(w, "   | "+ui.Clean(l))
	}
}

func (v *service) status(ctx context.Context) (s serviceStatus, err error) {
	r, err := http.NewRequestWithContext(ctx, "GET", adminURL, nil)
	if err != nil {
		return s, err
	}
	resp, err := v.admin.Do(r)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&s)
}

// await asks for the status until it is as it should be.
func (v *service) await(ctx context.Context, ok func(serviceStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last serviceStatus
	var err error
	for {
		var s serviceStatus
		if s, err = v.status(ctx); err == nil {
			if last = s; ok(s) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server's last status is %+v: %w", last, errors.Join(ctx.Err(), err))
		case <-v.ended:
			return errors.New("the server ended")
		case <-tick.C:
		}
	}
}

// post asks the server to update itself.
func (v *service) post(ctx context.Context) (code int, err error) {
	for deadline := time.Now().Add(patience); ; {
		resp, err := v.admin.Post(adminURL, "application/json", strings.NewReader("{}"))
		if err != nil {
			return 0, err
		}
		if err := resp.Body.Close(); err != nil {
			return 0, err
		}
		if resp.StatusCode != http.StatusConflict || time.Now().After(deadline) {
			return resp.StatusCode, nil
		}
		select { // 409: on a slow machine a check by the interval is under way
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// stop ends the server as a service manager would, and waits for its last process.
func (v *service) stop(ctx context.Context) error {
	s, err := v.status(ctx)
	if err != nil {
		return err
	}
	if err := terminate(s.PID); err != nil {
		return err
	}
	select {
	case <-v.ended:
		return nil
	case <-time.After(patience):
		return errors.New("the server did not end when it was told to")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill ends whatever is left of the server. It returns when nothing is.
func (v *service) kill() {
	select {
	case <-v.ended: // its process ids may be others' by now
		return
	default:
	}
	killGroup(v.group)
	select {
	case <-v.ended:
	case <-time.After(10 * time.Second):
		ui.Warn("a process of the demo (group %d) does not end: look for it with ps", v.group)
	}
}
