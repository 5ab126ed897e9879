//go:build unix

package updater

import (
	"errors"
	"os/exec"
	"syscall"
)

// isolate gives the probed program a process group of its own, so that what it starts ends with it, and so that a
// Ctrl-C meant for us does not look like its own failure.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// notForThis reports that the system knows the file to be a program for another machine, or none.
func notForThis(err error) bool { return errors.Is(err, syscall.ENOEXEC) }
