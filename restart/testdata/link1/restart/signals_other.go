//go:build !unix

package restart

import (
	"os"
	"syscall"
)

// DefaultSignals drains and stops on an interrupt, and when the console is closed. The caller may change the map.
func DefaultSignals() Signals { return Signals{os.Interrupt: {Do: Stop}, syscall.SIGTERM: {Do: Stop}} }

func die(os.Signal) { os.Exit(1) }
