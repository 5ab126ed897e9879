package restart_test

import "golang.org/x/sys/unix"

// limitFiles sets how many descriptors a process may have.
func limitFiles(pid int, n uint64) error {
	var l unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &l); err != nil {
		return err
	}
	l.Cur = n
	return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &l, nil)
}
