package restart

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/cloudflare/tableflip"
)

// start finds out whether this process is the first one or a successor, once.
func (r *Restarter) start() error {
	r.startOnce.Do(func() { r.startErr = r.starting() })
	return r.startErr
}

func (r *Restarter) starting() error {
	inherited := adoptSentinel()
	if err := r.becomeAnchor(inherited); err != nil {
		return err
	}
	r.pidFile.path = r.opts.PIDFile
	if r.pidFile.path != "" && !filepath.IsAbs(r.pidFile.path) && begun.dir != "" {
		r.pidFile.path = filepath.Join(begun.dir, r.pidFile.path) // main may change its directory
	}
	r.notifier = newNotifier()
	// Before tableflip, because a signal during the start must not meet its default action.
	for s := range r.opts.Signals {
		signal.Notify(r.signals, s)
	}
	if len(r.opts.Signals) > 0 {
		surviveBrokenLog()
	}
	if inherited {
		var err error
		if r.relay, err = newRelay(); err != nil {
			return fmt.Errorf("restart: taking over from the process before this one: %w", err)
		}
	}
	upg, err := tableflip.New(tableflip.Options{
		UpgradeTimeout: upgradeLimit(r.opts.handover() + 2*killAfter), // our own timers fire first
		ListenConfig:   r.opts.ListenConfig,
	})
	os.Unsetenv(sentinel) // it would make other children of ours believe that they are successors
	switch {
	case err == nil:
		r.upg = upg
		if !begun.startBy(upg) {
			r.event(Event{Kind: EventDowngrade, Text: "this release of tableflip starts a new process with the present arguments and environment of this one"})
		}
	case inherited:
		return fmt.Errorf("restart: taking over from the process before this one: %w", err)
	case errors.Is(err, tableflip.ErrNotSupported):
		r.unsupported = calledOff(fmt.Errorf("%w on this platform: end the program and let its service manager start the new version", errors.ErrUnsupported))
	default:
		r.unsupported = calledOff(err)
	}
	if r.unsupported != nil {
		r.upg = nil
	}
	if !inherited {
		r.activated.take()
		var name string
		if name, r.leaveForeign = r.activated.takeForeign(); name != "" {
			r.state.alone = true // the service manager has to be told who is the main process now
			r.event(Event{Kind: EventDowngrade, Text: "the process before this one was built with " + name + ": no probation, and no way back to it"})
		}
	}
	if err := r.inheritAnchor(); err != nil {
		return err
	}
	if r.anchor == nil {
		r.terminal = findTerminal()
	}
	if err := r.findPredecessor(); err != nil {
		return err
	}
	r.publish()
	go r.loop()
	return nil
}
