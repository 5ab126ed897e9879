//go:build unix

package restart

import (
	"os"
	"syscall"
)

const (
	errAddressInUse = syscall.EADDRINUSE
	errConnRefused  = syscall.ECONNREFUSED
)

// sentinel is how tableflip tells a successor that it is one (tableflip v1.2.3, parent.go).
const sentinel = "TABLEFLIP_HAS_PARENT_7DIU3"

// adoptSentinel says whether this process is a successor. tableflip passes two pipes at 3 and 4 and leaves them open
// for every child of ours, which would keep both processes from seeing each other's end. A sentinel without the pipes
// has leaked through some program in between and means nothing.
func adoptSentinel() bool {
	if os.Getenv(sentinel) == "" {
		return false
	}
	for fd := 3; fd <= 4; fd++ {
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
			os.Unsetenv(sentinel)
			return false
		}
	}
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	return true
}

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }
