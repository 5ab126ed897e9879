//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/theseus-go/theseus/cmd/theseus/internal/ui"
	"github.com/theseus-go/theseus/internal/testenv"
)

// Ctrl-C in the middle of the demo leaves nothing: no process, no file. (The demo as a whole is a step of its own in the
// check script: it takes longer than all tests here.)
func TestDemoInterrupted(t *testing.T) {
	testenv.Need(t, "go")
	temp := t.TempDir()
	c := exec.Command("theseus", "demo")
	c.Env = append(os.Environ(), "TMPDIR="+temp)
	story, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })

	lines := bufio.NewScanner(story)
	var said []string
	addr := ""
	for addr == "" && lines.Scan() {
		said = append(said, lines.Text())
		if _, rest, ok := strings.Cut(lines.Text(), "serves at http://"); ok {
			addr, _, _ = strings.Cut(rest, ";")
		}
	}
	if addr == "" {
		t.Fatalf("the server never served:\n%s", strings.Join(said, "\n"))
	}
	// A connection of ours to the server: when its end comes, the process that had it is gone.
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(story)
	if err != nil {
		t.Fatal(err)
	}
	exit, ok := errors.AsType[*exec.ExitError](c.Wait())
	if !ok || exit.ExitCode() != ui.ExitError || !strings.Contains(string(rest), "theseus: interrupted: every process was ended and every file removed") {
		t.Errorf("%v: %s", exit, rest)
	}
	if names, err := os.ReadDir(temp); err != nil || len(names) > 0 {
		t.Errorf("files are left: %v, %v", names, err)
	}
	conn.SetReadDeadline(time.Now().Add(3 * time.Minute))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the server still holds a connection: %v", err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("something still listens")
	}
}

func TestDemoWithoutGo(t *testing.T) {
	bin, err := exec.LookPath("theseus")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(bin, "demo", "--json")
	c.Env = []string{"PATH=/nowhere", "HOME=" + t.TempDir()}
	out, err := c.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	want := "the demo builds a small server and needs Go for it: install Go (https://go.dev/dl) and run this again"
	if !ok || exit.ExitCode() != ui.ExitError || !strings.Contains(string(out), "\ntheseus: "+want+"\n") ||
		!strings.Contains(string(out), `{"ok":false,"requests":0,"failed":0,"versions":[],"triggers":{},"undone":[],"refused":[],"handover_ms":[],`) ||
		!strings.Contains(string(out), `"problems":["`+want) {
		t.Errorf("%v: %s", err, out)
	}
}
