//go:build !unix

package restart

import "os"

// DefaultSignals drains and stops on an interrupt. The caller may change the map.
func DefaultSignals() Signals { return Signals{os.Interrupt: {Do: Stop}} }

func die(os.Signal) { os.Exit(1) }
