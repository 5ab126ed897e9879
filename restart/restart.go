package restart

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
)

// A Restarter owns the listeners, the servers and the workers of one process, and its signals. A process has one.
// Its methods may be called from any goroutine.
type Restarter struct {
	opts Options

	startOnce sync.Once
	startErr  error
	upg       *tableflip.Upgrader // nil: this process cannot hand over, and why says why
	why       error

	mu        sync.Mutex // guards what is registered
	running   bool
	gates     []parkable
	servers   []*server
	finishers []finisher
	undos     []func(context.Context, error) error
	workers   workers

	signals  chan os.Signal
	events   chan stamped
	draining chan struct{}
	announce sync.Once // closes draining
	done     chan struct{}
	result   chan error
	undoing  sync.WaitGroup
	cut      context.CancelFunc // ends the drain
	cutCtx   context.Context

	activated activated
	notifier  notifier
	init      *os.File // where the process in service tells its id, if an init of ours is process 1; nil otherwise

	// The predecessor, if there is one.
	up      *link
	upHomes homes
	terms   chan time.Duration // the probation that it wants

	// Owned by loop.
	state   state
	attempt int // counts handovers, so that what a dead successor said is not heard as another's word
	down    *link
	ours    homes // of the successor
	timers  map[eventKind]*time.Timer
	trial   context.CancelFunc

	eventMu  sync.Mutex // one event at a time
	statusMu sync.Mutex
	status   Status
}

// parkable is a gate of either kind.
type parkable interface {
	park()
	resume()
	release()
}

// homes are the servers of the other process that adopt connections.
type homes struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (h *homes) add(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil {
		h.keys = map[string]bool{}
	}
	h.keys[key] = true
}

func (h *homes) take() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := h.keys
	h.keys = nil
	return keys
}

// call is a call of Handover that waits for its outcome.
type call struct{ done chan error }

// stamped is an event with the attempt that it belongs to; 0: any.
type stamped struct {
	event
	attempt int
}

// New makes a Restarter. It starts nothing and touches nothing: the first Listen, ListenPacket or Run does, so a
// program that only prints its version never does.
func New(o Options) *Restarter {
	r := &Restarter{
		opts:     o.withDefaults(),
		signals:  make(chan os.Signal, 64),
		events:   make(chan stamped),
		draining: make(chan struct{}),
		done:     make(chan struct{}),
		result:   make(chan error, 1),
		terms:    make(chan time.Duration, 1),
		timers:   map[eventKind]*time.Timer{},
		status:   Status{Phase: Starting, Since: time.Now(), PID: os.Getpid()},
	}
	r.cutCtx, r.cut = context.WithCancel(context.Background())
	r.workers.broken = func(err error) { r.post(event{kind: evBroken, err: err}) }
	return r
}

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

// Listen returns the listener of the process before this one for the same network and address, or one that a service
// manager has opened (socket activation, sd_listen_fds(3)), or opens it. The network is tcp, tcp4, tcp6, unix or
// unixpacket, as for net.Listen, or "fd" for the service manager's socket with the name that address gives. A path of
// a unix socket on which nobody listens any more is replaced.
//
// Nothing is accepted before Run. While another process takes the new connections, and after it has taken over for
// good, Accept waits and gives no error; it ends with net.ErrClosed after Close. Close in one process leaves the
// socket open in the other.
func (r *Restarter) Listen(network, address string) (net.Listener, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	ln, err := r.listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("restart: listening on %s %s: %w", network, address, err)
	}
	g := newGate(ln, network+" "+address)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gates = append(r.gates, g)
	if r.accepting() {
		g.resume()
	}
	return g, nil
}

// ListenPacket is Listen for packets: udp, unixgram and the like. Reads wait where Accept would. Packets that the
// kernel has queued are read by whichever process reads then.
func (r *Restarter) ListenPacket(network, address string) (net.PacketConn, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	c, err := r.listenPacket(network, address)
	if err != nil {
		return nil, fmt.Errorf("restart: listening on %s %s: %w", network, address, err)
	}
	pc, ok := c.(packetConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("restart: listening on %s %s: a %T cannot be parked", network, address, c)
	}
	g := newPacketGate(pc)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gates = append(r.gates, g)
	if r.accepting() {
		g.resume()
	}
	return g, nil
}

// accepting says whether a listener that is opened now should accept.
func (r *Restarter) accepting() bool {
	p := r.Phase()
	return p.Ready() && p != StandingBy
}

// Serve makes Run serve srv on ln. With certificates in srv.TLSConfig it serves TLS. From here on srv belongs to the
// Restarter: Handler, ConnState and BaseContext are wrapped, Shutdown and Close are called when their time has come.
// A server that ends by itself ends the service, and Run returns its error. Serve is to be called before Run.
func (r *Restarter) Serve(ln net.Listener, srv *http.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers = append(r.servers, newServer(ln, srv, r.draining, func(text string) {
		r.event(Event{Name: EventDowngrade, Text: text})
	}))
}

// Go registers a worker: something that must run in one process at a time, like a schedule or the reader of a queue.
// It is called once this process serves and the worker of the process before has returned. Its context ends when the
// next process serves, or the program stops, and it should return then; it is called again if service comes back. A
// worker that has called Handover, with its own context or one made from it, is left alone until Handover returns.
// A worker that returns nil by itself has done its work; one that returns an error ends the service, and Run returns
// that error. Go is to be called before Run.
func (r *Restarter) Go(run func(ctx context.Context) error) {
	r.workers.mu.Lock()
	defer r.workers.mu.Unlock()
	r.workers.list = append(r.workers.list, &worker{run: run})
}

// OnDrain registers something that has to finish before this process ends, because it is replaced or stops. All run
// side by side, with each other and with the draining of the servers. The context ends at the hard limit
// (Options.Drain), when what has not returned is reported by its name and left behind.
func (r *Restarter) OnDrain(name string, finish func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finishers = append(r.finishers, finisher{name, finish})
}

// OnFailure registers what undoes an update whose handover failed. It is called when a signal had asked for the
// handover, and this process is back in service; a caller of Handover learns from its error, and undoes by itself.
// cause is a *HandoverError; if it wraps ErrCalledOff the new version is not to blame.
func (r *Restarter) OnFailure(undo func(ctx context.Context, cause error) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.undos = append(r.undos, undo)
}

// Handover starts what is on disk now and hands over to it. It returns nil when the new process has proved itself:
// that one is in service, and this one drains. Any error means that nothing has changed: this process is in service
// (or stops, if it was told to), and whoever swapped the executable should undo that. A *HandoverError says what
// happened to the new process.
//
// While the process before this one still drains, Handover waits for its end. When ctx ends, the new process is
// called off. Two handovers at once are one too many: ErrBusy. Before Run: ErrNotRunning. Where handing over is not
// possible at all: errors.ErrUnsupported.
func (r *Restarter) Handover(ctx context.Context) error {
	r.mu.Lock()
	running := r.running
	r.mu.Unlock()
	if !running {
		return ErrNotRunning
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.why != nil {
		return fmt.Errorf("restart: handing over: %w", r.why)
	}
	defer r.workers.enter(ctx)()
	c := &call{done: make(chan error, 1)}
	r.post(event{kind: evCall, call: c})
	select {
	case err := <-c.done:
		return err
	case <-r.done:
	case <-ctx.Done():
		r.post(event{kind: evCancel, call: c, err: ctx.Err()})
		select {
		case err := <-c.done:
			return err
		case <-r.done:
		}
	}
	select {
	case err := <-c.done:
		return err
	default:
		return ErrNotRunning
	}
}

// Run serves until this process is replaced or told to stop, by a signal or by the end of ctx, and everything that was
// begun is finished or, at the hard limit, cut. It returns nil then, and otherwise the error that ended the service.
// main should return soon after.
func (r *Restarter) Run(ctx context.Context) error {
	if err := r.start(); err != nil {
		return err
	}
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return errors.New("restart: Run was called twice")
	}
	r.running = true
	for _, s := range r.servers {
		if s.plain && !canPass() {
			s.plain = false
			r.event(Event{Name: EventDowngrade, Text: "this release of Go does not read connections as expected: they are drained, not passed on"})
		}
		s.serve(func(err error) { r.post(event{kind: evBroken, err: err}) })
	}
	r.mu.Unlock()
	for _, name := range r.activated.left() {
		r.event(Event{Name: EventDowngrade, Text: "the service manager has passed a socket that nobody uses: " + name})
	}
	go r.watchdog(ctx)
	r.post(event{kind: evRun})
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		r.post(event{kind: evStop})
		return <-r.result
	}
}

// Status is a snapshot.
func (r *Restarter) Status() Status {
	r.statusMu.Lock()
	defer r.statusMu.Unlock()
	return r.status
}

// Phase is where this process stands.
func (r *Restarter) Phase() Phase { return r.Status().Phase }

// Ready says whether this process should get traffic: what /readyz answers.
func (r *Restarter) Ready() bool { return r.Status().Ready }

// Draining is closed when this process begins to drain.
func (r *Restarter) Draining() <-chan struct{} { return r.draining }

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

// commit: this process is the one.
func (r *Restarter) commit() {
	r.writePIDFile()
	r.tellInit()
	if r.upg != nil {
		// An error means that the predecessor is gone, and then nobody has to be told.
		if err := r.upg.Ready(); err != nil && !r.state.alone {
			r.opts.Logger.Warn("restart: telling the process before this one", "error", err)
		}
	}
	r.event(Event{Name: EventProved, PID: os.Getpid(), Text: "this process is in service"})
}

func (r *Restarter) writePIDFile() {
	if r.opts.PIDFile == "" {
		return
	}
	if err := writePIDFile(r.opts.PIDFile); err != nil {
		r.event(Event{Name: EventDowngrade, Err: err, Text: "without a PID file"})
	}
}

// upgrade starts a successor.
func (r *Restarter) upgrade() {
	r.attempt++
	attempt := r.attempt
	failed := func(err error) { go r.postFor(attempt, event{kind: evUpgraded, err: err}) }
	r.down, r.ours = nil, homes{}
	if err := checkSurroundings(); err != nil {
		failed(err)
		return
	}
	down, theirs, err := newLink()
	if err == nil {
		err = r.upg.AddFile(linkName, theirs)
		theirs.Close()
	}
	if err != nil {
		failed(calledOff(err))
		return
	}
	r.down = down
	down.say(msgTerms, milliseconds(r.opts.Probation))
	r.sayHomes(down)
	heard, serving := make(chan struct{}), make(chan struct{})
	serves := sync.OnceFunc(func() { close(serving) })
	go func() {
		defer close(heard)
		down.listen(func(kind byte, text string) {
			r.hearSuccessor(attempt, kind, text)
			if kind == msgServing {
				serves()
			}
		}, r.adopt)
	}()
	go func() {
		err := r.upg.Upgrade()
		// tableflip learns of the predecessor's end by itself, a moment after it has told us (v1.2.3, upgrader.go, run).
		for i := 0; i < 1000 && err != nil && err.Error() == "parent hasn't exited"; i++ {
			time.Sleep(time.Millisecond)
			err = r.upg.Upgrade()
		}
		// What it has said and sent on the link comes first.
		if err != nil {
			err = blame(err)
			down.finish()
			<-heard
			down.Close()
		} else {
			select {
			case <-serving:
			case <-heard:
			}
		}
		r.postFor(attempt, event{kind: evUpgraded, err: err})
	}()
}

func (r *Restarter) sayHomes(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		if s.plain {
			l.say(msgHome, s.key)
		}
	}
}

func (r *Restarter) hearSuccessor(attempt int, kind byte, text string) {
	e := event{}
	switch kind {
	case msgHello:
		pid, err := strconv.Atoi(text)
		if err != nil || !isChild(pid) { // it may have to be killed
			return
		}
		e.kind, e.pid = evHello, pid
	case msgServing:
		e.kind = evServing
	case msgWell:
		e.kind = evWell
	case msgBack:
		e.kind = evBack
		if text != "" {
			e.err = errors.New(text)
		}
	case msgHome:
		r.ours.add(text)
		return
	default: // from a later version: not for us
		return
	}
	r.postFor(attempt, e)
}

func (r *Restarter) hearPredecessor(kind byte, text string) {
	switch kind {
	case msgTerms:
		ms, _ := strconv.Atoi(text)
		select {
		case r.terms <- time.Duration(ms) * time.Millisecond:
		default:
		}
	case msgHome:
		r.upHomes.add(text)
	case msgFree:
		r.post(event{kind: evFree})
	case msgStop:
		r.post(event{kind: evTold})
	case msgRecall:
		r.post(event{kind: evRecall})
	case msgHangup:
		r.post(event{kind: evHangup})
	}
}

// adopt gives a connection from another process to the server it belongs to.
func (r *Restarter) adopt(key string, c net.Conn) {
	r.mu.Lock()
	var to *server
	for _, s := range r.servers {
		if s.plain && s.key == key {
			to = s
		}
	}
	r.mu.Unlock()
	if to == nil {
		c.Close()
		return
	}
	to.t.home.adopt(c)
}

func (r *Restarter) kill() {
	pid := r.state.child
	if pid == 0 && r.down != nil {
		pid = findSuccessor(r.down)
	}
	switch {
	case pid > 0:
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
	case r.state.stop: // it has not even said hello: tableflip knows it
		r.upg.Stop()
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

// undo runs the functions of OnFailure, one after the other, in the order of their registration.
func (r *Restarter) undo(cause error) {
	r.mu.Lock()
	undos := r.undos
	r.mu.Unlock()
	r.undoing.Add(1)
	go func() {
		var errs []error
		for _, f := range undos {
			errs = append(errs, f(context.Background(), cause))
		}
		if len(undos) > 0 {
			e := Event{Name: EventUndone, Err: errors.Join(errs...), Text: "the update is undone"}
			if e.Err != nil {
				e.Text = "the update could not be undone: what failed may still be installed"
			}
			r.event(e)
		}
		r.undoing.Done()
		r.post(event{kind: evUndone})
	}()
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

var _ syscall.Conn = (*conn)(nil)
