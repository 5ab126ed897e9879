package restart

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// A notifier tells a service manager what happens (sd_notify(3)), if there is one. NOTIFY_SOCKET stays in the environment,
// because the successor needs it.
type notifier struct{ socket string }

func newNotifier() notifier { return notifier{os.Getenv("NOTIFY_SOCKET")} }

// say sends assignments. Errors are ignored: nothing here could be done about them.
func (n notifier) say(lines ...string) {
	if n.socket == "" {
		return
	}
	c, err := net.Dial("unixgram", n.socket)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write([]byte(strings.Join(lines, "\n") + "\n"))
}

// notify tells the service manager of a change of phase. READY=1 ends a reload, whether it succeeded or not: the service
// is up.
//
// It feeds the watchdog, too: a handover has moved its limit far away, and a process that hangs right after it has to be
// found as soon as any other.
func (r *Restarter) notify(from, to Phase) {
	ready := "READY=1"
	if r.watchdogInterval() > 0 {
		ready += "\nWATCHDOG=1"
	}
	status := "STATUS=" + to.String()
	switch {
	case to == PhaseHandingOver:
		r.notifier.say("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic()), status, extend(r.opts.handover()))
	case to == PhaseStandingBy:
		r.notifier.say(fmt.Sprintf("STATUS=standing by: process %d is on probation for %v", r.state.child, r.opts.Probation))
	case to == PhaseServing && (from == PhaseStarting || from == PhaseWaiting) && r.state.alone: // the predecessor may not have said it
		r.notifier.say(fmt.Sprintf("MAINPID=%d", os.Getpid()), ready, status)
	case to == PhaseServing && (from == PhaseStarting || from == PhaseWaiting):
		r.notifier.say(ready, status)
	case to == PhaseServing && from == PhaseProbation:
		if r.state.alone { // nobody else can say it
			r.notifier.say(fmt.Sprintf("MAINPID=%d", os.Getpid()), ready, status)
		}
	case to == PhaseServing: // the successor failed
		r.statusMu.Lock()
		why := r.status.Error
		r.statusMu.Unlock()
		r.notifier.say(ready, "STATUS=serving; the last handover failed: "+strings.ReplaceAll(why, "\n", " "))
	case to == PhaseDraining && !r.state.stop:
		// From the process that is the main one still, so that NotifyAccess=main will do.
		lines := []string{ready, fmt.Sprintf("STATUS=serving as process %d", r.state.child)}
		if r.state.child != 0 { // otherwise it cannot be told, and the service manager keeps what it has
			lines = append([]string{fmt.Sprintf("MAINPID=%d", r.state.child)}, lines...)
		}
		r.notifier.say(lines...)
	case to == PhaseDraining:
		r.notifier.say("STOPPING=1", status, extend(r.opts.ShutdownDelay+r.opts.Drain))
	}
}

func extend(d time.Duration) string {
	return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (d + 5*time.Second).Microseconds())
}

// watchdogInterval returns how often the service manager wants to hear of this service; 0 if it does not.
func (r *Restarter) watchdogInterval() time.Duration {
	usec, _ := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid, _ := strconv.Atoi(os.Getenv("WATCHDOG_PID"))
	if usec <= 0 || r.notifier.socket == "" || pid != 0 && pid != os.Getpid() && (r.upg == nil || !r.upg.HasParent()) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// watchdog tells the service manager, twice per interval, that loop still runs. A successor keeps the interval that was
// meant for the first process.
func (r *Restarter) watchdog(ctx context.Context) {
	interval := r.watchdogInterval()
	if interval <= 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.post(event{kind: evNothing}) // answered by the loop: it is alive
			if p := r.Phase(); p.Ready() && p != PhaseProbation || p == PhaseDraining {
				r.notifier.say("WATCHDOG=1")
			}
		case <-ctx.Done():
			return
		case <-r.done:
			return
		}
	}
}
