//go:build unix

package plain

import "syscall"

// nonBlock makes opening a pipe for reading return at once, even without a writer.
const nonBlock = syscall.O_NONBLOCK
