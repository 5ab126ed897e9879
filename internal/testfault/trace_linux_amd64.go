package testfault

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const sysNewfstatat = unix.SYS_NEWFSTATAT

func init() {
	for name, c := range map[string]call{
		"open":     {number: unix.SYS_OPEN, paths: []int{0}, at: false, fd: -1},
		"creat":    {number: unix.SYS_CREAT, paths: []int{0}, at: false, fd: -1},
		"rename":   {number: unix.SYS_RENAME, paths: []int{0, 1}, at: false, fd: -1},
		"link":     {number: unix.SYS_LINK, paths: []int{0, 1}, at: false, fd: -1},
		"symlink":  {number: unix.SYS_SYMLINK, paths: []int{1}, at: false, fd: -1},
		"unlink":   {number: unix.SYS_UNLINK, paths: []int{0}, at: false, fd: -1},
		"rmdir":    {number: unix.SYS_RMDIR, paths: []int{0}, at: false, fd: -1},
		"mkdir":    {number: unix.SYS_MKDIR, paths: []int{0}, at: false, fd: -1},
		"mknod":    {number: unix.SYS_MKNOD, paths: []int{0}, at: false, fd: -1},
		"chmod":    {number: unix.SYS_CHMOD, paths: []int{0}, at: false, fd: -1},
		"chown":    {number: unix.SYS_CHOWN, paths: []int{0}, at: false, fd: -1},
		"lchown":   {number: unix.SYS_LCHOWN, paths: []int{0}, at: false, fd: -1},
		"stat":     {number: unix.SYS_STAT, paths: []int{0}, at: false, fd: -1},
		"lstat":    {number: unix.SYS_LSTAT, paths: []int{0}, at: false, fd: -1},
		"access":   {number: unix.SYS_ACCESS, paths: []int{0}, at: false, fd: -1},
		"readlink": {number: unix.SYS_READLINK, paths: []int{0}, at: false, fd: -1},
	} {
		table[name] = c
	}
}

// skipCall makes the call that a thread is entering do nothing.
func skipCall(tid int) error {
	var r syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	r.Orig_rax = ^uint64(0)
	return syscall.PtraceSetRegs(tid, &r)
}

// setResult makes the call that a thread is leaving return an error.
func setResult(tid int, errno syscall.Errno) error {
	var r syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	r.Rax = -uint64(errno)
	return syscall.PtraceSetRegs(tid, &r)
}
