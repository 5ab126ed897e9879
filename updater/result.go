package updater

// Result is what a check found or an update did.
type Result struct {
	// Replaced is the version at the program's path before.
	Replaced string
	// Offered is the version that this machine should install, "" if none.
	Offered string
	// Installed is the version that was put at the path, "" if none was.
	Installed string
	// Restarted: a successor that runs the installed file serves already, and this process should end.
	Restarted bool
	// Notes are the release notes of what was offered.
	Notes string
	// Critical: the version at the path should not be run any longer.
	Critical bool
	// Managed says who else keeps the file current, and by which command, "" if nobody does: then Update and Rollback
	// refuse with ErrNothing.
	Managed string
}
