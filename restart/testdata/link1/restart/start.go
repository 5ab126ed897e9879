package restart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	"github.com/cloudflare/tableflip"
)

// start makes this process what it is: a first one or a successor.
func (r *Restarter) start() error {
	r.startOnce.Do(func() { r.startErr = r.starting() })
	return r.startErr
}

func (r *Restarter) starting() error {
	// tableflip starts os.Args[0], at a time when the program may have changed its directory or its file may have
	// moved. Links are left in it, so that one that was flipped meanwhile counts.
	if err := absoluteArg0(); err != nil {
		r.why = calledOff(err)
	}
	if err := r.becomeInit(); err != nil {
		return err
	}
	if r.opts.PIDFile != "" && !filepath.IsAbs(r.opts.PIDFile) && startDir != "" {
		r.opts.PIDFile = filepath.Join(startDir, r.opts.PIDFile) // main may change its directory
	}
	r.notifier = newNotifier()
	// Before tableflip: a signal that comes while a handover begins must not find the default action.
	for s := range r.opts.Signals {
		signal.Notify(r.signals, s)
	}
	inherited := adoptSentinel()
	upg, err := tableflip.New(tableflip.Options{
		UpgradeTimeout: r.opts.UpgradeTimeout + r.opts.Probation + 2*goodbye, // the machine is stricter
		ListenConfig:   r.opts.ListenConfig,
	})
	os.Unsetenv(sentinel) // it would make other children of ours believe that they are successors
	switch {
	case err == nil:
		r.upg = upg
	case inherited:
		return fmt.Errorf("restart: taking over from the process before this one: %w", err)
	case errors.Is(err, tableflip.ErrNotSupported):
		r.why = calledOff(fmt.Errorf("%w on this platform: end the program and let its service manager start the new version", errors.ErrUnsupported))
	default:
		r.why = calledOff(err)
	}
	if r.why != nil {
		r.upg = nil
	}
	if !inherited {
		r.activated.take()
	}
	if err := r.inheritInit(); err != nil {
		return err
	}
	if r.upg != nil && r.upg.HasParent() {
		r.state.parent = true
		f, err := r.upg.File(linkName)
		if err != nil || f == nil {
			return fmt.Errorf("restart: the process before this one did not pass its control socket: was it built with this package? (%v)", err)
		}
		if r.up, err = openLink(f); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
		r.state.successor = true
		r.up.say(msgHello, strconv.Itoa(os.Getpid()))
		go func() {
			r.up.listen(r.hearPredecessor, r.adopt)
			r.post(event{kind: evOrphan})
		}()
		go func() {
			r.upg.WaitForParent(context.Background())
			r.post(event{kind: evParentGone})
		}()
	} else {
		r.state.free = true
	}
	r.publish()
	go r.loop()
	return nil
}
