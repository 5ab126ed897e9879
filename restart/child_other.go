//go:build !linux

package restart

import (
	"os"
	"time"
)

// findSuccessor cannot tell here; tableflip's own limit, which is longer, ends a successor that hangs before it says
// hello.
func findSuccessor(*link) int { return 0 }

// youngestSuccessor cannot tell either.
func youngestSuccessor(int) int { return 0 }

// upgradeLimit is after what time tableflip kills a successor that is not ready.
func upgradeLimit(longest time.Duration) time.Duration { return longest }

func socketName(int) string { return "" }

func isChild(pid int) bool { return pid > 1 && pid != os.Getpid() }
