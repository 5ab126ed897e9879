//go:build unix

package anchor

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// ignore tells a successor which signals to ignore from its start on: the process before it was started so (nohup), and
// has caught them since, so that the kernel does not pass that on.
const ignore = "THESEUS_IGNORE"

// ignoreInherited does what the process before this one asks for.
func ignoreInherited() {
	list, ok := os.LookupEnv(ignore)
	if !ok {
		return
	}
	os.Unsetenv(ignore)
	for _, text := range strings.Split(list, ",") {
		if n, err := strconv.Atoi(text); err == nil && (syscall.Signal(n) == syscall.SIGHUP || syscall.Signal(n) == syscall.SIGINT) {
			signal.Ignore(syscall.Signal(n))
		}
	}
}

// Ignoring returns the variable that makes a successor ignore what this process ignores; "" if that is nothing. The
// runtime keeps no other signal ignored than these two.
func Ignoring() string {
	var list []string
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(s) {
			list = append(list, strconv.Itoa(int(s)))
		}
	}
	if list == nil {
		return ""
	}
	return ignore + "=" + strings.Join(list, ",")
}
