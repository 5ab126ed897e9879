package blame_test

import (
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/internal/testenv"
)

// spin starts a process that wants one processor, and no other, whenever it can have it.
func spin(t *testing.T, policy string) *exec.Cmd {
	t.Helper()
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	first := 0
	for !may.IsSet(first) {
		first++
	}
	cmd := exec.Command("taskset", "-c", strconv.Itoa(first), "chrt", policy, "0", "sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// Whoever is silent is judged by the processor time that it got.
func TestR07SilentProcess(t *testing.T) {
	testenv.Need(t, "taskset", "chrt")
	hog, starved := spin(t, "--other"), spin(t, "--idle")
	time.Sleep(100 * time.Millisecond) // both have begun to spin; there is no event for it
	busy, wants := blame.NewWatch(hog.Process.Pid), blame.NewWatch(starved.Process.Pid)
	idle := exec.Command("sleep", "60")
	if err := idle.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { idle.Process.Kill(); idle.Wait() })
	sleeps := blame.NewWatch(idle.Process.Pid)
	time.Sleep(time.Second)
	if f, why := busy.Silent(); f != blame.Release {
		t.Errorf("a process that runs: %s, %s", f, why)
	}
	if f, why := sleeps.Silent(); f != blame.Release {
		t.Errorf("a process that wants nothing: %s, %s", f, why)
	}
	if f, why := wants.Silent(); f != blame.Machine || why == "" {
		t.Errorf("a process that waits for a processor: %s, %q", f, why)
	}
	if err := starved.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for f := blame.Machine; f != blame.Unknown; f, _ = wants.Silent() {
		time.Sleep(time.Millisecond)
	}
}
