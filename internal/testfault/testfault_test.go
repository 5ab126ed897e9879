package testfault_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-go/theseus/internal/testfault"
)

// The test binary is also the program that is broken.
func TestMain(m *testing.M) {
	switch os.Getenv("THESEUS_TESTFAULT") {
	case "":
		os.Exit(m.Run())
	case "usual swap": // as most updaters do it
		check(os.Rename("app", "app.old"))
		check(os.Rename("app.new", "app"))
	case "two threads": // the same, each rename by a thread of its own
		onItsOwnThread(func() { check(os.Rename("app", "app.old")) })
		onItsOwnThread(func() { check(os.Rename("app.new", "app")) })
	case "child": // what a child does is not counted
		check(exec.Command("/bin/mv", "app", "app.old").Run())
		check(os.Rename("app.new", "app"))
	case "stubborn": // goes on whatever happens
		for i := range 3 {
			if err := os.Mkdir(fmt.Sprint(i), 0o755); err != nil {
				fmt.Println(i, err)
			}
		}
		check(os.Rename("app.new", "app"))
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func onItsOwnThread(do func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		defer close(done)
		do()
	}()
	<-done
}

func program(do string, check func(tb testing.TB, run testfault.Run)) testfault.Program {
	return testfault.Program{
		Command: func(tb testing.TB) *exec.Cmd {
			dir := tb.TempDir()
			for _, name := range []string{"app", "app.new"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o755); err != nil {
					tb.Fatal(err)
				}
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "THESEUS_TESTFAULT="+do)
			cmd.Dir = dir
			return cmd
		},
		Check: check,
	}
}

// The harness finds the one point at which the usual swap leaves no executable, also where each call has its own thread.
func TestFindsWhatIsWrong(t *testing.T) {
	for _, do := range []string{"usual swap", "two threads"} {
		t.Run(do, func(t *testing.T) {
			var gone, died int
			var where testfault.Point
			n := program(do, func(tb testing.TB, run testfault.Run) {
				if run.State.Signal == syscall.SIGKILL {
					died++
				}
				if _, err := os.Stat(filepath.Join(run.Cmd.Dir, "app")); err != nil {
					gone++
					where = run.Point
				}
			}).Kill(t)
			if n != 2 || died != 2 || gone != 1 || where.Call != "renameat" || where.Nth != 2 || where.Path != "./app.new -> ./app" {
				t.Errorf("%d points, died at %d, no executable at %d, the last at %v", n, died, gone, where)
			}
		})
	}
}

func TestChildrenAreNotCounted(t *testing.T) {
	points := program("child", func(testing.TB, testfault.Run) {}).Points(t)
	if len(points) != 1 {
		t.Errorf("%v", points)
	}
}

func TestErrors(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(p testfault.Program) int
		said []string // at each point
	}{
		{"once", func(p testfault.Program) int { p.Calls = []string{"mkdirat"}; return p.Fail(t, syscall.EIO) }, []string{"0", "1", "2"}},
		{"from there on", func(p testfault.Program) int { p.Calls = []string{"mkdirat"}; return p.FailFrom(t, syscall.EIO) }, []string{"0 1 2", "1 2", "2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var said []string
			p := program("stubborn", func(tb testing.TB, run testfault.Run) {
				if run.Errno == 0 || run.Point.Index == 0 {
					return
				}
				var failed []string
				for line := range strings.Lines(run.Out) {
					if !strings.Contains(line, "input/output error") {
						tb.Errorf("%q", line)
					}
					failed = append(failed, line[:1])
					if _, err := os.Stat(filepath.Join(run.Cmd.Dir, line[:1])); err == nil {
						tb.Error("the call failed and was made all the same")
					}
				}
				said = append(said, strings.Join(failed, " "))
			})
			if n := row.do(p); n != 3 || fmt.Sprint(said) != fmt.Sprint(row.said) {
				t.Errorf("%d points, failed %q, want %q", n, said, row.said)
			}
		})
	}
}

func TestAlways(t *testing.T) {
	runs := 0
	p := program("stubborn", func(tb testing.TB, run testfault.Run) {
		runs++
		if run.Point.Index == 0 && strings.Count(run.Out, "operation not supported") != 3 {
			tb.Errorf("%s", run.Out)
		}
	})
	p.Always = map[string]syscall.Errno{"mkdirat": syscall.ENOTSUP}
	if n := p.Kill(t); n != 1 || runs != 2 { // without a fault, and killed at the rename
		t.Errorf("%d points, %d runs: calls that always fail are no points", n, runs)
	}
}
