package restart

import "os"

// Action is what a signal makes a process do.
type Action uint8

const (
	Nothing  Action = iota // only the hooks run
	HandOver               // start what is on disk now and hand over to it
	Stop                   // drain and stop; a second one ends the drain at once
	Cut                    // end a drain at once (endless calls it the hammer); nothing otherwise
)

// Signal is an action with hooks. Before runs before the action is taken, After when it has been taken, which is
// not when what it started has ended. Both run on the goroutine that decides, so they have to return at once.
// Signals that come faster than they can be obeyed are merged, as the kernel does.
type Signal struct {
	Do     Action
	Before func()
	After  func()
}

// Signals says what each signal does.
type Signals map[os.Signal]Signal
