//go:build linux || freebsd || netbsd || dragonfly

package restart

import "golang.org/x/sys/unix"

var keepAliveTimes = []socketOption{
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
}
