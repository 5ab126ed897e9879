// Package restart replaces a running server by a new process without losing a request, and takes service back when
// the new process dies.
package restart

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// A Restarter owns the listeners, the servers and the workers of one process.
type Restarter struct{ opts Options }

// New makes a Restarter. It starts nothing: the first Listen, ListenPacket or Run does.
func New(o Options) *Restarter { return &Restarter{opts: o.withDefaults()} }

// Listen opens a listener, or takes over the predecessor's.
func (r *Restarter) Listen(network, address string) (net.Listener, error) {
	return r.opts.ListenConfig.Listen(context.Background(), network, address)
}

// ListenPacket is Listen for packets.
func (r *Restarter) ListenPacket(network, address string) (net.PacketConn, error) {
	return r.opts.ListenConfig.ListenPacket(context.Background(), network, address)
}

// Serve serves srv on ln from Run on.
func (r *Restarter) Serve(ln net.Listener, srv *http.Server) {}

// Go registers a worker.
func (r *Restarter) Go(worker func(ctx context.Context) error) {}

// OnDrain registers something that has to finish before the process ends.
func (r *Restarter) OnDrain(name string, finish func(ctx context.Context) error) {}

// OnFailure registers what undoes an update whose handover failed.
func (r *Restarter) OnFailure(undo func(ctx context.Context, cause error) error) {}

// Handover starts a new process and returns when it has proved itself.
func (r *Restarter) Handover(ctx context.Context) error { return errors.ErrUnsupported }

// Run serves until the process is replaced or stopped.
func (r *Restarter) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Status is a snapshot.
func (r *Restarter) Status() Status { return Status{} }

// Phase is Status().Phase.
func (r *Restarter) Phase() Phase { return r.Status().Phase }

// Ready says whether this process should get traffic.
func (r *Restarter) Ready() bool { return r.Status().Ready }

// Draining is closed when this process begins to drain.
func (r *Restarter) Draining() <-chan struct{} { return nil }
