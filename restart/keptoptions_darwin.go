package restart

import "golang.org/x/sys/unix"

var keepAliveTimes = []socketOption{
	{unix.IPPROTO_TCP, unix.TCP_KEEPALIVE},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
}
