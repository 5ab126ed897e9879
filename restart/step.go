package restart

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/theseus-go/theseus/internal/blame"
)

// A machine is a state, and the actions that the current event has led to so far.
type machine struct {
	state
	todo []action
}

// step is the whole machine: one method for each group of events.
func step(s state, e event) (state, []action) {
	m := machine{state: s}
	switch e.kind {
	case evRun:
		m.run(e.ask)
	case evHangup, evCall, evCancel, evUndone:
		m.handoverAsked(e)
	case evStop, evBroken, evCut, evDrained:
		m.ending(e)
	case evHello, evServing, evWell, evProved, evBack, evTimeStart, evTimeSilent, evTimeKill:
		m.successorActs(e)
	case evUpgraded:
		m.successorSettled(e)
	case evWaiting, evYours, evReleased, evAcquired:
		m.exclusiveMoves(e)
	case evFree, evTold, evRecall, evOlder, evGranted, evLinkLost, evOrphan, evParentGone:
		m.predecessorActs(e)
	case evTimePassed, evIll:
		m.probationEnds(e)
	case evIdle:
		if m.phase == PhaseYielding || m.phase == PhaseStandingBy || m.phase == PhaseDraining && !m.stop {
			m.idle = true
			m.freeSuccessor()
		}
	}
	return m.state, m.todo
}

func (m *machine) act(a ...action)        { m.todo = append(m.todo, a...) }
func (m *machine) arm(timer eventKind)    { m.act(action{do: doArm, time: timer}) }
func (m *machine) disarm(timer eventKind) { m.act(action{do: doDisarm, time: timer}) }
func (m *machine) tellSuccessor(msg byte) { m.act(action{do: doTellSuccessor, msg: msg}) }
func (s *state) running() bool            { return s.phase != PhaseStarting && s.phase != PhaseStopped }

// answer lets the waiting call of Handover, if there is one, return err.
func (m *machine) answer(err error) {
	if m.call != nil {
		m.act(action{do: doAnswer, call: m.call, err: err})
		m.call = nil
	}
}

// run begins; asks is whether the predecessor lets go of what is exclusive when it is asked.
func (m *machine) run(asks bool) {
	switch {
	case m.phase != PhaseStarting:
	case m.stop: // the predecessor has told us to go already
		m.phase = PhaseStopped
		m.act(action{do: doEnd, err: m.err})
	case !m.exclusive:
		m.serve()
	case m.successor && !m.alone && asks:
		m.phase = PhaseWaiting
		m.act(action{do: doTellPredecessor, msg: msgWaiting})
	case m.older > 0 && !m.successor: // a predecessor that knows of nothing lets go when it is told that we are ready
		m.commit()
		m.yielded = true
		m.open()
	default:
		m.phase = PhaseWaiting
		m.act(action{do: doAcquire})
	}
}

// serve begins service: on probation if there is a predecessor to come back, else for good.
func (m *machine) serve() {
	onProbation := m.successor && !m.alone
	if onProbation {
		m.phase = PhaseProbation
		m.act(action{do: doOpen}, action{do: doTellPredecessor, msg: msgServing}, action{do: doProve})
	} else {
		m.commit()
		m.act(action{do: doOpen})
	}
	if m.free { // otherwise those of a predecessor still run, and evFree or evParentGone tells of their end
		m.act(action{do: doWork})
	}
	m.begin()
}

// open is back to service: at once, or once this process has again what it has let go of.
func (m *machine) open() {
	switch {
	case !m.yielded:
		m.act(action{do: doOpen})
	case !m.reacquiring:
		m.reacquiring = true
		m.act(action{do: doReacquire})
	}
}

// exclusiveMoves is about what only one process at a time may have (Options.Exclusive).
func (m *machine) exclusiveMoves(e event) {
	switch e.kind {
	case evWaiting:
		switch {
		case m.phase != PhaseHandingOver:
		case !m.exclusive: // we have nothing to let go of
			m.tellSuccessor(msgYours)
		default:
			m.phase, m.yielded = PhaseYielding, true
			m.disarm(evTimeStart)
			m.act(action{do: doPark}, action{do: doRest}, action{do: doYield})
		}

	case evReleased:
		switch {
		case m.phase != PhaseYielding:
		case e.err != nil:
			m.recall(e.err, msgRecall)
		default:
			m.tellSuccessor(msgYours)
			m.arm(evTimeStart)
		}

	case evYours:
		if m.phase == PhaseWaiting {
			m.act(action{do: doAcquire})
		}

	case evAcquired:
		switch {
		case m.yielded && e.err == nil:
			m.yielded, m.reacquiring = false, false
			switch {
			case m.stop:
			case m.phase == PhaseServing:
				m.act(action{do: doOpen})
				if m.free {
					m.act(action{do: doWork})
				}
				m.begin()
			case m.phase == PhaseRecalling:
				m.act(action{do: doOpen})
			}
		case m.phase != PhaseWaiting:
		case e.err == nil:
			m.serve()
		default:
			m.err = fmt.Errorf("restart: acquiring what is exclusive: %w", e.err)
			m.giveBack(m.err)
		}
	}
}

// commit makes this process the one in service.
func (m *machine) commit() {
	m.phase, m.successor = PhaseServing, false
	m.act(action{do: doCommit})
}

// begin starts a handover if one is wanted and nothing is in the way.
func (m *machine) begin() {
	if m.phase != PhaseServing || !m.want || m.yielded || m.older >= maxDraining || m.undoing {
		return
	}
	m.phase, m.want, m.child, m.cause = PhaseHandingOver, false, 0, nil
	m.act(action{do: doUpgrade})
	m.arm(evTimeStart)
}

// handoverAsked is about requests for a handover, and about what delays them.
func (m *machine) handoverAsked(e event) {
	switch e.kind {
	case evHangup:
		switch m.phase {
		case PhaseStarting, PhaseWaiting, PhaseProbation, PhaseServing:
			m.want = true
			m.begin()
		case PhaseHandingOver, PhaseYielding, PhaseStandingBy:
			if m.again = !m.granted; !m.again { // it is in service, or about to be
				m.tellSuccessor(msgHangup)
			}
		case PhaseDraining:
			if !m.stop {
				m.tellSuccessor(msgHangup)
			}
		}

	case evCall:
		refuse := func(err error) { m.act(action{do: doAnswer, call: e.call, err: err}) }
		switch {
		case !m.running():
			refuse(ErrNotRunning)
		case m.phase == PhaseDraining || m.phase == PhaseReturning || m.stop:
			refuse(errTold)
		case m.phase != PhaseServing && m.phase != PhaseProbation || m.call != nil || m.undoing:
			refuse(ErrBusy)
		default:
			m.call, m.want = e.call, true
			m.begin()
		}

	case evCancel:
		switch {
		case m.call == nil || m.call != e.call:
		case m.granted: // too late
		case m.phase == PhaseHandingOver || m.phase == PhaseYielding || m.phase == PhaseStandingBy:
			m.recall(stopped(fmt.Errorf("the caller has given up: %w", e.err)), msgRecall)
		case m.phase == PhaseServing || m.phase == PhaseProbation: // it was waiting
			m.answer(e.err)
			m.want = false
		}

	case evUndone:
		m.undoing = false
		m.begin()
	}
}

// ending is about the end of this process: why it begins, what hurries it, when it is complete.
func (m *machine) ending(e event) {
	switch e.kind {
	case evStop, evBroken:
		if m.running() && m.phase != PhaseDraining && m.phase != PhaseReturning && m.err == nil {
			m.err = e.err
		}
		switch m.phase {
		case PhaseStarting:
			if e.sig != nil { // nothing was accepted yet, and nobody else obeys the signal
				if m.successor {
					m.act(action{do: doTellPredecessor, msg: msgBack})
				}
				m.act(action{do: doDie, sig: e.sig})
			}
		case PhaseWaiting, PhaseProbation:
			m.giveBack(e.err)
		case PhaseServing:
			m.leave()
			m.countStop(e)
		case PhaseHandingOver, PhaseYielding, PhaseStandingBy:
			m.stop = true
			switch {
			case !m.granted:
				m.recall(errTold, msgStop)
			case e.kind == evStop:
				m.tellSuccessor(msgStop) // as the process in service
			}
		case PhaseRecalling:
			if !m.stop {
				m.stop = true
				m.tellSuccessor(msgStop)
			} else if e.sig != nil {
				m.act(action{do: doKill})
			}
		case PhaseDraining:
			if m.countStop(e); m.stops > 1 {
				m.act(action{do: doCut})
			}
		}

	case evCut:
		if m.phase == PhaseDraining {
			m.act(action{do: doCut})
		}

	case evDrained:
		if m.phase == PhaseDraining || m.phase == PhaseReturning {
			m.phase = PhaseStopped
			m.act(action{do: doEnd, err: m.err})
		}
	}
}

// countStop counts signals only: a context that ends because of the same signal is not a second request.
func (m *machine) countStop(e event) {
	if e.sig != nil {
		m.stops++
	}
}

// leave ends the service of this process, and nobody takes over.
func (m *machine) leave() {
	m.phase, m.stop, m.want, m.again = PhaseDraining, true, false, false
	m.act(action{do: doRest}, action{do: doStop})
	m.answer(errTold)
}

// successorActs is about what the successor says, and about what it should have said by now.
func (m *machine) successorActs(e event) {
	switch e.kind {
	case evHello:
		if m.phase == PhaseHandingOver || m.phase == PhaseRecalling {
			m.child = e.pid
		}

	case evServing:
		if m.phase == PhaseHandingOver || m.phase == PhaseYielding {
			m.phase = PhaseStandingBy
			m.act(action{do: doPark})
			m.disarm(evTimeStart)
			m.arm(evTimeSilent)
			m.act(action{do: doRest})
		}

	case evWell:
		if m.phase == PhaseStandingBy {
			m.arm(evTimeSilent)
		}

	case evProved:
		if m.phase == PhaseStandingBy && !m.granted {
			m.granted = true
			if m.again { // before it commits: if it was asked for a handover too, both are one
				m.again = false
				m.tellSuccessor(msgHangup)
			}
			m.tellSuccessor(msgGranted)
			m.arm(evTimeSilent)
		}

	case evBack:
		m.granted = false // it has not heard of it
		if m.phase == PhaseHandingOver || m.phase == PhaseYielding || m.phase == PhaseStandingBy {
			why := e.err
			if why == nil {
				why = errLeft
			}
			m.recall(why, 0)
		}

	case evTimeStart:
		if m.phase == PhaseHandingOver || m.phase == PhaseYielding {
			m.recall(late("took too long to start", e.err), msgRecall)
			m.act(action{do: doKill})
		}

	case evTimeSilent:
		switch {
		case m.phase != PhaseStandingBy:
		case m.granted: // it may commit at any moment, so it stays; but somebody has to accept meanwhile, if it can
			if !m.yielded {
				m.act(action{do: doOpen})
			}
		default:
			m.recall(late(fmt.Sprintf("has not reported for %v", healthSilence), e.err), msgRecall)
			if m.yielded { // nobody serves as long as it has what is exclusive
				m.act(action{do: doKill})
			}
		}

	case evTimeKill:
		if m.phase == PhaseRecalling {
			m.act(action{do: doKill})
			m.arm(evTimeKill)
		}
	}
}

// late is what a successor has not done in time, and what has kept it from that, nil if nothing is known.
func late(what string, because error) error {
	if because == nil {
		return errors.New(what)
	}
	return fmt.Errorf("%s: %w", what, because)
}

// recall makes the successor go, for a reason. This process is back in service at once.
func (m *machine) recall(why error, msg byte) {
	if m.cause == nil {
		m.cause = why
	}
	m.failedOnProbation = m.phase == PhaseStandingBy
	m.phase = PhaseRecalling
	if !m.stop {
		m.open()
	}
	m.disarm(evTimeStart)
	m.disarm(evTimeSilent)
	if msg != 0 {
		m.tellSuccessor(msg)
	}
	m.arm(evTimeKill)
}

// successorSettled is the end of a handover: the successor has proved itself (no err), or it is gone.
func (m *machine) successorSettled(e event) {
	switch m.phase {
	case PhaseHandingOver, PhaseYielding, PhaseStandingBy, PhaseRecalling:
	default:
		return
	}
	m.disarm(evTimeStart)
	m.disarm(evTimeSilent)
	m.disarm(evTimeKill)
	m.granted = false
	if e.err == nil {
		m.phase, m.cause = PhaseDraining, nil
		if m.child == 0 {
			m.child = e.pid // it has said no hello
		}
		m.act(action{do: doRelease}, action{do: doAnswer, call: m.call}, action{do: doRest})
		if m.again && !m.stop {
			m.tellSuccessor(msgHangup)
		}
		m.call, m.again = nil, false
		m.act(action{do: doHandOn})
		return
	}
	failure := &HandoverError{PID: m.child, Phase: PhaseHandingOver, Err: e.err}
	if m.phase == PhaseStandingBy || m.failedOnProbation {
		failure.Phase = PhaseStandingBy
	}
	if m.cause != nil {
		failure.Err = m.cause
	}
	if m.stop && blame.Of(failure) == blame.Unknown {
		failure.Err = errTold // by a signal to both, of which the successor's came first
	}
	// What signals have asked for meanwhile has just failed: again and want are dropped.
	m.phase, m.cause, m.failedOnProbation, m.again, m.want, m.child = PhaseServing, nil, false, false, false, 0
	if !m.stop {
		m.open() // before anything else
	}
	m.act(action{do: doFail, err: failure})
	if m.call != nil {
		m.answer(failure) // the caller undoes
	} else {
		m.undoing = true
		m.act(action{do: doUndo, err: failure})
	}
	if m.stop {
		m.leave()
		m.stops = 1
	} else if m.idle = false; m.free && !m.yielded {
		m.act(action{do: doWork})
	}
}

// predecessorActs is about what the predecessor says, and about its end.
func (m *machine) predecessorActs(e event) {
	errRecalled := errors.New("restart: the process before this one has taken service back")
	switch e.kind {
	case evFree:
		m.unlockWorkers()

	case evTold:
		switch m.phase {
		case PhaseStarting:
			m.stop, m.err = true, errTold
		case PhaseWaiting, PhaseProbation:
			m.giveBack(nil)
		case PhaseServing:
			m.leave()
		}

	case evRecall:
		switch m.phase {
		case PhaseStarting:
			m.stop, m.err = true, errRecalled
		case PhaseWaiting, PhaseProbation:
			m.err = errRecalled
			m.giveBack(nil)
		}

	case evGranted:
		if m.phase == PhaseProbation {
			m.commit()
			m.begin()
		}

	case evLinkLost:
		errLost := errors.New("restart: the control socket to the process before this one was lost, and that process lives")
		switch m.phase {
		case PhaseStarting:
			m.stop, m.err = true, errLost
		case PhaseWaiting, PhaseProbation:
			m.err = errLost
			m.giveBack(nil)
		}

	case evOrphan:
		m.alone = true
		m.unlockWorkers()
		switch m.phase {
		case PhaseWaiting:
			m.act(action{do: doAcquire})
		case PhaseProbation:
			m.commit()
			m.begin()
		}

	case evOlder:
		if m.older > 0 { // the predecessor itself has not exited
			m.setOlder(e.n + 1)
		}

	case evParentGone:
		m.setOlder(0) // the predecessor leaves after those before it
		m.unlockWorkers()
		m.begin()
	}
}

// unlockWorkers lets our workers run, because those of the predecessor have ended.
func (m *machine) unlockWorkers() {
	if !m.free {
		m.free = true
		switch m.phase {
		case PhaseProbation, PhaseServing, PhaseHandingOver:
			m.act(action{do: doWork})
		}
		m.freeSuccessor()
	}
}

// freeSuccessor lets the successor's workers run, once ours and those before ours have ended.
func (m *machine) freeSuccessor() {
	if m.idle && m.free && (m.phase == PhaseYielding || m.phase == PhaseStandingBy || m.phase == PhaseDraining && !m.stop) {
		m.idle = false
		m.tellSuccessor(msgFree)
	}
}

// setOlder notes how many processes before this one have not exited, and begins what has waited for that.
func (m *machine) setOlder(n int) {
	if n == m.older {
		return
	}
	m.older = n
	if m.phase == PhaseHandingOver || m.phase == PhaseYielding || m.phase == PhaseStandingBy || m.phase == PhaseDraining && !m.stop {
		m.act(action{do: doTellSuccessor, msg: msgOlder, text: strconv.Itoa(n)})
	}
	m.begin()
}

// probationEnds is about the end of this process's own probation.
func (m *machine) probationEnds(e event) {
	switch {
	case m.phase != PhaseProbation:
	case e.kind == evIll:
		m.err = fmt.Errorf("restart: this process is ill: %w", e.err)
		m.giveBack(e.err)
	case e.ask:
		m.act(action{do: doTellPredecessor, msg: msgProved})
	default:
		m.commit()
		m.begin()
	}
}

// giveBack makes a process that has not proved itself return what it has, if there is anybody to return it to.
func (m *machine) giveBack(why error) {
	if !m.successor || m.alone {
		m.leave()
		return
	}
	m.phase = PhaseReturning
	text := ""
	if why != nil {
		text = why.Error()
	}
	m.act(action{do: doPark}, action{do: doTellPredecessor, msg: msgBack, text: text}, action{do: doRest}, action{do: doGiveBack})
	m.answer(errTold)
}
