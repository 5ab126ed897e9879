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

	"github.com/theseus-go/theseus/internal/blame"
	"github.com/theseus-go/theseus/restart/internal/conn"
)

// A Restarter owns the listeners, the servers and the workers of one process, and its signals. A process has one.
// Its methods may be called from any goroutine.
type Restarter struct {
	opts Options

	startOnce   sync.Once
	startErr    error
	upg         *tableflip.Upgrader // nil if unsupported is not
	unsupported error               // why this process cannot hand over

	mu        sync.Mutex // guards what is registered
	running   bool
	gates     []namedGate
	servers   []*conn.Server
	finishers []finisher
	handed    map[string]func() []byte // states for the next process, by name
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

	listenMu   sync.Mutex // one call of Listen at a time
	sockets    sockets
	possession possession
	activated  activated
	tickets    keyring
	notifier   notifier

	surroundings Surroundings
	anchorFile   *os.File // the anchor's socket, until inheritAnchor has opened it
	anchor       net.Conn // nil if there is no anchor

	relay        *relay       // nil if there is no predecessor
	predecessor  *predecessor // nil if there is none, or none that speaks our protocol
	leaveForeign func()       // tells a predecessor built with endless or overseer that this process serves; nil without

	terminal terminal // at the start

	// Owned by loop.
	lastStop     time.Time // of the signals
	state        state
	successor    *successor  // of the last handover; nil before the first
	started      time.Time   // of the last successor
	watch        blame.Watch // of it, since its last report
	attempt      int         // numbers the handovers, so that late words of a failed successor are not taken for the next one's
	timers       map[eventKind]*time.Timer
	endProbation context.CancelFunc

	pidFile  pidFile
	log      logbook
	eventMu  sync.Mutex // one event at a time
	statusMu sync.Mutex
	status   Status
}

// A namedGate is a gate and the name of its socket.
type namedGate struct {
	gate
	id socketID
}

// A gate is a conn.Gate or a conn.PacketGate.
type gate interface {
	Park()
	Resume()
	Release()
}

// New makes a Restarter. It starts nothing and touches nothing: the first Listen, ListenPacket or Run does, so a
// program that only prints its version never does.
func New(o Options) *Restarter {
	r := &Restarter{
		opts:     o.withDefaults(),
		signals:  make(chan os.Signal, 64),
		events:   make(chan stamped),
		draining: make(chan struct{}),
		tickets:  keyring{now: time.Now},
		done:     make(chan struct{}),
		result:   make(chan error, 1),
		timers:   map[eventKind]*time.Timer{},
		status:   Status{Phase: PhaseStarting, Since: time.Now(), PID: os.Getpid()},
	}
	r.state.exclusive = r.opts.Exclusive != nil
	r.log.to = r.opts.Logger
	r.cutCtx, r.cut = context.WithCancel(context.Background())
	r.workers.broken = func(err error) { r.post(event{kind: evBroken, err: err}) }
	return r
}

// Listen returns the listener of the process before this one for the same network and address, or one that a service
// manager has opened (socket activation, sd_listen_fds(3)), or opens it. The network is tcp, tcp4, tcp6, unix or
// unixpacket, as for net.Listen, or "fd" for the service manager's socket with the name that address gives. A path of
// a unix socket on which nobody listens any more is replaced.
//
// A socket is known by the network and address that were asked for, or by another spelling of the same address
// (localhost:80 and 127.0.0.1:80). Several with the same name, like those of one socket unit, or several on port 0, come
// in the order of the calls. One of the process before this one that is not asked for stays in use there until this one
// has proved itself; then it is closed, and the log says so.
//
// Nothing is accepted before Run. While another process takes the new connections, and after it has taken over for
// good, Accept waits and gives no error; it ends with net.ErrClosed after Close, and at a deadline that the program has set.
// Close in one process leaves the socket open in the other; if there is no other, the address is free. The listener has
// the methods of package net's for that network.
func (r *Restarter) Listen(network, address string) (net.Listener, error) {
	return r.listenBy(network, address, r.open)
}

// listenBy is Listen with another way to open what nobody has passed.
func (r *Restarter) listenBy(network, address string, open func(network, address string) (net.Listener, error)) (net.Listener, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	ln, id, err := r.listen(network, address, open)
	if err != nil {
		return nil, fmt.Errorf("restart: listening on %s %s: %w", network, address, err)
	}
	g := conn.NewGate(ln, id.name())
	g.Accepted = keepAlive(r.opts.ListenConfig)
	g.Closed = func() { r.forget(id) }
	r.addGate(g, id)
	return g.Typed(), nil
}

// ListenPacket is Listen for packets: udp, unixgram and the like. Reads wait where Accept would, also those of raw access
// and of batches (golang.org/x/net/ipv4). Packets that the kernel has queued are read by whichever process reads then. The
// connection has the methods of package net's for that network.
func (r *Restarter) ListenPacket(network, address string) (net.PacketConn, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	c, id, err := r.listenPacket(network, address)
	if err != nil {
		return nil, fmt.Errorf("restart: listening on %s %s: %w", network, address, err)
	}
	g, err := conn.NewPacketGate(c)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("restart: listening on %s %s: %w", network, address, err)
	}
	g.Closed = func() { r.forget(id) }
	r.addGate(g, id)
	return g.Typed(), nil
}

// addGate registers g, and opens it if this process accepts now.
func (r *Restarter) addGate(g gate, id socketID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gates = append(r.gates, namedGate{g, id})
	if p := r.Phase(); p.Ready() && p != PhaseStandingBy && p != PhaseYielding {
		g.Resume()
	}
}

// Serve makes Run serve srv on ln. With certificates in srv.TLSConfig it serves TLS. From here on srv belongs to the
// Restarter: Handler, ConnState, ConnContext and BaseContext are wrapped, Shutdown and Close are called when their time
// has come. With certificates, the keys of its session tickets go to the next process and change daily, unless the program
// has keys of its own (SetSessionTicketKeys, WrapSession, GetConfigForClient). A server that ends by itself ends the
// service, and Run returns its error. Serve is to be called before Run.
func (r *Restarter) Serve(ln net.Listener, srv *http.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tickets.serve(srv.TLSConfig)
	r.servers = append(r.servers, conn.NewServer(ln, srv, r.servers, r.draining, func(text string) {
		r.event(Event{Kind: EventDowngrade, Text: text})
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
		s.Serve(func(err error) { r.post(event{kind: evBroken, err: err}) })
	}
	r.mu.Unlock()
	for _, name := range r.activated.left() {
		r.event(Event{Kind: EventDowngrade, Text: "the service manager has passed a socket that nobody uses: " + name})
	}
	go r.watchdog(ctx)
	r.post(event{kind: evRun, ask: r.opts.Exclusive != nil && r.predecessor.answers(yields)})
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		r.post(event{kind: evStop})
		return <-r.result
	}
}

// Status returns a snapshot.
func (r *Restarter) Status() Status {
	r.statusMu.Lock()
	defer r.statusMu.Unlock()
	return r.status
}

// Phase returns where this process stands.
func (r *Restarter) Phase() Phase { return r.Status().Phase }

// Ready reports whether this process should get traffic. It is what /readyz should answer.
func (r *Restarter) Ready() bool { return r.Status().Ready }

// Draining returns a channel that is closed when this process begins to drain.
func (r *Restarter) Draining() <-chan struct{} { return r.draining }

// DrainStarted returns a channel that is closed when the process that serves the request with this context begins to
// drain: a WebSocket or an event stream should say goodbye then. A handler that hijacks its connection and returns calls
// DrainStarted before it returns: then a drain waits, up to its limit, until the connection is closed. For a context that does not come from a server given to
// Serve, the channel is nil and blocks for ever.
func DrainStarted(ctx context.Context) <-chan struct{} { return conn.DrainStarted(ctx) }
