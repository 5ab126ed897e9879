package testenv

import (
	"os"
	"syscall"
)

// WriteProgram writes a file that will be run. A child that is forked while the file is open for writing has it open too
// until it executes its own program, and nobody can run the file meanwhile (ETXTBSY): so it is not forked meanwhile.
func WriteProgram(path string, b []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, b, 0o755)
}
