//go:build !linux

package restart

// monotonic is asked for by systemd only.
func monotonic() int64 { return 0 }
