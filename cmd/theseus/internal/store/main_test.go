package store

import "os"

// setenv sets a variable for the whole test process: tests that run side by side want the same.
func setenv(name, value string) error { return os.Setenv(name, value) }
