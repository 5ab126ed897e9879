//go:build unix

package plain

import "syscall"

// nonBlock: an open of a pipe for reading returns at once, also without a writer.
const nonBlock = syscall.O_NONBLOCK
