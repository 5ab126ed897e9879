//go:build unix

package restart

import "golang.org/x/sys/unix"

// A socketOption is one that package net sets on every connection that it makes of a file, whatever it was before.
type socketOption struct{ level, name int }

var resetByNet = append([]socketOption{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE},
}, keepAliveTimes...)

// keptOptions returns a function that sets the options of a socket back to what they are now. Those that the socket does not
// have are left alone: a unix socket knows nothing of TCP.
func keptOptions(fd int) (restore func()) {
	values := make(map[socketOption]int, len(resetByNet))
	for _, o := range resetByNet {
		if v, err := unix.GetsockoptInt(fd, o.level, o.name); err == nil {
			values[o] = v
		}
	}
	return func() {
		for o, v := range values {
			unix.SetsockoptInt(fd, o.level, o.name, v)
		}
	}
}
