//go:build unix && !linux

package anchor

// A Terminal is not followed here: SIGHUP has one meaning, the program's.
type Terminal struct{}

// FindTerminal returns nil.
func FindTerminal() *Terminal { return nil }

// Gone returns false.
func (t *Terminal) Gone() bool { return false }
