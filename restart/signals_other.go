//go:build !unix

package restart

import (
	"os"
	"syscall"
)

// DefaultSignals drains and stops on an interrupt, and when the console is closed. The caller may change the map.
func DefaultSignals() Signals {
	return Signals{os.Interrupt: {Do: ActionStop}, syscall.SIGTERM: {Do: ActionStop}}
}

func die(os.Signal) { os.Exit(1) }

func (r *Restarter) hungUp(os.Signal) bool { return false }

type terminal struct{}

func findTerminal() terminal { return terminal{} }

func surviveBrokenLog() {}
