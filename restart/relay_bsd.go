//go:build unix && !linux

package restart

import "golang.org/x/sys/unix"

// replace makes to another name of the descriptor from.
func replace(to, from int) error {
	if err := unix.Dup2(from, to); err != nil {
		return err
	}
	unix.CloseOnExec(to)
	return nil
}
