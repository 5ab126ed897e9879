package updater

// instance is another process of the program.
type instance struct {
	PID, User int
	// Current: it runs the file that is at the path now.
	Current bool
	groups  []string
}
