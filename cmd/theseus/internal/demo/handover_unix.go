//go:build unix

package demo

import (
	"os/exec"
	"syscall"
)

// canHandOver: listening sockets can be passed to another process here (package restart).
const canHandOver = true

// ownGroup keeps a process and its successors together, and Ctrl-C on the terminal away from them: the demo ends them itself.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(group int) { syscall.Kill(-group, syscall.SIGKILL) }

func terminate(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }

// alive also holds for a process that has ended and was not waited for: for a moment, here, until the old process does.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
