package restart

import (
	"os"
)

// The machine decides, and does nothing itself. step takes a state and an event, and returns the next state and the actions
// to perform. So every order of events can be a row in a table, tested without processes. One goroutine (Restarter.loop)
// owns the state, passes events to step, and performs the actions in order.
//
// The idea is "late Ready": for tableflip an upgrade is in progress until the new process calls Ready, and here it calls
// Ready at the end of probation. So for tableflip a new process that dies, hangs, is ill or leaves before then is an
// upgrade that failed, and the Upgrader, the listeners and the process id of the old process are what they were.

// A state is everything that the machine remembers.
type state struct {
	phase             Phase
	successor         bool  // a predecessor waits for this process to prove itself
	alone             bool  // the predecessor died before this process had proved itself
	older             int   // processes before this one that have not exited
	idle              bool  // our workers have ended, but perhaps not those of the predecessor: the successor has to wait
	free              bool  // the workers of the predecessor have ended, so ours may run
	want              bool  // a handover is asked for, and begins when nothing is in the way
	again             bool  // a signal asked for another one during a handover; the process that survives carries it out
	call              *call // the call of Handover that waits; nil if a signal asked
	child             int   // the process id of the successor, 0 before its hello
	failedOnProbation bool  // the successor failed after it began to serve
	granted           bool  // the successor may commit: it is neither recalled nor killed from now on
	exclusive         bool  // Options.Exclusive is set
	reacquiring       bool  // doReacquire is under way
	yielded           bool  // this process has let go of what is exclusive, or is about to
	stop              bool  // this process ends as soon as it can
	undoing           bool  // the functions of OnFailure are running
	cause             error // why the successor has to go
	err               error // Run will return it
	stops             int   // signals to stop that came while draining
}

type eventKind uint8

const (
	evNothing    eventKind = iota
	evRun                  // Run was called
	evHangup               // a signal asks for a handover
	evCall                 // Handover asks for one
	evCancel               // the context of that call has ended
	evStop                 // a signal, or the context of Run
	evCut                  // SIGUSR2: cut the drain
	evBroken               // a server or a worker ended with err
	evIdle                 // our workers have ended
	evDrained              // the drain is over
	evUndone               // the functions of OnFailure have returned
	evUpgraded             // tableflip's Upgrade has returned err
	evHello                // successor: I am pid
	evServing              // successor: I serve
	evWell                 // successor: I am well
	evProved               // successor: my probation is over, may I commit?
	evBack                 // successor: I leave, and give back what I have; err nil: I was told to
	evTimeStart            // the successor's time to start is over
	evTimeSilent           // no report for too long
	evTimeKill             // the successor was told to go, and has not gone
	evFree                 // predecessor: my workers have ended
	evTold                 // predecessor: stop, I do
	evRecall               // predecessor: give back what you have and go
	evOrphan               // the predecessor is gone, and had not let go
	evParentGone           // the predecessor has exited
	evGranted              // predecessor: commit
	evOlder                // predecessor: n processes before me have not exited
	evWaiting              // successor: I could serve, and wait for what is exclusive
	evYours                // predecessor: I have let go of it
	evReleased             // we have let go of it, or err
	evAcquired             // we have it, or err
	evLinkLost             // the link has ended, and the predecessor lives
	evTimePassed           // our probation is over; ask: the predecessor wants to be asked before we commit
	evIll                  // Health answered err, or nothing
)

type event struct {
	kind eventKind
	pid  int
	err  error
	call *call
	sig  os.Signal
	ask  bool
	n    int
}

// maxDraining is how many processes may drain at once, this one included once it has handed over. A further request waits
// for the end of the oldest.
const maxDraining = 3

type verb uint8

const (
	doCommit          verb = iota // make this process the one in service: Ready, PID file, service manager
	doOpen                        // accept
	doPark                        // accept no more; nothing is closed
	doRelease                     // let go of the listeners for good
	doWork                        // run the workers
	doRest                        // end the workers, then send evIdle
	doUpgrade                     // start the successor, later send evUpgraded
	doTellSuccessor               // send it msg
	doTellPredecessor             // send it msg and text
	doKill                        // kill the successor
	doArm                         // start the timer that sends the event time
	doDisarm                      // stop it
	doProve                       // begin our probation: health checks, time limit
	doAnswer                      // let call return err
	doFail                        // report err: a handover from this process failed
	doUndo                        // run the functions of OnFailure with err, then send evUndone
	doGiveBack                    // pass all connections to the predecessor, then send evDrained
	doHandOn                      // drain: pass all connections to the successor, then send evDrained
	doStop                        // drain: nobody takes over, then send evDrained
	doCut                         // end the drain now
	doDie                         // end as the signal sig would have ended this process
	doAcquire                     // call Exclusive.Acquire, then send evAcquired
	doReacquire                   // end doYield; call Acquire until it succeeds, then send evAcquired
	doYield                       // finish the requests, let connections leave, call Exclusive.Release, then send evReleased
	doEnd                         // let Run return err
)

type action struct {
	do   verb
	msg  byte
	time eventKind
	text string
	err  error
	call *call
	sig  os.Signal
}
