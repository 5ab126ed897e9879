package restart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/theseus-go/theseus/internal/blame"
)

// A stamped event belongs to one handover, or to any if attempt is 0.
type stamped struct {
	event
	attempt int
	waited  bool // for a signal to stop
}

func (r *Restarter) post(e event) { r.postFor(0, e) }

func (r *Restarter) postFor(attempt int, e event) { r.send(stamped{event: e, attempt: attempt}) }

func (r *Restarter) send(st stamped) {
	select {
	case r.events <- st:
	case <-r.done:
	}
}

// loop passes events to the machine and performs its actions. Nobody else does.
func (r *Restarter) loop() {
	for {
		var e event
		var hooks Signal
		// Signals first: a terminal or a service manager that ends the successor and this process must not look like
		// a successor that died.
		select {
		case s := <-r.signals:
			e, hooks = r.signal(s)
		default:
			select {
			case s := <-r.signals:
				e, hooks = r.signal(s)
			case st := <-r.events:
				if st.attempt != 0 && st.attempt != r.attempt {
					continue
				}
				if st.kind == evUpgraded && st.err != nil {
					switch {
					case len(r.signals) > 0:
						go r.send(st) // after the signals
						continue
					case r.state.cause == errLeft && !r.state.stop && !st.waited:
						st.waited = true
						time.AfterFunc(stopsMerge, func() { r.send(st) })
						continue
					}
				}
				e = st.event
			}
		}
		if hooks.Before != nil {
			hooks.Before()
		}
		if e.kind != evNothing {
			r.decide(e)
		}
		if hooks.After != nil {
			hooks.After()
		}
		if r.state.phase == PhaseStopped {
			return
		}
	}
}

// stopsMerge is how far apart two requests to stop have to be. Whoever signals all processes of a service reaches this one
// twice under an anchor, directly and through that; and a successor on probation perhaps first, which has then not ended
// by its own fault.
const stopsMerge = 250 * time.Millisecond

func (r *Restarter) signal(s os.Signal) (event, Signal) {
	h := r.opts.Signals[s]
	switch h.Do {
	case ActionHandOver:
		if r.hungUp(s) { // the terminal is gone, which is no request for a handover
			if begun.mute != "" {
				return event{}, Signal{}
			}
			return event{kind: evStop, sig: s}, Signal{}
		}
		if r.unsupported != nil {
			r.event(Event{Kind: EventFailed, Err: r.unsupported, Text: "cannot hand over"})
			return event{}, h
		}
		return event{kind: evHangup}, h
	case ActionStop:
		if since := time.Since(r.lastStop); r.anchor != nil && since < stopsMerge {
			return event{}, Signal{}
		}
		r.lastStop = time.Now()
		return event{kind: evStop, sig: s}, h
	case ActionCut:
		return event{kind: evCut}, h
	}
	return event{}, h
}

// excused returns e, if that is about a successor which is late or says that it is ill, with what has kept it from running.
func (r *Restarter) excused(e event) event {
	watch := r.watch
	switch {
	case e.kind == evTimeStart && r.successor != nil:
		pid := r.state.child
		if pid == 0 {
			pid = findSuccessor(r.successor.link)
		}
		watch = blame.WatchFrom(pid, r.started)
	case e.kind == evTimeSilent, e.kind == evBack && e.err != nil:
	default:
		return e
	}
	fault, why := watch.Silent()
	switch {
	case fault == blame.Release:
	case e.err == nil:
		e.err = blame.As(fault, errors.New(why))
	default:
		e.err = blame.As(fault, fmt.Errorf("%w: %s", e.err, why))
	}
	return e
}

func (r *Restarter) decide(e event) {
	e = r.excused(e)
	before := r.state.phase
	var todo []action
	r.state, todo = step(r.state, e)
	if r.state.phase != before && before == PhaseProbation {
		r.endProbation()
	}
	r.publish()
	for _, a := range todo {
		r.perform(a)
	}
	if r.state.phase != before {
		if before == PhaseYielding && r.state.phase == PhaseStandingBy {
			r.passHeld()
			r.event(Event{Kind: EventPaused, PID: r.state.child, Text: fmt.Sprintf("clients have waited %v for what is exclusive to change hands", time.Since(r.possession.since).Round(time.Millisecond))})
		}
		r.notify(before, r.state.phase)
	}
}

func (r *Restarter) perform(a action) {
	switch a.do {
	case doCommit:
		r.commit()
	case doAcquire:
		go r.acquire(r.state.alone || !r.state.successor && r.state.older > 0)
	case doReacquire:
		if r.possession.stopYield != nil {
			r.possession.stopYield()
		}
		go r.acquire(true)
	case doYield:
		r.yield()
	case doOpen:
		if r.opts.Exclusive != nil {
			r.resumeServers()
		}
		r.each(gate.Resume)
		if r.leaveForeign != nil {
			r.leaveForeign()
			r.leaveForeign = nil
		}
	case doPark:
		r.park()
	case doRelease:
		r.each(gate.Release)
	case doWork:
		r.workers.work()
	case doRest:
		attempt := r.attempt
		r.workers.rest(r.state.phase == PhaseDraining || r.state.phase == PhaseReturning, func() { r.postFor(attempt, event{kind: evIdle}) })
	case doUpgrade:
		if r.surroundings.Doubt && r.attempt == 0 {
			r.event(Event{Kind: EventSurroundings, Text: r.surroundings.Text})
		}
		r.startSuccessor()
	case doTellSuccessor:
		if r.successor != nil {
			r.successor.say(a.msg, a.text)
		}
	case doTellPredecessor:
		if a.msg == msgServing || a.msg == msgWaiting {
			r.sayServers(r.predecessor.link)
		}
		r.predecessor.say(a.msg, a.text)
	case doKill:
		r.killSuccessor()
	case doArm:
		r.arm(a.time)
	case doDisarm:
		r.disarm(a.time)
	case doProve:
		ctx, cancel := context.WithCancel(context.Background())
		r.endProbation = cancel
		go r.prove(ctx)
	case doAnswer:
		if a.call != nil {
			a.call.done <- a.err
		}
	case doFail:
		r.restorePIDFile()
		r.tellAnchor(os.Getpid())
		r.statusMu.Lock()
		r.status.Failed++
		r.status.Error = a.err.Error()
		r.statusMu.Unlock()
		r.event(Event{Kind: EventFailed, Err: a.err, PID: a.pid(), Text: "a handover has failed"})
	case doUndo:
		r.undo(a.err)
	case doHandOn:
		out, to := r.successor.link, r.successor.servers.take()
		r.event(Event{Kind: EventProved, PID: r.state.child, Text: "the new process has proved itself"})
		go func() {
			r.drain(r.cutCtx, r.opts.Drain, out, to, false)
			r.post(event{kind: evDrained})
		}()
	case doGiveBack:
		out, to := r.predecessor.link, r.predecessor.servers.take()
		go func() {
			r.drain(r.cutCtx, giveBackLimit, out, to, true)
			r.post(event{kind: evDrained})
		}()
	case doStop:
		if r.opts.ShutdownDelay > 0 {
			r.each(gate.Resume)
		}
		go func() {
			if r.opts.ShutdownDelay > 0 {
				select {
				case <-time.After(r.opts.ShutdownDelay):
				case <-r.cutCtx.Done():
				}
			}
			r.each(gate.Release)
			r.drain(r.cutCtx, r.opts.Drain, nil, nil, true)
			r.post(event{kind: evDrained})
		}()
	case doCut:
		r.cut()
	case doDie:
		if r.predecessor != nil {
			r.predecessor.flush(flushLimit)
		}
		die(a.sig)
	case doEnd:
		r.end(a.err)
	}
}

// commit makes this process the one in service.
func (r *Restarter) commit() {
	r.writePIDFile()
	r.tellAnchor(os.Getpid())
	if r.upg != nil {
		// An error means that the predecessor is gone, so that nobody has to be told.
		if err := r.upg.Ready(); err != nil && !r.state.alone {
			r.log.log(time.Now(), slog.LevelWarn, "telling the process before this one that this one is in service", "err", err)
		}
	}
	for id := range r.left(0) {
		r.event(Event{Kind: EventDowngrade, Text: "the socket " + id.name() + " of the process before this one is not used any more, and is closed"})
	}
	r.relay.release()
	r.event(Event{Kind: EventProved, PID: os.Getpid(), Text: "this process is in service"})
}

func (a action) pid() int {
	var h *HandoverError
	if errors.As(a.err, &h) {
		return h.PID
	}
	return 0
}

// park parks the listeners that the successor has taken over. On the others this process accepts on.
func (r *Restarter) park() {
	if r.successor == nil || r.opts.Exclusive != nil || !r.successor.can(namesSockets) {
		r.each(gate.Park)
		return
	}
	taken := r.successor.sockets.all()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.gates {
		if _, ok := taken[g.id]; ok {
			g.Park()
		}
	}
}

func (r *Restarter) each(do func(gate)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.gates {
		do(g.gate)
	}
}

// flushLimit is how long a process that ends waits until its last words are written.
const flushLimit = time.Second

func (r *Restarter) arm(kind eventKind) {
	r.disarm(kind)
	switch kind {
	case evTimeStart:
		r.started = time.Now()
	case evTimeSilent:
		r.watch = blame.NewWatch(r.state.child)
	}
	d := map[eventKind]time.Duration{evTimeStart: r.opts.UpgradeTimeout, evTimeSilent: healthSilence, evTimeKill: killAfter}[kind]
	attempt := r.attempt
	r.timers[kind] = time.AfterFunc(d, func() { r.postFor(attempt, event{kind: kind}) })
}

func (r *Restarter) disarm(kind eventKind) {
	if t := r.timers[kind]; t != nil {
		t.Stop()
		delete(r.timers, kind)
	}
}

// end lets Run return. Signals stay caught, without effect: their default action would change the exit status.
func (r *Restarter) end(err error) {
	if r.predecessor != nil {
		r.predecessor.flush(flushLimit)
	}
	if r.successor != nil {
		r.successor.flush(flushLimit)
	}
	if r.state.stop && r.upg != nil {
		// Nobody takes over, so the paths of unix sockets are removed. After a handover tableflip has forgotten them.
		r.upg.Stop()
		<-r.upg.Exit()
	}
	if r.state.stop && err == nil {
		r.tellAnchorEnd()
	}
	if r.state.stop {
		r.pidFile.remove()
	}
	r.log.flush(logbookFlush)
	r.result <- err
	close(r.done)
}

// publish makes the state visible.
func (r *Restarter) publish() {
	r.statusMu.Lock()
	s := &r.status
	from, changed := s.Phase, s.Phase != r.state.phase
	if changed {
		s.Phase, s.Since = r.state.phase, time.Now()
	}
	s.Ready = r.state.phase.Ready() && !r.state.stop
	s.Anchor, s.Surroundings = r.surroundings.Anchor, r.surroundings.Text
	s.Successor, s.Predecessor = r.state.child, r.state.older > 0
	if r.unsupported != nil {
		s.Unsupported = r.unsupported.Error()
	}
	r.statusMu.Unlock()
	if changed {
		r.event(Event{Kind: EventPhase, PID: r.state.child, Text: fmt.Sprintf("%v -> %v", from, r.state.phase)})
	}
}
