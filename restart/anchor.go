package restart

// Anchor says whether the process that was started keeps its process id for the life of the service. An anchor is that
// process, executed anew: it starts the program once more, passes signals on to the process in service, and ends as the
// last one has ended. It takes the place of a supervisor that follows its service, and costs two to three megabytes.
// Code before the first Listen, ListenPacket or Run runs twice.
type Anchor uint8

const (
	// AnchorAuto makes an anchor where somebody is known to wait for the process that was started (a container, runit,
	// s6, supervisord, tini, a shell, systemd with Type=simple and so on) and nobody is told of another one
	// (NOTIFY_SOCKET). [Survey] tells what it decides.
	AnchorAuto Anchor = iota
	AnchorAlways
	AnchorNever
)

// Surroundings is what has started this process, and what that means for a handover.
type Surroundings struct {
	Anchor bool   // an anchor keeps the process id
	Doubt  bool   // nobody is known to follow the service from one process to the next
	Text   string // a sentence that says why
}
