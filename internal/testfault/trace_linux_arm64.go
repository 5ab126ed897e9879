package testfault

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const sysNewfstatat = unix.SYS_FSTATAT

// skipCall makes the call that a thread is entering do nothing. On arm64 the number of the call is a register set of its own.
func skipCall(tid int) error {
	const systemCall = 0x404 // NT_ARM_SYSTEM_CALL
	number := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&number)), Len: uint64(unsafe.Sizeof(number))}
	_, _, e := syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(tid), systemCall, uintptr(unsafe.Pointer(&iov)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// setResult makes the call that a thread is leaving return an error.
func setResult(tid int, errno syscall.Errno) error {
	const general = 1 // NT_PRSTATUS
	var r unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(tid, general, &r); err != nil {
		return err
	}
	r.Regs[0] = -uint64(errno)
	return unix.PtraceSetRegSetArm64(tid, general, &r)
}
