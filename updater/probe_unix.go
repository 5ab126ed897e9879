//go:build unix

package updater

import (
	"os/exec"
	"syscall"
)

// isolate gives the probed program a process group of its own, so that what it starts ends with it, and so that a
// Ctrl-C meant for us does not look like its own failure.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
