//go:build !linux

package updater

import "time"

// sinceBoot knows nothing: there the clock on the wall counts.
func sinceBoot() (boot string, up time.Duration) { return "", 0 }
