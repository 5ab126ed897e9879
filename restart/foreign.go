package restart

import (
	"os"
	"strconv"
	"strings"
)

// Predecessors that speak another protocol than tableflip's: they have put their sockets at 3 and following, and say how
// many in the environment.

// takeForeign takes over the sockets of endless or overseer, and returns what to do when this process serves: nil if
// neither has started it.
func (a *activated) takeForeign() (name string, serves func()) {
	switch {
	case os.Getenv("ENDLESS_CONTINUE") != "":
		// endless names the addresses of its servers if there are several. It accepts beside us until it is told to
		// drain, by a signal to the parent.
		addresses := strings.Split(os.Getenv("ENDLESS_SOCKET_ORDER"), ",")
		parent := os.Getppid()
		for _, name := range []string{"ENDLESS_CONTINUE", "ENDLESS_SOCKET_ORDER"} {
			os.Unsetenv(name)
		}
		if !a.adopt(len(addresses)) {
			return "", nil
		}
		return "endless", func() {
			if parent > 1 && parent == os.Getppid() {
				terminate(parent)
			}
		}
	case os.Getenv("OVERSEER_IS_SLAVE") == "1":
		// overseer's master has opened the sockets, passes signals on to us, and ends when we do.
		n, _ := strconv.Atoi(os.Getenv("OVERSEER_NUM_FDS"))
		for _, name := range []string{"OVERSEER_IS_SLAVE", "OVERSEER_NUM_FDS", "OVERSEER_SLAVE_ID", "OVERSEER_BIN_ID", "OVERSEER_BIN_PATH"} {
			os.Unsetenv(name)
		}
		if !a.adopt(n) {
			return "", nil
		}
		return "overseer", func() {}
	}
	return "", nil
}

// adopt takes n sockets, from 3 on. It takes none, and returns false, if one of them is no listening socket: then the
// variables have leaked through some other program.
func (a *activated) adopt(n int) bool {
	for i := range n {
		if !isListening(3 + i) {
			return false
		}
	}
	for i := range n {
		closeOnExec(3 + i)
		a.files = append(a.files, os.NewFile(uintptr(3+i), "socket "+strconv.Itoa(i+1)))
	}
	return n > 0
}
