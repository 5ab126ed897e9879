//go:build unix

package program

import (
	"os/exec"
	"syscall"
)

// isolate gives the program a process group of its own, so that what it starts ends with it.
func isolate(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
}
