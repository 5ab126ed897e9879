package restart

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
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

// call is a call of Handover that waits for its outcome.
type call struct{ done chan error }

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
// Restarter: Handler, ConnState, ConnContext and BaseContext are wrapped, Shutdown and Close are called when their time
// has come. A server that ends by itself ends the service, and Run returns its error. Serve is to be called before Run.
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
