//go:build unix && !linux && !freebsd && !netbsd && !dragonfly && !darwin

package restart

var keepAliveTimes []socketOption // one socket cannot differ from the others
