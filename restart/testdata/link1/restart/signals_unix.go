//go:build unix

package restart

import (
	"os"
	"os/signal"
	"syscall"
)

// DefaultSignals is the vocabulary of endless: SIGHUP hands over, SIGTERM and SIGINT drain and stop (twice: at once),
// SIGUSR2 cuts what a drain has left. SIGUSR1 and SIGTSTP are free for hooks; SIGUSR1 is held, so that it does not
// kill a program that sets no hook. The caller may change the map.
func DefaultSignals() Signals {
	return Signals{
		syscall.SIGHUP:  {Do: HandOver},
		syscall.SIGTERM: {Do: Stop},
		syscall.SIGINT:  {Do: Stop},
		syscall.SIGUSR2: {Do: Cut},
		syscall.SIGUSR1: {},
	}
}

// die ends the process as the signal would have, so that whoever waits for it sees the true status.
func die(s os.Signal) {
	signal.Reset(s)
	if n, ok := s.(syscall.Signal); ok {
		syscall.Kill(os.Getpid(), n)
	}
}
