//go:build unix

package restart

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/theseus-go/theseus/restart/internal/anchor"
)

// DefaultSignals is the vocabulary of endless: SIGHUP hands over, SIGTERM and SIGINT drain and stop (twice: at once),
// SIGUSR2 cuts what a drain has left. SIGUSR1 and SIGTSTP are free for hooks; SIGUSR1 is held, so that it does not
// kill a program that sets no hook. The caller may change the map.
func DefaultSignals() Signals {
	return Signals{
		syscall.SIGHUP:  {Do: ActionHandOver},
		syscall.SIGTERM: {Do: ActionStop},
		syscall.SIGINT:  {Do: ActionStop},
		syscall.SIGUSR2: {Do: ActionCut},
		syscall.SIGUSR1: {},
	}
}

type terminal = *anchor.Terminal

func findTerminal() terminal { return anchor.FindTerminal() }

// hungUp reports whether s says that the terminal of this process is gone. An anchor looks after that itself.
func (r *Restarter) hungUp(s os.Signal) bool {
	return s == syscall.SIGHUP && r.anchor == nil && r.terminal.Gone()
}

// surviveBrokenLog keeps a write to standard output or standard error whose reader is gone from ending this process: a
// service outlives the program that keeps its log. The write fails, as for every other descriptor.
func surviveBrokenLog() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// die ends the process as the signal would have, so that whoever waits for it sees the true status.
func die(s os.Signal) {
	signal.Reset(s)
	if n, ok := s.(syscall.Signal); ok {
		syscall.Kill(os.Getpid(), n)
	}
}
