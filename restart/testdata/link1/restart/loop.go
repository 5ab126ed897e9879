package restart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// stamped is an event with the attempt that it belongs to; 0: any.
type stamped struct {
	event
	attempt int
}

func (r *Restarter) post(e event) { r.postFor(0, e) }

func (r *Restarter) postFor(attempt int, e event) {
	select {
	case r.events <- stamped{e, attempt}:
	case <-r.done:
	}
}

// loop is the one goroutine that decides.
func (r *Restarter) loop() {
	for {
		var e event
		var hooks Signal
		// Signals first: that a terminal or a service manager ends the successor and us must not look like a
		// successor that died.
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
				if st.kind == evUpgraded && st.err != nil && len(r.signals) > 0 {
					go r.postFor(st.attempt, st.event) // after the signals
					continue
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
		if r.state.phase == Stopped {
			return
		}
	}
}

func (r *Restarter) signal(s os.Signal) (event, Signal) {
	h := r.opts.Signals[s]
	switch h.Do {
	case HandOver:
		if r.why != nil {
			r.event(Event{Name: EventFailed, Err: r.why, Text: "cannot hand over"})
			return event{}, h
		}
		return event{kind: evHangup}, h
	case Stop:
		return event{kind: evStop, sig: s}, h
	case Cut:
		return event{kind: evCut}, h
	}
	return event{}, h
}

func (r *Restarter) decide(e event) {
	before := r.state.phase
	var todo []action
	r.state, todo = step(r.state, e)
	if r.state.phase != before && before == Probation {
		r.trial()
	}
	r.publish()
	for _, a := range todo {
		r.perform(a)
	}
	if r.state.phase != before {
		r.notify(before, r.state.phase)
	}
}

func (r *Restarter) perform(a action) {
	switch a.do {
	case doCommit:
		r.commit()
	case doOpen:
		r.each(parkable.resume)
	case doPark:
		r.each(parkable.park)
	case doRelease:
		r.each(parkable.release)
	case doWork:
		r.workers.work()
	case doRest:
		attempt := r.attempt
		r.workers.rest(r.state.phase == Draining || r.state.phase == Returning, func() { r.postFor(attempt, event{kind: evIdle}) })
	case doUpgrade:
		r.upgrade()
	case doSay:
		if r.down != nil {
			r.down.say(a.msg, a.text)
		}
	case doTell:
		if a.msg == msgServing {
			r.sayHomes(r.up)
		}
		r.up.say(a.msg, a.text)
	case doKill:
		r.kill()
	case doArm:
		r.arm(a.time)
	case doDisarm:
		r.disarm(a.time)
	case doTrial:
		ctx, cancel := context.WithCancel(context.Background())
		r.trial = cancel
		go r.prove(ctx)
	case doAnswer:
		if a.call != nil {
			a.call.done <- a.err
		}
	case doFail:
		if r.opts.PIDFile != "" && !pidFileIsOurs(r.opts.PIDFile) {
			r.writePIDFile() // the successor died between that and its last word
		}
		r.tellInit()
		r.statusMu.Lock()
		r.status.Failed++
		r.status.Error = a.err.Error()
		r.statusMu.Unlock()
		r.event(Event{Name: EventFailed, Err: a.err, PID: a.pid(), Text: "a handover has failed"})
	case doUndo:
		r.undo(a.err)
	case doHandOn:
		out, to := r.down, r.ours.take()
		r.event(Event{Name: EventProved, PID: r.state.child, Text: "the new process has proved itself"})
		go func() {
			r.drain(r.cutCtx, r.opts.Drain, out, to, false)
			r.post(event{kind: evDrained})
		}()
	case doGiveBack:
		out, to := r.up, r.upHomes.take()
		go func() {
			r.drain(r.cutCtx, giveBackLimit, out, to, true)
			r.post(event{kind: evDrained})
		}()
	case doStop:
		if r.opts.ShutdownDelay > 0 {
			r.each(parkable.resume)
		}
		go func() {
			if r.opts.ShutdownDelay > 0 {
				select {
				case <-time.After(r.opts.ShutdownDelay):
				case <-r.cutCtx.Done():
				}
			}
			r.each(parkable.release)
			r.drain(r.cutCtx, r.opts.Drain, nil, nil, true)
			r.post(event{kind: evDrained})
		}()
	case doCut:
		r.cut()
	case doDie:
		die(a.sig)
	case doEnd:
		r.end(a.err)
	}
}

func (a action) pid() int {
	var h *HandoverError
	if errors.As(a.err, &h) {
		return h.PID
	}
	return 0
}

func (r *Restarter) each(do func(parkable)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.gates {
		do(g)
	}
}

func (r *Restarter) arm(kind eventKind) {
	r.disarm(kind)
	d := map[eventKind]time.Duration{evTimeStart: r.opts.UpgradeTimeout, evTimeSilent: healthSilence, evTimeKill: goodbye}[kind]
	attempt := r.attempt
	r.timers[kind] = time.AfterFunc(d, func() { r.postFor(attempt, event{kind: kind}) })
}

func (r *Restarter) disarm(kind eventKind) {
	if t := r.timers[kind]; t != nil {
		t.Stop()
		delete(r.timers, kind)
	}
}

// end lets Run return. Signals are still caught, without effect: the default action would spoil the exit status.
func (r *Restarter) end(err error) {
	if r.state.stop && r.upg != nil {
		// Nobody takes over: the paths of unix sockets go. After a handover tableflip has let go of them already.
		r.upg.Stop()
		<-r.upg.Exit()
	}
	if r.state.stop && err == nil {
		r.tellInitEnd()
	}
	if r.state.stop && r.opts.PIDFile != "" && pidFileIsOurs(r.opts.PIDFile) {
		os.Remove(r.opts.PIDFile)
	}
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
	s.Successor, s.Predecessor = r.state.child, r.state.parent
	if r.why != nil {
		s.Unsupported = r.why.Error()
	}
	r.statusMu.Unlock()
	if changed {
		r.event(Event{Name: EventPhase, PID: r.state.child, Text: fmt.Sprintf("%v -> %v", from, r.state.phase)})
	}
}

func (r *Restarter) event(e Event) {
	r.eventMu.Lock()
	defer r.eventMu.Unlock()
	e.Time, e.Phase = time.Now(), r.Phase()
	log := r.opts.Logger.Info
	if e.Err != nil || e.Name == EventCut || e.Name == EventDowngrade {
		log = r.opts.Logger.Warn
	}
	args := []any{"event", e.Name, "phase", e.Phase.String(), "pid", os.Getpid()}
	if e.PID != 0 && e.PID != os.Getpid() {
		args = append(args, "other", e.PID)
	}
	if e.Err != nil {
		args = append(args, "error", e.Err)
	}
	log("restart: "+e.Text, args...)
	if r.opts.Event != nil {
		r.opts.Event(e)
	}
}
