package restart

import "golang.org/x/sys/unix"

// processName returns the name that the kernel keeps for a process, or "".
func processName(pid int) string {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Proc.P_comm[:])
}
