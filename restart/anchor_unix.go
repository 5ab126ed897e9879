//go:build unix

package restart

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/theseus-go/theseus/restart/internal/anchor"
)

// anchorName names the socket of the anchor for the processes that come after this one.
const anchorName = "theseus-anchor"

// serviceEnded marks the process id of a process whose Run has returned nil.
const serviceEnded = 1 << 31

// becomeAnchor makes this process an anchor and does not return, if the surroundings want one.
func (r *Restarter) becomeAnchor(successor bool) error {
	if f := anchor.Inherited(); f != nil {
		r.surroundings = Surroundings{Anchor: true, Text: fmt.Sprintf("process %d is the anchor of this service and keeps its process id", os.Getppid())}
		r.anchorFile = f
		return nil
	}
	if successor {
		return nil
	}
	if r.surroundings = Survey(r.opts); !r.surroundings.Anchor {
		return nil
	}
	if begun.err != nil {
		return fmt.Errorf("restart: finding the executable: %w", begun.err)
	}
	p := anchor.Program{Path: begun.path, Args: begun.args, Env: begun.env, Dir: begun.dir}
	if begun.mute != "" {
		p.Env = append(p.Env[:len(p.Env):len(p.Env)], begun.mute)
	}
	for s, does := range r.opts.Signals {
		if does.Do == ActionStop {
			p.Stops = append(p.Stops, s)
		}
	}
	return fmt.Errorf("restart: starting the program under an anchor: %w", anchor.Start(p))
}

// inheritAnchor takes over the socket of the anchor, from it or from the predecessor, and passes it on.
func (r *Restarter) inheritAnchor() error {
	f := r.anchorFile
	r.anchorFile = nil
	switch {
	case f == nil && r.upg != nil && r.upg.HasParent():
		var err error
		if f, err = r.upg.File(anchorName); err != nil {
			return fmt.Errorf("restart: taking over from the process before this one: %w", err)
		}
		if f != nil {
			r.surroundings = Surroundings{Anchor: true, Text: "an anchor keeps the process id of this service"}
		}
	case f != nil && r.upg != nil:
		if err := r.upg.AddFile(anchorName, f); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
	}
	if f == nil {
		return nil
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return fmt.Errorf("restart: opening the socket of the anchor: %w", err)
	}
	r.anchor = c
	go func() {
		// Nothing is ever said to us: the anchor is gone. Whoever killed it meant the service.
		if n, err := c.Read(make([]byte, 1)); n == 0 && err != nil {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}()
	return nil
}

// tellAnchor says which process is in service now.
func (r *Restarter) tellAnchor(pid int) { r.sayToAnchor(uint32(pid)) }

// tellAnchorEnd says that this process, which was in service, ends in order.
func (r *Restarter) tellAnchorEnd() { r.sayToAnchor(uint32(os.Getpid()) | serviceEnded) }

func (r *Restarter) sayToAnchor(word uint32) {
	if r.anchor != nil {
		r.anchor.Write(binary.BigEndian.AppendUint32(nil, word))
	}
}

// Survey tells what has started this process, and whether New(o) makes an anchor of it. It is for a command that looks at
// an installation; a program that serves gets the same from the Restarter's events and status.
func Survey(o Options) Surroundings {
	switch o.Anchor {
	case AnchorAlways:
		return Surroundings{Anchor: true, Text: "the program asks for an anchor"}
	case AnchorNever:
		return Surroundings{Text: "the program wants no anchor"}
	}
	pid, parent := os.Getpid(), os.Getppid()
	name := processName(parent)
	waits := func(why string) Surroundings {
		return Surroundings{Anchor: true, Text: why + " waits for the process that it has started, so that one stays as an anchor"}
	}
	switch {
	case os.Getenv("ENDLESS_CONTINUE") != "" || os.Getenv("OVERSEER_IS_SLAVE") != "":
		return Surroundings{Text: "another package has started this process to take over"}
	case pid == 1:
		return waits("the container")
	case os.Getenv("NOTIFY_SOCKET") != "":
		return Surroundings{Text: "the service manager is told which process is in service (NOTIFY_SOCKET)"}
	case parent == 0:
		return waits("the container")
	case startedBySystemd(pid, parent, name):
		return waits("systemd, which this process cannot notify (Type=simple),")
	case startedByLaunchd(parent):
		return waits("launchd")
	case isWaiter(parent, name):
		return waits(fmt.Sprintf("%s (process %d)", name, parent))
	case o.PIDFile != "":
		return Surroundings{Text: "the PID file names the process in service"}
	case parent == 1:
		return Surroundings{Text: "whatever has started this process does not wait for it"}
	}
	if name == "" {
		name = "the program"
	}
	return Surroundings{Doubt: true, Text: fmt.Sprintf("%s (process %d) has started this process and may take its end for the end of the service; "+
		"set Options.PIDFile if that names the process to follow, or Options.Anchor", name, parent)}
}
