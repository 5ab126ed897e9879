//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

var signals = map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGHUP": syscall.SIGHUP}

// group gives a process a group of its own, which its successors stay in.
func group(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// endGroup ends whoever is left in it.
func endGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// owner is user and group of a file.
func owner(info os.FileInfo) [2]uint32 {
	s := info.Sys().(*syscall.Stat_t)
	return [2]uint32{s.Uid, s.Gid}
}
