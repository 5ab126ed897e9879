//go:build unix

package restart

import (
	"os"
	"testing"
)

// TestStartBy fails with a release of tableflip that starts processes in another way: a successor would then get what the
// program has made of its arguments and environment.
func TestStartBy(t *testing.T) {
	upg, err := newUpgrader()
	if err != nil {
		t.Fatal(err)
	}
	if !begun.startBy(upg) {
		t.Error("tableflip's Upgrader does not keep the function that starts a process where it is expected")
	}
}

// TestWaiters: a name is as long as the kernel keeps it.
func TestWaiters(t *testing.T) {
	for name, want := range map[string]bool{
		"runsv": true, "supervise-daemo": true, "-bash": true, "tmux: server": true, "containerd-shim": true,
		"restart.test": false, "python3": false, "": false, "init": false,
	} {
		if got := isWaiter(os.Getpid(), name); got != want {
			t.Errorf("isWaiter(%q) = %v", name, got)
		}
	}
}

// TestSurvey: an option decides, and where nobody is known to follow, that is said.
func TestSurvey(t *testing.T) {
	for _, name := range []string{"NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "INVOCATION_ID"} {
		t.Setenv(name, "")
	}
	for _, c := range []struct {
		o             Options
		anchor, doubt bool
	}{
		{Options{Anchor: AnchorAlways}, true, false},
		{Options{Anchor: AnchorNever}, false, false},
		{Options{PIDFile: "x"}, Survey(Options{}).Anchor, false},
	} {
		if got := Survey(c.o); got.Anchor != c.anchor || got.Doubt != c.doubt || got.Text == "" {
			t.Errorf("Survey(%+v) = %+v", c.o, got)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	if got := Survey(Options{}); got.Anchor && os.Getpid() != 1 || got.Doubt {
		t.Errorf("with NOTIFY_SOCKET: %+v", got)
	}
}
