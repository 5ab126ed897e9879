package restart

import "golang.org/x/sys/unix"

// replace makes to another name of the descriptor from.
func replace(to, from int) error { return unix.Dup3(from, to, unix.O_CLOEXEC) }
