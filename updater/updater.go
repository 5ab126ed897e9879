package updater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/theseus-go/theseus/internal/catalog"
	"github.com/theseus-go/theseus/internal/installation"
	"github.com/theseus-go/theseus/internal/managed"
	"github.com/theseus-go/theseus/internal/state"
	"github.com/theseus-go/theseus/internal/text"
)

// Updater keeps one installed program current. Its methods may be called from several goroutines at once; at most one
// update runs at a time, in this and all other processes that share the executable.
type Updater struct {
	*process
	shared
	opts *settings
	// Where the operator's policy is, and whether it has to be there.
	policyFile     string
	policyRequired bool

	client  *catalog.Client         // who looks at documents
	manager func() *managed.Manager // who else keeps the file current; found out once
	events  reporter
	now     func() time.Time

	proveAfter, patience time.Duration // variables for tests
	sinceBoot            func() (boot string, up time.Duration)

	off     error // why it does nothing
	notices notices
}

// patience is how long a person's request waits for others at work; downloads give way meanwhile.
const patience = 5 * time.Second

// New checks the options and resolves the program's real path, once. It starts nothing, asks no network and writes no
// file. Its errors are mistakes in the options, which every start of the program meets.
//
// Where the program runs, and what it was built as, is no reason for it to end: where its file cannot be found (no /proc, a
// program that runs from memory), or Options.Version is no version, New returns an Updater that is off. Its methods fail with
// ErrOff, Run only says so once and waits, and Status.Off and --doctor tell why.
func New(opts Options) (*Updater, error) {
	s, err := opts.judge()
	if err != nil {
		return nil, fmt.Errorf("updater: %w", err)
	}
	p, lost := locate(opts.Executable)
	switch {
	case lost != nil && opts.Executable != "":
		return nil, fmt.Errorf("updater: Options.Executable: %w", text.Error(lost)) // a path is in it
	case lost != nil:
		lost = text.Error(fmt.Errorf("%w; where /proc is not mounted, or the program runs from memory, its path can be set: Options.Executable", lost))
	}
	u := &Updater{
		notices: terminal(),
		process: p, opts: s, now: time.Now, proveAfter: installation.ProveAfter, patience: patience, sinceBoot: sinceBoot,
		client: &catalog.Client{App: s.App, Channel: s.Channel, Root: s.root, Built: s.Built},
	}
	u.countsWritten = u.now()
	u.policyFile, u.policyRequired = policyFile(s.App)
	log := cmp.Or(opts.Logger, slog.Default())
	now := func() time.Time { return u.now() }
	u.events = reporter{conditions: &conditions{app: s.App, log: log, on: s.OnEvent, now: now, held: map[Kind]string{}}}
	p.version, p.log = s.running, log
	if lost == nil {
		p.disk.Log, p.disk.Now = log, now
	}
	u.manager = sync.OnceValue(func() *managed.Manager {
		m := p.findManager(s.Unmanaged)
		if m != nil {
			u.set(func(s *Status) { s.Managed = publicName(m) })
		}
		return m
	})
	u.status = Status{App: s.App, Channel: s.Channel, Running: s.running.String(), State: StepIdle, PID: os.Getpid()}
	if why := errors.Join(s.odd, lost); why != nil {
		u.status.Off = text.Of(why.Error()).String()
		u.off = &classified{fmt.Errorf("updates are off: %w", why), ErrOff}
	}
	return u, nil
}

// publicName names a manager without local paths.
func publicName(m *managed.Manager) string {
	if m.Command == "" {
		return m.Name
	}
	return m.Name + ": " + m.Command
}

// Status returns what is known now. It does no I/O.
func (u *Updater) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status.clone()
}

// foreign is the refusal to replace a file that somebody else keeps current, nil if nobody does.
func (u *Updater) foreign() error {
	if m := u.manager(); m != nil {
		return &classified{fmt.Errorf("this installation does not update itself: %v", m), ErrNothing}
	}
	return nil
}

// recall reads what is remembered of the installation, without the lock.
func (u *Updater) recall(events reporter) (*state.State, error) {
	st, err := u.disk.Look()
	return st, events.doubt(err)
}

// hold holds the installation, and waits at most so long for another process at work. What this process alone knows
// is written down first.
func (u *Updater) hold(ctx context.Context, events reporter, wait time.Duration, need installation.Need) (h *installation.Held, err error) {
	if wait == 0 {
		h, err = u.disk.TryHold()
	} else {
		h, err = u.disk.HoldFor(ctx, wait, need)
	}
	if err != nil {
		return nil, err
	}
	if err := events.doubt(h.Doubt()); err != nil {
		h.Release()
		return nil, err
	}
	u.record(h)
	return h, nil
}

// known is what this process and a state know of the channel's documents.
func (u *Updater) known(st *state.State) catalog.Memory {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.client.Join(remembered(st, u.opts.Channel), u.memory)
}

// record writes down what is known of documents.
func (u *Updater) record(h *installation.Held) {
	err := h.Change(func(st *state.State) { record(st, u.opts.Channel, u.known(st)) })
	if err != nil {
		u.log.Warn("remembering the channel", "err", err)
	}
}

// learn remembers what was just verified for as long as this process runs.
func (u *Updater) learn(m catalog.Memory) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.memory = u.client.Join(u.memory, m)
}

// keep is learn, and writes it down if nobody else is writing and this process may.
func (u *Updater) keep(m catalog.Memory, h *installation.Held) {
	u.learn(m)
	if u.manager() != nil {
		return // its folder is a package's
	}
	if h == nil {
		own, err := u.disk.TryHold()
		if err != nil {
			return // kept in memory; a missing permission is reported when an update needs it
		}
		defer own.Release()
		h = own
	}
	u.record(h)
}

// show puts what is remembered into the status.
func (u *Updater) show(st *state.State) {
	failed, history := failures(st, u.now(), u.opts.RetryFailed), historyOf(st)
	u.set(func(s *Status) {
		s.History = history
		s.Failed, s.Held = failed, holdOf(st, s.Held)
		s.Proved = st.Installed == nil || st.Installed.Proved
		switch {
		case st.Installed != nil:
			s.Installed = st.Installed.Version
		case s.Installed == "":
			s.Installed = u.opts.running.String()
		}
	})
}
