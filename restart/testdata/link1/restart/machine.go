package restart

import (
	"errors"
	"fmt"
	"os"
)

// The machine decides; it does nothing. step is a function from a state and an event to the next state and what has
// to be done, so that every order in which things can happen is a row in a table and needs no process. One goroutine
// (Restarter.loop) owns the state, feeds it and carries out what it says, in order.
//
// The idea is "late Ready": to tableflip an upgrade is in progress until the new process calls Ready, and Ready is
// called when probation has passed. So a new process that dies, hangs, is ill or leaves before that is to tableflip
// an upgrade that failed, and the Upgrader, the listeners and the process id of the old one are as they were.

// state is all that the machine remembers.
type state struct {
	phase     Phase
	successor bool  // this process has a predecessor, which waits for it to prove itself
	alone     bool  // the predecessor died before that
	parent    bool  // the predecessor has not exited; a further handover has to wait for it
	free      bool  // the workers of the predecessor have ended, ours may run
	want      bool  // a handover is asked for: now, or when parent is false
	again     bool  // a signal asked for one while one was under way: the survivor's business
	call      *call // the caller of Handover that waits; nil: a signal asked
	child     int   // process id of the successor, 0 before its hello
	served    bool  // the phase in which the successor failed was its probation
	stop      bool  // this process ends as soon as it may
	undoing   bool  // the functions of OnFailure run
	cause     error // why the successor has to go
	err       error // what Run will return
	stops     int   // signals to stop, counted while draining
}

type eventKind uint8

const (
	evNothing    eventKind = iota
	evRun                  // Run was called
	evHangup               // a signal asks for a handover
	evCall                 // Handover asks for one
	evCancel               // the context of that call has ended
	evStop                 // a signal, or the context of Run
	evCut                  // the hammer
	evBroken               // a server or a worker ended with err
	evIdle                 // our workers have ended
	evDrained              // the drain is over
	evUndone               // the functions of OnFailure have returned
	evUpgraded             // tableflip's Upgrade has returned err
	evHello                // successor: I am pid
	evServing              // successor: I serve
	evWell                 // successor: I am well
	evBack                 // successor: I leave, and give back what I have; err nil: I was told to
	evTimeStart            // the successor's time to start is over
	evTimeSilent           // no report for too long
	evTimeKill             // the successor was told to go, and has not gone
	evFree                 // predecessor: my workers have ended
	evTold                 // predecessor: stop, I do
	evRecall               // predecessor: give back what you have and go
	evOrphan               // the link to the predecessor has ended
	evParentGone           // the predecessor has exited
	evTimePassed           // our probation is over
	evIll                  // Health answered err, or nothing
)

type event struct {
	kind eventKind
	pid  int
	err  error
	call *call
	sig  os.Signal
}

type verb uint8

const (
	doCommit   verb = iota // this process is the one: Ready, PID file, service manager
	doOpen                 // accept
	doPark                 // accept no more; nothing is closed
	doRelease              // let go of the listeners for good
	doWork                 // run the workers
	doRest                 // end the workers, then evIdle
	doUpgrade              // start the successor, then evUpgraded
	doSay                  // msg to the successor
	doTell                 // msg to the predecessor
	doKill                 // the successor
	doArm                  // timer, named by its event
	doDisarm               // the same
	doTrial                // begin our probation: health, limit
	doAnswer               // err to call
	doFail                 // report err: a handover from this process did not succeed
	doUndo                 // run the functions of OnFailure with err, then evUndone
	doGiveBack             // pass all connections to the predecessor, then evDrained
	doHandOn               // drain: pass all connections to the successor, then evDrained
	doStop                 // drain: nobody takes over, then evDrained
	doCut                  // end the drain now
	doDie                  // end as sig would have ended us
	doEnd                  // let Run return err
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

func (s *state) running() bool { return s.phase != Starting && s.phase != Stopped }

// step is the whole of the machine.
func step(s state, e event) (state, []action) {
	var do []action
	act := func(a ...action) { do = append(do, a...) }

	// begin starts a handover if one is wanted and nothing is in the way.
	begin := func() {
		if s.phase != Serving || !s.want || s.parent || s.undoing {
			return
		}
		s.phase, s.want, s.child, s.cause = HandingOver, false, 0, nil
		act(action{do: doUpgrade}, action{do: doArm, time: evTimeStart})
	}
	// recall makes the successor go, for a reason; the old process is back in service at once.
	recall := func(why error, msg byte) {
		if s.cause == nil {
			s.cause = why
		}
		s.served = s.phase == StandingBy
		s.phase = Recalling
		if !s.stop {
			act(action{do: doOpen})
		}
		act(action{do: doDisarm, time: evTimeStart}, action{do: doDisarm, time: evTimeSilent})
		if msg != 0 {
			act(action{do: doSay, msg: msg})
		}
		act(action{do: doArm, time: evTimeKill})
	}
	// leave ends the service of this process with nobody to take over.
	leave := func() {
		s.phase, s.stop, s.want, s.again = Draining, true, false, false
		act(action{do: doRest}, action{do: doStop})
		if s.call != nil {
			act(action{do: doAnswer, call: s.call, err: errTold})
			s.call = nil
		}
	}
	// commit makes this process the one in service.
	commit := func() {
		s.phase, s.successor = Serving, false
		act(action{do: doCommit})
	}
	// back makes a process in probation return what it has.
	back := func(why error) {
		s.phase = Returning
		text := ""
		if why != nil {
			text = why.Error()
		}
		act(action{do: doPark}, action{do: doTell, msg: msgBack, text: text}, action{do: doRest}, action{do: doGiveBack})
		if s.call != nil {
			act(action{do: doAnswer, call: s.call, err: errTold})
			s.call = nil
		}
	}

	// count counts signals only: a context that ends because of the same signal is not a second one.
	count := func() {
		if e.sig != nil {
			s.stops++
		}
	}
	// unlock lets our workers run: those of the predecessor have ended.
	unlock := func() {
		if !s.free {
			s.free = true
			if s.phase == Probation || s.phase == Serving {
				act(action{do: doWork})
			}
		}
	}

	switch e.kind {
	case evRun:
		switch {
		case s.phase != Starting:
		case s.stop: // the predecessor has told us to go before we came so far
			s.phase = Stopped
			act(action{do: doEnd, err: s.err})
		case s.successor && !s.alone:
			s.phase = Probation
			act(action{do: doOpen}, action{do: doTell, msg: msgServing}, action{do: doTrial})
			if s.free {
				act(action{do: doWork})
			}
		default:
			commit()
			act(action{do: doOpen}, action{do: doWork})
			begin()
		}

	case evHangup:
		switch s.phase {
		case Starting, Probation, Serving:
			s.want = true
			begin()
		case HandingOver, StandingBy:
			s.again = true
		case Draining:
			if !s.stop {
				act(action{do: doSay, msg: msgHangup})
			}
		}

	case evCall:
		switch {
		case !s.running():
			act(action{do: doAnswer, call: e.call, err: ErrNotRunning})
		case s.phase == Draining || s.phase == Returning || s.stop:
			act(action{do: doAnswer, call: e.call, err: errTold})
		case s.phase != Serving && s.phase != Probation || s.call != nil || s.undoing:
			act(action{do: doAnswer, call: e.call, err: ErrBusy})
		default:
			s.call, s.want = e.call, true
			begin()
		}

	case evCancel:
		switch {
		case s.call == nil || s.call != e.call:
		case s.phase == HandingOver || s.phase == StandingBy:
			recall(calledOff(fmt.Errorf("the caller has given up: %w", e.err)), msgRecall)
		case s.phase == Serving || s.phase == Probation: // it was waiting
			act(action{do: doAnswer, call: s.call, err: e.err})
			s.call, s.want = nil, false
		}

	case evStop, evBroken:
		if s.running() && s.phase != Draining && s.phase != Returning && s.err == nil {
			s.err = e.err
		}
		switch s.phase {
		case Starting:
			if e.sig != nil { // nothing was accepted yet, and nobody else obeys the signal
				if s.successor {
					act(action{do: doTell, msg: msgBack})
				}
				act(action{do: doDie, sig: e.sig})
			}
		case Probation:
			back(e.err)
		case Serving:
			leave()
			count()
		case HandingOver, StandingBy:
			s.stop = true
			recall(errTold, msgStop)
		case Recalling:
			if !s.stop {
				s.stop = true
				act(action{do: doSay, msg: msgStop})
			} else if e.sig != nil {
				act(action{do: doKill})
			}
		case Draining:
			if count(); s.stops > 1 {
				act(action{do: doCut})
			}
		}

	case evCut:
		if s.phase == Draining {
			act(action{do: doCut})
		}

	case evIdle:
		if s.phase == StandingBy || s.phase == Draining && !s.stop {
			act(action{do: doSay, msg: msgFree})
		}

	case evDrained:
		if s.phase == Draining || s.phase == Returning {
			s.phase = Stopped
			act(action{do: doEnd, err: s.err})
		}

	case evUndone:
		s.undoing = false
		begin()

	case evHello:
		if s.phase == HandingOver || s.phase == Recalling {
			s.child = e.pid
		}

	case evServing:
		if s.phase == HandingOver {
			s.phase = StandingBy
			act(action{do: doPark}, action{do: doDisarm, time: evTimeStart}, action{do: doArm, time: evTimeSilent}, action{do: doRest})
		}

	case evWell:
		if s.phase == StandingBy {
			act(action{do: doArm, time: evTimeSilent})
		}

	case evBack:
		if s.phase == HandingOver || s.phase == StandingBy {
			why := e.err
			if why == nil {
				why = errTold
			}
			recall(why, 0)
		}

	case evTimeStart:
		if s.phase == HandingOver {
			recall(errors.New("took too long to start"), msgRecall)
			act(action{do: doKill})
		}

	case evTimeSilent:
		if s.phase == StandingBy {
			recall(fmt.Errorf("has not reported for %v", healthSilence), msgRecall)
		}

	case evTimeKill:
		if s.phase == Recalling {
			act(action{do: doKill})
		}

	case evUpgraded:
		if s.phase != HandingOver && s.phase != StandingBy && s.phase != Recalling {
			break
		}
		act(action{do: doDisarm, time: evTimeStart}, action{do: doDisarm, time: evTimeSilent}, action{do: doDisarm, time: evTimeKill})
		if e.err == nil { // proved
			s.phase, s.cause = Draining, nil
			act(action{do: doRelease}, action{do: doAnswer, call: s.call}, action{do: doRest})
			if s.again && !s.stop {
				act(action{do: doSay, msg: msgHangup})
			}
			s.call, s.again = nil, false
			act(action{do: doHandOn})
			break
		}
		err := &HandoverError{PID: s.child, Phase: HandingOver, Err: e.err}
		if s.phase == StandingBy || s.served {
			err.Phase = StandingBy
		}
		if s.cause != nil {
			err.Err = s.cause
		}
		// What the signal asked for has just failed, so again and want are dropped.
		s.phase, s.cause, s.served, s.again, s.want, s.child = Serving, nil, false, false, false, 0
		if !s.stop {
			act(action{do: doOpen}) // first of all
		}
		act(action{do: doFail, err: err})
		if s.call != nil {
			act(action{do: doAnswer, call: s.call, err: err}) // who called undoes
			s.call = nil
		} else {
			s.undoing = true
			act(action{do: doUndo, err: err})
		}
		if s.stop {
			leave()
			s.stops = 1
		} else {
			act(action{do: doWork})
		}

	case evFree:
		unlock()

	case evTold:
		switch s.phase {
		case Starting:
			s.stop, s.err = true, errTold
		case Probation:
			back(nil)
		case Serving:
			leave()
		}

	case evRecall:
		switch s.phase {
		case Starting:
			s.stop, s.err = true, errors.New("restart: the process before this one has taken service back")
		case Probation:
			s.err = errors.New("restart: the process before this one has taken service back")
			back(nil)
		}

	case evOrphan:
		s.alone = true
		unlock()
		if s.phase == Probation {
			commit()
			begin()
		}

	case evParentGone:
		s.parent = false
		unlock()
		begin()

	case evTimePassed:
		if s.phase == Probation {
			commit()
			begin()
		}

	case evIll:
		if s.phase == Probation {
			s.err = fmt.Errorf("restart: this process is ill: %w", e.err)
			back(e.err)
		}
	}
	return s, do
}
