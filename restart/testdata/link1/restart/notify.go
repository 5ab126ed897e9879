package restart

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// writePIDFile replaces path atomically, so that nobody reads half a number.
func writePIDFile(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing the PID file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, os.Getpid())
	if err == nil {
		err = f.Chmod(0o644) // monitoring reads it
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing the PID file: %w", err)
	}
	return nil
}

// pidFileIsOurs says whether path names this process.
func pidFileIsOurs(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(os.Getpid())
}

// notifier tells a service manager what happens (sd_notify(3)). Without one it does nothing. The variable stays in the
// environment, because the successor needs it.
type notifier struct{ socket string }

func newNotifier() notifier { return notifier{os.Getenv("NOTIFY_SOCKET")} }

// say sends assignments. An error changes nothing: a service manager that does not listen finds out by itself.
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

// notify tells the phase. What ends a reload is READY=1, whatever came of it: the service is up.
func (r *Restarter) notify(from, to Phase) {
	status := "STATUS=" + to.String()
	switch {
	case to == HandingOver:
		r.notifier.say("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic()), status, extend(r.opts.UpgradeTimeout+r.opts.Probation))
	case to == StandingBy:
		r.notifier.say(fmt.Sprintf("STATUS=standing by: process %d is on probation for %v", r.state.child, r.opts.Probation))
	case to == Serving && from == Starting:
		r.notifier.say("READY=1", status)
	case to == Serving && from == Probation:
		if r.state.alone { // nobody else can say it
			r.notifier.say(fmt.Sprintf("MAINPID=%d", os.Getpid()), "READY=1", status)
		}
	case to == Serving: // the successor failed
		r.statusMu.Lock()
		why := r.status.Error
		r.statusMu.Unlock()
		r.notifier.say("READY=1", "STATUS=serving; the last handover failed: "+strings.ReplaceAll(why, "\n", " "))
	case to == Draining && !r.state.stop:
		// From the process that is the main one still, so that NotifyAccess=main will do.
		r.notifier.say(fmt.Sprintf("MAINPID=%d", r.state.child), "READY=1", fmt.Sprintf("STATUS=serving as process %d", r.state.child))
	case to == Draining:
		r.notifier.say("STOPPING=1", status, extend(r.opts.ShutdownDelay+r.opts.Drain))
	}
}

func extend(d time.Duration) string {
	return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (d + 5*time.Second).Microseconds())
}

// watchdog tells the service manager twice per interval that the goroutine which decides still does. A successor takes
// over the interval that was meant for the first process.
func (r *Restarter) watchdog(ctx context.Context) {
	usec, _ := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid, _ := strconv.Atoi(os.Getenv("WATCHDOG_PID"))
	if usec <= 0 || r.notifier.socket == "" || pid != 0 && pid != os.Getpid() && r.up == nil {
		return
	}
	tick := time.NewTicker(time.Duration(usec) * time.Microsecond / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.post(event{kind: evNothing}) // answered by the loop: it is alive
			if p := r.Phase(); p.Ready() && p != Probation || p == Draining {
				r.notifier.say("WATCHDOG=1")
			}
		case <-ctx.Done():
			return
		case <-r.done:
			return
		}
	}
}
