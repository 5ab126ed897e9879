package restart

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Options of a Restarter. The zero value is useful: a handover with ten seconds of probation, signals as in
// [DefaultSignals], a drain of at most thirty seconds.
type Options struct {
	// PIDFile is the file that holds the process id of the process in service. It is replaced atomically when a
	// process has proved itself, never before, and removed by the last process when it stops. Empty: none.
	PIDFile string

	// UpgradeTimeout is how long a new process may take from its start until it serves. Default: 1 minute.
	UpgradeTimeout time.Duration

	// Probation is how long a new process has to serve before this one lets go: until then this process keeps its
	// listeners, its connections and its place. Default: 10 s. Negative: none, the new process counts as proved as
	// soon as it serves. The process that is replaced decides; what the new one was built with does not matter.
	Probation time.Duration

	// Health reports whether this process works, during its own probation. It is called once a second with two
	// seconds to answer; an error, or no answer, ends the probation and the old process takes service back. It runs
	// in the new process only. Nil: a process that lives is well.
	Health func(ctx context.Context) error

	// Drain is the hard limit of a drain: what is not finished by then is cut and reported. Default: 30 s.
	Drain time.Duration

	// Grace is how long an idle HTTP/1 connection that cannot be passed on (TLS, or nobody to pass it to) is kept
	// open for the request that may be on its way; the answer then says "Connection: close". Closing it earlier
	// loses requests of clients that are a round trip away. Default, with a successor: the server's idle timeout, or
	// 5 s if it has none; when the program stops: 1 s. At most three quarters of Drain.
	Grace time.Duration

	// ShutdownDelay is how long a process that was told to stop goes on accepting before it drains, with
	// [Restarter.Ready] already false: for orchestrators whose load balancers notice late (Kubernetes: 5 s or
	// more). It comes before Drain, and does not count in it. Default: 0.
	ShutdownDelay time.Duration

	// Anchor says whether the process that was started keeps its process id. Default: AnchorAuto.
	Anchor Anchor

	// Exclusive is for programs that hold something that only one process may have, like the lock of a database. The old
	// process finishes its requests, passes its idle connections on and lets go before the new one serves. Clients wait
	// meanwhile, in the kernel's queue and in the new process, for as long as the longest request lasts and Acquire takes.
	// TLS and HTTP/2 connections are ended first, because they cannot move. Requests that have not ended within Drain
	// call the handover off. Nil: both processes serve side by side.
	Exclusive *Exclusive

	// ListenConfig opens the listeners that were not inherited. Nil: a zero net.ListenConfig.
	ListenConfig *net.ListenConfig

	// Signals is what each signal does; it replaces the default as a whole. Nil: [DefaultSignals]. Empty and not
	// nil: no signal is touched, and the caller uses Handover and the context of Run.
	Signals Signals

	// Logger gets one line per change of phase and per fault, from a goroutine of its own: one that blocks delays nothing,
	// and loses lines. Nil: slog.Default().
	Logger *slog.Logger

	// OnEvent is called for every change of phase and every fault, one call at a time. It has to return at once, because
	// everything else waits for it, and must not call Handover.
	OnEvent func(Event)
}

const (
	defaultUpgradeTimeout = time.Minute
	defaultProbation      = 10 * time.Second
	defaultDrain          = 30 * time.Second

	stopGrace     = time.Second     // Grace of a process that stops
	idleGrace     = 5 * time.Second // Grace without an idle timeout
	healthEvery   = time.Second     // between two calls of Health
	healthAnswer  = 2 * time.Second // for Health to answer; below healthSilence
	healthSilence = 3 * time.Second // a new process that does not report for so long is ill
	killAfter     = 5 * time.Second // a process that was told to go is killed after this time
	giveBackLimit = 3 * time.Second // for a process on probation to return its connections; below killAfter
)

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	if o.UpgradeTimeout <= 0 {
		o.UpgradeTimeout = defaultUpgradeTimeout
	}
	switch {
	case o.Probation == 0:
		o.Probation = defaultProbation
	case o.Probation < 0:
		o.Probation = 0
	}
	if o.Drain <= 0 {
		o.Drain = defaultDrain
	}
	if o.ListenConfig == nil {
		o.ListenConfig = &net.ListenConfig{}
	}
	if o.Signals == nil {
		o.Signals = DefaultSignals()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// handover returns how long one may take.
func (o Options) handover() time.Duration {
	d := o.UpgradeTimeout + o.Probation
	if o.Exclusive != nil {
		d += o.Drain + o.UpgradeTimeout // for the last requests, and for Acquire
	}
	return d
}

// grace returns how long idle connections that cannot move are kept when a drain begins.
func (o Options) grace(idle time.Duration, stopping bool) time.Duration {
	g := o.Grace
	switch {
	case g > 0:
	case stopping:
		g = stopGrace
	case idle > 0:
		g = idle
	default:
		g = idleGrace
	}
	return min(g, o.Drain*3/4) // what is only idle is not cut at the limit
}
