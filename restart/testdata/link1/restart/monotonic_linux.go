package restart

import "golang.org/x/sys/unix"

// monotonic is CLOCK_MONOTONIC in microseconds, which systemd compares with its own.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano() / 1000
}
