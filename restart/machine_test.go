package restart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

var verbNames = map[verb]string{
	doCommit: "commit", doOpen: "open", doPark: "park", doRelease: "release", doWork: "work", doRest: "rest",
	doUpgrade: "upgrade", doTellSuccessor: "say", doTellPredecessor: "tell", doKill: "kill", doArm: "arm", doDisarm: "disarm",
	doProve: "trial", doAnswer: "answer", doFail: "fail", doUndo: "undo", doGiveBack: "giveback", doHandOn: "handon",
	doStop: "stop", doCut: "cut", doDie: "die", doEnd: "end", doAcquire: "acquire", doReacquire: "reacquire", doYield: "yield",
}

// String is an action as the table writes it. Disarming is left out: it never matters for what happens.
func (a action) String() string {
	s := verbNames[a.do]
	if a.msg != 0 {
		s += ":" + string(a.msg)
	}
	if a.do == doArm {
		s += map[eventKind]string{evTimeStart: ":start", evTimeSilent: ":silent", evTimeKill: ":kill"}[a.time]
	}
	if a.do == doAnswer || a.do == doUndo || a.do == doEnd {
		switch {
		case a.err == nil:
			s += "(nil)"
		case errors.Is(a.err, ErrBusy):
			s += "(busy)"
		case errors.Is(a.err, ErrNotRunning):
			s += "(not running)"
		case errors.Is(a.err, context.Canceled):
			s += "(called off)"
		default:
			s += "(error)"
		}
	}
	return s
}

// TestMachine plays one history per row: event => actions, phase. The events are named as below; a name may be
// followed by a value.
func TestMachine(t *testing.T) {
	died := errors.New("exit status 2")
	a, b := &call{}, &call{}
	events := map[string]event{
		"run": {kind: evRun}, "hup": {kind: evHangup}, "call": {kind: evCall, call: a}, "call2": {kind: evCall, call: b},
		"cancel": {kind: evCancel, call: a, err: context.DeadlineExceeded}, "term": {kind: evStop, sig: os.Interrupt},
		"ctx": {kind: evStop}, "usr2": {kind: evCut}, "broken": {kind: evBroken, err: died}, "idle": {kind: evIdle},
		"drained": {kind: evDrained}, "undone": {kind: evUndone}, "died": {kind: evUpgraded, err: died},
		"ready": {kind: evUpgraded}, "hello": {kind: evHello, pid: 7}, "serving": {kind: evServing}, "well": {kind: evWell},
		"leaves": {kind: evBack}, "sick": {kind: evBack, err: died}, "late": {kind: evTimeStart}, "silent": {kind: evTimeSilent},
		"overdue": {kind: evTimeKill}, "free": {kind: evFree}, "told": {kind: evTold}, "recall": {kind: evRecall},
		"orphan": {kind: evOrphan}, "parentgone": {kind: evParentGone}, "passed": {kind: evTimePassed},
		"ill": {kind: evIll, err: died}, "asks": {kind: evProved}, "granted": {kind: evGranted}, "waits": {kind: evWaiting}, "yours": {kind: evYours}, "released": {kind: evReleased},
		"unfinished": {kind: evReleased, err: calledOff(died)}, "acquired": {kind: evAcquired}, "taken": {kind: evAcquired, err: died}, "askrun": {kind: evRun, ask: true},
		"linklost": {kind: evLinkLost},
		"wants":    {kind: evTimePassed, ask: true}, "older0": {kind: evOlder}, "older1": {kind: evOlder, n: 1}, "older2": {kind: evOlder, n: 2},
	}
	const first, successor, plain, lock, locked = "first", "successor", "plain", "lock", "locked"
	// What many rows begin with.
	const (
		up       = "run => commit open work, serving; "
		hup      = up + "hup => upgrade arm:start, handing over; hello => , handing over; "
		standby  = hup + "serving => park arm:silent rest, standing by; "
		yielding = "run => acquire, waiting; acquired => commit open work, serving; hup => upgrade arm:start, handing over; hello => , handing over; waits => park rest yield, yielding; "
		trial    = "run => open tell:s trial, probation; "
	)
	for _, row := range []struct{ name, who, history string }{
		{"a first process", first, up},
		{"Handover before Run", first, "call => answer(not running), starting; " + up},
		{"HUP before Run is carried out", first, "hup => , starting; run => commit open work upgrade arm:start, handing over"},
		{"TERM before Run acts as it would have", first, "term => die, starting"},

		{"F31 a handover", first, standby + "well => arm:silent, standing by; idle => say:f, standing by; ready => release answer(nil) rest handon, draining; idle => say:f, draining; drained => end(nil), stopped"},
		{"a handover that a caller asked for", first, up + "call => upgrade arm:start, handing over; serving => park arm:silent rest, standing by; ready => release answer(nil) rest handon, draining"},
		{"a second caller is told", first, up + "call => upgrade arm:start, handing over; call2 => answer(busy), handing over"},
		{"a caller beside a signal is told", first, hup + "call => answer(busy), handing over"},
		{"proved before it was heard to serve", first, hup + "ready => release answer(nil) rest handon, draining"},

		{"F31 it dies while it starts", first, hup + "died => open fail undo(error) work, serving; undone => , serving"},
		{"F31 it dies in probation", first, standby + "died => open fail undo(error) work, serving; undone => , serving; hup => upgrade arm:start, handing over"},
		{"it dies, and the caller undoes", first, up + "call => upgrade arm:start, handing over; died => open fail answer(error) work, serving"},
		{"a handover waits for the undo", first, hup + "died => open fail undo(error) work, serving; hup => , serving; call => answer(busy), serving; undone => upgrade arm:start, handing over"},
		{"it hangs while it starts", first, hup + "late => open say:r arm:kill kill, recalling; died => open fail undo(error) work, serving"},
		{"it falls silent in probation", first, standby + "silent => open say:r arm:kill, recalling; overdue => kill arm:kill, recalling; died => open fail undo(error) work, serving"},
		{"silence after all is no news", first, up + "silent => , serving; late => , serving; overdue => , serving; well => , serving"},
		{"it is ill", first, standby + "sick => open arm:kill, recalling; died => open fail undo(error) work, serving"},
		{"it cannot be killed", first, standby + "silent => open say:r arm:kill, recalling; overdue => kill arm:kill, recalling; overdue => kill arm:kill, recalling; died => open fail undo(error) work, serving"},
		{"it asks before it commits", first, standby + "asks => say:g arm:silent, standing by; well => arm:silent, standing by; ready => release answer(nil) rest handon, draining"},
		{"it asks after it was recalled", first, standby + "silent => open say:r arm:kill, recalling; asks => , recalling; leaves => , recalling; died => open fail undo(error) work, serving"},
		{"it asks as it is recalled, and dies of it", first, standby + "silent => open say:r arm:kill, recalling; asks => , recalling; overdue => kill arm:kill, recalling; died => open fail undo(error) work, serving"},
		{"it may commit, and dies", first, standby + "asks => say:g arm:silent, standing by; died => open fail undo(error) work, serving; undone => , serving"},
		{"it may commit, and freezes: nobody kills it, and this one accepts", first, standby + "asks => say:g arm:silent, standing by; silent => open, standing by; overdue => , standing by; ready => release answer(nil) rest handon, draining"},
		{"it may commit, and is told to stop before it knows", first, standby + "asks => say:g arm:silent, standing by; leaves => open arm:kill, recalling; died => open fail undo(error) work, serving"},
		{"it may commit, and the caller gives up: too late", first, up + "call => upgrade arm:start, handing over; serving => park arm:silent rest, standing by; asks => say:g arm:silent, standing by; cancel => , standing by; ready => release answer(nil) rest handon, draining"},
		{"F34 it may commit, and TERM comes: both stop, it as the one in service", first, standby + "asks => say:g arm:silent, standing by; term => say:x, standing by; ready => release answer(nil) rest handon, draining; drained => end(nil), stopped"},
		{"F34 it may commit, TERM comes, and it dies", first, standby + "asks => say:g arm:silent, standing by; term => say:x, standing by; died => fail undo(error) rest stop, draining"},
		{"it may commit, and a server breaks here", first, standby + "asks => say:g arm:silent, standing by; broken => , standing by; ready => release answer(nil) rest handon, draining; drained => end(error), stopped"},
		{"HUP while it may commit is its own", first, standby + "asks => say:g arm:silent, standing by; hup => say:h, standing by; ready => release answer(nil) rest handon, draining"},
		{"HUP in probation is its own before it may commit", first, standby + "hup => , standing by; asks => say:h say:g arm:silent, standing by; ready => release answer(nil) rest handon, draining"},
		{"HUP to both in probation is one", successor, trial + "hup => , probation; wants => tell:d, probation; hup => , probation; granted => commit upgrade arm:start, handing over; ready => release answer(nil) rest handon, draining"},
		{"recalled as it was proved", first, standby + "silent => open say:r arm:kill, recalling; ready => release answer(nil) rest handon, draining"},
		{"R21 it was told to stop, and not by this process", first, standby + "leaves => open arm:kill, recalling; died => open fail undo(error) work, serving"},
		{"F34 TERM to both in probation, the new one first", first, standby + "leaves => open arm:kill, recalling; term => say:x, recalling; died => fail undo(called off) rest stop, draining"},
		{"the caller gives up", first, up + "call => upgrade arm:start, handing over; cancel => open say:r arm:kill, recalling; died => open fail answer(called off) work, serving"},
		{"another caller cannot give it up", first, up + "call2 => upgrade arm:start, handing over; cancel => , handing over"},

		{"HUP while handing over is the survivor's: the successor", first, standby + "hup => , standing by; hup => , standing by; ready => release answer(nil) rest say:h handon, draining"},
		{"HUP while handing over asked for what has failed", first, standby + "hup => , standing by; died => open fail undo(error) work, serving; undone => , serving"},
		{"HUP while draining is the successor's", first, hup + "ready => release answer(nil) rest handon, draining; hup => say:h, draining"},

		{"TERM", first, up + "term => rest stop, draining; drained => end(nil), stopped"},
		{"TERM twice", first, up + "term => rest stop, draining; term => cut, draining"},
		{"the context's end and the same signal are one", first, up + "ctx => rest stop, draining; term => , draining; term => cut, draining"},
		{"the same signal and the context's end are one", first, up + "term => rest stop, draining; ctx => , draining"},
		{"HUP after TERM", first, up + "term => rest stop, draining; hup => , draining; call => answer(called off), draining"},
		{"TERM while draining after a handover: first nothing, then at once", first, hup + "ready => release answer(nil) rest handon, draining; term => , draining; term => cut, draining"},
		{"the hammer", first, up + "usr2 => , serving; term => rest stop, draining; usr2 => cut, draining"},
		{"F34 TERM while it starts", first, hup + "term => say:x arm:kill, recalling; died => fail undo(called off) rest stop, draining; undone => , draining"},
		{"F34 TERM in probation", first, standby + "term => say:x arm:kill, recalling; leaves => , recalling; died => fail undo(called off) rest stop, draining"},
		{"F34 TERM twice in probation", first, standby + "term => say:x arm:kill, recalling; term => kill, recalling; died => fail undo(called off) rest stop, draining; term => cut, draining"},
		{"F34 TERM as it was proved", first, standby + "term => say:x arm:kill, recalling; ready => release answer(nil) rest handon, draining; drained => end(nil), stopped"},
		{"TERM while it is recalled", first, standby + "silent => open say:r arm:kill, recalling; term => say:x, recalling; died => fail undo(error) rest stop, draining"},
		{"a server breaks", first, up + "broken => rest stop, draining; drained => end(error), stopped"},
		{"a server breaks while draining", first, up + "term => rest stop, draining; broken => , draining; drained => end(nil), stopped"},

		{"a successor", successor, trial + "free => work, probation; passed => commit, serving; orphan => , serving; hup => upgrade arm:start, handing over"},
		{"a predecessor with tableflip alone", plain, "run => commit open, serving; parentgone => work, serving; hup => upgrade arm:start, handing over"},
		{"TERM before Run, behind a predecessor with tableflip alone", plain, "term => die, starting"},
		{"a successor with tableflip alone", first, hup + "ready => release answer(nil) rest handon, draining; idle => say:f, draining; drained => end(nil), stopped"},
		{"three drain, and a fourth waits for the oldest", successor, "older2 => , starting; " + trial + "passed => commit, serving; hup => , serving; hup => , serving; older1 => upgrade arm:start, handing over; older0 => say:o, handing over"},
		{"a caller waits for the oldest", successor, "older2 => , starting; " + trial + "passed => commit, serving; call => , serving; call2 => answer(busy), serving; older1 => upgrade arm:start, handing over"},
		{"those before the predecessor go, then it", successor, "older2 => , starting; older1 => , starting; older0 => , starting; " + trial + "parentgone => work, probation; older1 => , probation"},
		{"a second handover beside the first's requests", successor, trial + "passed => commit, serving; hup => upgrade arm:start, handing over; serving => park arm:silent rest, standing by; idle => , standing by; free => say:f, standing by; ready => release answer(nil) rest handon, draining; parentgone => say:o, draining"},
		{"workers of three processes run one after the other", successor, trial + "passed => commit, serving; hup => upgrade arm:start, handing over; serving => park arm:silent rest, standing by; idle => , standing by; ready => release answer(nil) rest handon, draining; idle => , draining; parentgone => say:o say:f, draining"},
		{"it fails beside a predecessor whose workers run", successor, trial + "passed => commit, serving; hup => upgrade arm:start, handing over; serving => park arm:silent rest, standing by; idle => , standing by; died => open fail undo(error), serving; free => work, serving"},
		{"exclusive: a first process", lock, "run => acquire, waiting; acquired => commit open work, serving"},
		{"exclusive: a first process that cannot have it", lock, "run => acquire, waiting; taken => rest stop, draining; drained => end(error), stopped"},
		{"exclusive: TERM while a first process waits", lock, "run => acquire, waiting; term => rest stop, draining; acquired => , draining; drained => end(nil), stopped"},
		{"exclusive: a handover", lock, yielding + "released => say:e arm:start, yielding; serving => park arm:silent rest, standing by; idle => say:f, standing by; asks => say:g arm:silent, standing by; ready => release answer(nil) rest handon, draining"},
		{"exclusive: it fails before it has it", lock, yielding + "died => reacquire fail undo(error), serving; acquired => open work, serving; undone => , serving; hup => upgrade arm:start, handing over"},
		{"exclusive: it cannot have it", lock, yielding + "released => say:e arm:start, yielding; sick => reacquire arm:kill, recalling; died => fail undo(error), serving; acquired => open work, serving"},
		{"exclusive: it is had again before it has ended", lock, yielding + "released => say:e arm:start, yielding; sick => reacquire arm:kill, recalling; acquired => open, recalling; died => open fail undo(error) work, serving"},
		{"exclusive: the requests do not end", lock, yielding + "unfinished => reacquire say:r arm:kill, recalling; acquired => open, recalling; died => open fail undo(called off) work, serving"},
		{"exclusive: it hangs with it", lock, yielding + "released => say:e arm:start, yielding; late => reacquire say:r arm:kill kill, recalling; died => fail undo(error), serving; acquired => open work, serving"},
		{"exclusive: it freezes in probation, and is killed at once", lock, yielding + "released => say:e arm:start, yielding; serving => park arm:silent rest, standing by; silent => reacquire say:r arm:kill kill, recalling; died => fail undo(error), serving; hup => , serving; acquired => open work, serving; undone => upgrade arm:start, handing over"},
		{"exclusive: it may commit, and freezes: nobody serves without it", lock, yielding + "released => say:e arm:start, yielding; serving => park arm:silent rest, standing by; asks => say:g arm:silent, standing by; silent => , standing by"},
		{"exclusive: TERM while it lets go", lock, yielding + "term => say:x arm:kill, recalling; died => fail undo(called off) rest stop, draining"},
		{"exclusive: the caller gives up", lock, "run => acquire, waiting; acquired => commit open work, serving; call => upgrade arm:start, handing over; waits => park rest yield, yielding; cancel => reacquire say:r arm:kill, recalling; acquired => open, recalling; died => open fail answer(called off) work, serving"},
		{"exclusive: HUP while it lets go", lock, yielding + "hup => , yielding; released => say:e arm:start, yielding; serving => park arm:silent rest, standing by; ready => release answer(nil) rest say:h handon, draining"},
		{"exclusive: a predecessor that has nothing to let go of", first, hup + "waits => say:e, handing over; serving => park arm:silent rest, standing by"},
		{"exclusive: a successor", locked, "askrun => tell:q, waiting; free => , waiting; yours => acquire, waiting; acquired => open tell:s trial work, probation; wants => tell:d, probation; granted => commit, serving"},
		{"exclusive: a successor of one that does not know of it", locked, "run => acquire, waiting; acquired => open tell:s trial, probation"},
		{"exclusive: a successor that cannot have it", locked, "askrun => tell:q, waiting; yours => acquire, waiting; taken => park tell:b rest giveback, returning; drained => end(error), stopped"},
		{"exclusive: the predecessor dies", locked, "askrun => tell:q, waiting; orphan => acquire, waiting; acquired => commit open work, serving"},
		{"exclusive: a successor is recalled", locked, "askrun => tell:q, waiting; recall => park tell:b rest giveback, returning; yours => , returning; acquired => , returning"},
		{"exclusive: TERM to a successor that waits", locked, "askrun => tell:q, waiting; term => park tell:b rest giveback, returning; drained => end(nil), stopped"},
		{"exclusive: HUP to a successor that waits", locked, "askrun => tell:q, waiting; hup => , waiting; yours => acquire, waiting; acquired => open tell:s trial, probation; passed => commit upgrade arm:start, handing over"},
		{"it asks before it commits, itself", successor, trial + "wants => tell:d, probation; granted => commit, serving; granted => , serving; recall => , serving"},
		{"it asks, and is recalled", successor, trial + "wants => tell:d, probation; recall => park tell:b rest giveback, returning; granted => , returning; drained => end(error), stopped"},
		{"it asks, and the predecessor dies", successor, trial + "wants => tell:d, probation; orphan => work commit, serving; granted => , serving"},
		{"it asks, and falls ill", successor, trial + "wants => tell:d, probation; ill => park tell:b rest giveback, returning; granted => , returning"},
		{"it asks, and is told to stop", successor, trial + "wants => tell:d, probation; term => park tell:b rest giveback, returning; granted => , returning; drained => end(nil), stopped"},
		{"the link ends, and the predecessor lives", successor, trial + "linklost => park tell:b rest giveback, returning; drained => end(error), stopped"},
		{"the link ends before Run", successor, "linklost => , starting; run => end(error), stopped"},
		{"the link ends after it was proved", successor, trial + "passed => commit, serving; linklost => , serving"},
		{"workers wait for those of the predecessor", successor, trial + "passed => commit, serving; parentgone => work, serving"},
		{"workers were free before Run", successor, "free => , starting; run => open tell:s trial work, probation"},
		{"the predecessor dies in probation", successor, trial + "orphan => work commit, serving; passed => , serving"},
		{"the predecessor dies before Run", successor, "orphan => , starting; run => commit open work, serving"},
		{"F34 TERM to the successor alone", successor, trial + "term => park tell:b rest giveback, returning; term => , returning; told => , returning; drained => end(nil), stopped"},
		{"F34 TERM to the successor before Run", successor, "term => tell:b die, starting"},
		{"F34 the predecessor stops", successor, trial + "told => park tell:b rest giveback, returning; drained => end(nil), stopped"},
		{"the predecessor stops before Run", successor, "told => , starting; run => end(called off), stopped"},
		{"the predecessor stops just as it was proved", successor, trial + "passed => commit, serving; told => rest stop, draining"},
		{"it is ill itself", successor, trial + "ill => park tell:b rest giveback, returning; drained => end(error), stopped"},
		{"it is recalled", successor, trial + "recall => park tell:b rest giveback, returning; drained => end(error), stopped"},
		{"it is recalled just as it was proved", successor, trial + "passed => commit, serving; recall => , serving"},
		{"HUP to the successor waits", successor, trial + "hup => , probation; hup => , probation; passed => commit upgrade arm:start, handing over; parentgone => say:o work, handing over"},
		{"a call in probation waits, and a HUP joins it", successor, trial + "call => , probation; hup => , probation; passed => commit upgrade arm:start, handing over; ready => release answer(nil) rest handon, draining"},
		{"a call in probation is given up", successor, trial + "call => , probation; cancel => answer(error), probation; passed => commit, serving; parentgone => work, serving"},
		{"a call in probation ends with it", successor, trial + "call => , probation; ill => park tell:b rest giveback answer(called off), returning"},
		{"a server breaks in probation", successor, trial + "broken => park tell:b rest giveback, returning; drained => end(error), stopped"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := state{
				free: row.who == first || row.who == lock, successor: row.who == successor || row.who == locked, alone: row.who == plain,
				exclusive: row.who == lock || row.who == locked,
			}
			if !s.free {
				s.older = 1
			}
			for _, line := range strings.Split(strings.TrimSuffix(row.history, "; "), "; ") {
				name, want, ok := strings.Cut(line, " => ")
				e, known := events[name]
				if !ok || !known {
					t.Fatalf("the row cannot be read: %q", line)
				}
				next, todo := step(s, e)
				var did []string
				for _, a := range todo {
					// An answer to nobody is carried out as nothing.
					if a.do != doDisarm {
						did = append(did, a.String())
					}
				}
				if got := fmt.Sprintf("%s, %v", strings.Join(did, " "), next.phase); got != want {
					t.Fatalf("%v, %s:\n got %s\nwant %s", s.phase, name, got, want)
				}
				s = next
			}
		})
	}
}

// TestMachineNeverWedges tries every event in every state that three events can lead to: the machine must stay sane.
func TestMachineNeverWedges(t *testing.T) {
	t.Parallel()
	c := &call{}
	var all []event
	for k := evRun; k <= evIll; k++ {
		e := event{kind: k}
		switch k {
		case evCall, evCancel:
			e.call, e.err = c, errors.New("planned")
			if k == evCall {
				e.err = nil
			}
		case evStop:
			e.sig = os.Interrupt
		case evBroken, evIll:
			e.err = errors.New("planned")
		case evTimePassed:
			all = append(all, event{kind: k, ask: true})
		case evUpgraded:
			all = append(all, event{kind: k, err: errors.New("planned")})
		}
		all = append(all, e)
	}
	seen := map[string]bool{}
	var walk func(s state, depth int)
	tried := 0
	walk = func(s state, depth int) {
		key := fmt.Sprintf("%+v", s)
		if depth == 0 || seen[key+fmt.Sprint(depth)] {
			return
		}
		seen[key+fmt.Sprint(depth)] = true
		for _, e := range all {
			next, todo := step(s, e)
			tried++
			open, ended := next.phase.Ready(), false
			for _, a := range todo {
				if a.do == doEnd {
					ended = true
				}
				if a.do == doTellPredecessor && !s.successor {
					t.Fatalf("%+v on %v tells a predecessor that it does not have", s, e.kind)
				}
				if a.do == doKill && (s.granted || next.granted) {
					t.Fatalf("%+v on %v kills a process that may be in service", s, e.kind)
				}
				if a.do == doCommit && s.successor && !s.alone && !next.alone && e.kind != evGranted && (e.kind != evTimePassed || e.ask) {
					t.Fatalf("%+v on %v commits unasked", s, e.kind)
				}
				if (a.do == doOpen || a.do == doWork) && next.yielded {
					t.Fatalf("%+v on %v serves without what is exclusive", s, e.kind)
				}
				if a.do == doUpgrade && (next.older >= maxDraining || next.stop) {
					t.Fatalf("%+v on %v starts a successor out of turn", s, e.kind)
				}
			}
			switch {
			case ended != (next.phase == PhaseStopped && s.phase != PhaseStopped):
				t.Fatalf("%+v on %v: phase %v, Run returns: %v", s, e.kind, next.phase, ended)
			case s.phase == PhaseStopped && len(todo) > 0 && e.kind != evCall:
				t.Fatalf("a stopped process does %v", todo)
			case next.call != nil && !open:
				t.Fatalf("%+v on %v: a caller waits in %v", s, e.kind, next.phase)
			case next.phase < s.phase && !(next.phase == PhaseServing):
				t.Fatalf("%v on %v goes back to %v", s.phase, e.kind, next.phase)
			}
			walk(next, depth-1)
		}
	}
	walk(state{free: true}, 6)
	walk(state{free: true, exclusive: true}, 6)
	walk(state{successor: true, older: 1, exclusive: true}, 5)
	walk(state{successor: true, older: 1}, 6)
	if tried < 10000 {
		t.Errorf("only %d steps were tried", tried)
	}
	t.Logf("%d steps", tried)
}

// Whoever undoes an update because of these must not remember the version as bad.
func TestNoVersionIsToBlame(t *testing.T) {
	for _, err := range []error{ErrBusy, ErrNotRunning, ErrCalledOff} {
		if !errors.Is(err, context.Canceled) || !errors.Is(fmt.Errorf("wrapped: %w", err), err) {
			t.Errorf("%v would be held against the version", err)
		}
	}
}
