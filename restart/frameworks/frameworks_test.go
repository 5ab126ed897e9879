//go:build unix

// Package frameworks holds no code: its tests hand servers of other people's frameworks over, so that what the
// documentation says of them is tried with the real ones. It is a module of its own, so that the library needs none of them.
package frameworks

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v2"
	"github.com/hibiken/asynq"
	"github.com/labstack/echo/v4"
	"github.com/robfig/cron/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/theseus-go/theseus/restart"
)

const (
	kindVar    = "FRAMEWORK"
	addressVar = "FRAMEWORK_ADDRESS"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(kindVar); kind != "" {
		if err := serve(kind); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

func say(format string, args ...any) {
	fmt.Printf("%d %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

// pause is what every handler does: it says that it has begun, and takes as long as the client wants.
func pause(text string) string {
	if d, _ := time.ParseDuration(text); d > 0 {
		say("begun")
		time.Sleep(d)
	}
	return strconv.Itoa(os.Getpid())
}

// serve is what a user of each framework writes.
func serve(kind string) error {
	r := restart.New(restart.Options{Probation: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	ln, err := r.Listen("tcp", os.Getenv(addressVar))
	if err != nil {
		return err
	}
	switch kind {
	case "gin": // a framework whose router is an http.Handler is given to Serve: then connections are passed on, too
		gin.SetMode(gin.ReleaseMode)
		router := gin.New()
		router.GET("/", func(c *gin.Context) { c.String(http.StatusOK, pause(c.Query("d"))) })
		r.Serve(ln, &http.Server{Handler: router})
	case "echo":
		e := echo.New()
		e.HideBanner, e.HidePort, e.Listener = true, true, ln
		e.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, pause(c.QueryParam("d"))) })
		go e.Start("")
		r.OnDrain("echo", restart.Graceful(e))
	case "fiber":
		app := fiber.New(fiber.Config{DisableStartupMessage: true})
		app.Get("/", func(c *fiber.Ctx) error { return c.SendString(pause(c.Query("d"))) })
		go app.Listener(ln)
		r.OnDrain("fiber", restart.Graceful(app))
	case "grpc":
		srv := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			var d durationpb.Duration
			if err := stream.RecvMsg(&d); err != nil {
				return err
			}
			return stream.SendMsg(wrapperspb.String(pause(d.AsDuration().String())))
		}))
		go srv.Serve(ln)
		r.OnDrain("grpc", restart.Graceful(srv))
	case "cron": // schedules run in the process in service only, so they are a worker; its jobs are finished
		r.Serve(ln, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, pause("")) })})
		r.Go(func(ctx context.Context) error {
			c := cron.New(cron.WithSeconds())
			c.AddFunc("* * * * * *", func() {
				pause("1500ms")
				say("the job is done")
			})
			c.Start()
			<-ctx.Done()
			return restart.Graceful(c)(context.WithoutCancel(ctx))
		})
	}
	err = r.Run(context.Background())
	say("run: %v", err)
	return err
}

// service is the program under test, with its successors.
type service struct {
	t     *testing.T
	addr  string
	cmd   *exec.Cmd
	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

func start(t *testing.T, kind string) *service {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, addr: ln.Addr().String(), more: make(chan struct{})}
	ln.Close()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(os.Args[0])
	s.cmd.Env = append(os.Environ(), kindVar+"="+kind, addressVar+"="+s.addr)
	s.cmd.Stdout, s.cmd.Stderr = in, in
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go s.cmd.Wait()
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			s.mu.Lock()
			s.lines = append(s.lines, sc.Text())
			close(s.more)
			s.more = make(chan struct{})
			s.mu.Unlock()
		}
	}()
	return s
}

// wait returns when that process has said text.
func (s *service) wait(pid int, text string) {
	s.t.Helper()
	want := fmt.Sprintf("%d %s", pid, text)
	limit := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		more, lines := s.more, strings.Join(s.lines, "\n")
		s.mu.Unlock()
		if strings.Contains("\n"+lines+"\n", "\n"+want+"\n") {
			return
		}
		select {
		case <-more:
		case <-limit:
			s.t.Fatalf("%q was never said; what was:\n%s", want, lines)
		}
	}
}

// ask asks the service to take d, and returns the process that has answered.
type ask func(d time.Duration) (pid int, err error)

func httpClient(t *testing.T, addr string) ask {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(d time.Duration) (int, error) {
		res, err := client.Get("http://" + addr + "/?d=" + d.String())
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(string(b))
	}
}

func grpcClient(t *testing.T, addr string) ask {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func(d time.Duration) (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var out wrapperspb.StringValue
		if err := c.Invoke(ctx, "/test/pause", durationpb.New(d), &out); err != nil {
			return 0, err
		}
		return strconv.Atoi(out.Value)
	}
}

// up waits until the service answers for the first time.
func (s *service) up(a ask) int {
	s.t.Helper()
	var err error
	for range 500 {
		var pid int
		if pid, err = a(0); err == nil {
			s.t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
			return pid
		}
		time.Sleep(10 * time.Millisecond) // it says nothing when it listens
	}
	s.t.Fatalf("it never answered: %v", err)
	return 0
}

// TestHandover: a call that was begun ends in the process that began it, no call fails, the next process answers, and
// both end in order.
func TestHandover(t *testing.T) {
	for kind, client := range map[string]func(*testing.T, string) ask{
		"gin": httpClient, "echo": httpClient, "fiber": httpClient, "grpc": grpcClient,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t, kind)
			a := client(t, s.addr)
			old := s.up(a)
			type answer struct {
				pid int
				err error
			}
			slow := make(chan answer, 1)
			go func() {
				pid, err := a(time.Second)
				slow <- answer{pid, err}
			}()
			s.wait(old, "begun")
			if err := syscall.Kill(old, syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			next := old
			for limit := time.Now().Add(20 * time.Second); next == old && time.Now().Before(limit); {
				pid, err := a(0)
				if err != nil {
					t.Fatalf("a call failed during the handover: %v", err)
				}
				next = pid
			}
			if next == old {
				t.Fatal("no other process has taken over")
			}
			t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
			if got := <-slow; got.err != nil || got.pid != old {
				t.Errorf("the call that was begun before: answered by %d (%v), want %d", got.pid, got.err, old)
			}
			s.wait(old, "run: <nil>")
			if err := syscall.Kill(next, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			s.wait(next, "run: <nil>")
		})
	}
}

// TestSchedule: a job that was begun is finished by the process that began it, and only then the next one's schedule
// runs.
func TestSchedule(t *testing.T) {
	t.Parallel()
	s := start(t, "cron")
	a := httpClient(t, s.addr)
	old := s.up(a)
	s.wait(old, "begun")
	if err := syscall.Kill(old, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.wait(old, "run: <nil>")
	next := s.up(a)
	s.wait(next, "begun")
	s.mu.Lock()
	defer s.mu.Unlock()
	running := 0
	for _, line := range s.lines {
		pid, text, _ := strings.Cut(line, " ")
		switch {
		case pid == strconv.Itoa(old) && text == "begun":
			running++
		case pid == strconv.Itoa(old) && text == "the job is done":
			running--
		case text == "begun" && running != 0:
			t.Errorf("%s has begun while %d jobs of %d ran", pid, running, old)
		}
	}
	if running != 0 {
		t.Errorf("%d jobs were not finished", running)
	}
}

// TestAdapters: the methods that Graceful looks for are those that the libraries have.
func TestAdapters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for name, server := range map[string]any{
		"asynq": asynq.NewServer(asynq.RedisClientOpt{Addr: "127.0.0.1:1"}, asynq.Config{Logger: quiet{}}),
		"cron":  cron.New(),
		"echo":  echo.New(),
		"fiber": fiber.New(),
		"grpc":  grpc.NewServer(),
	} {
		if err := restart.Graceful(server)(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type quiet struct{}

func (quiet) Debug(...any) {}
func (quiet) Info(...any)  {}
func (quiet) Warn(...any)  {}
func (quiet) Error(...any) {}
func (quiet) Fatal(...any) {}
