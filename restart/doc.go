// Package restart replaces a running server by a new process without losing a request, and takes service back when
// the new process dies. It knows nothing of updates: it starts whatever executable is on disk now.
//
//	r := restart.New(restart.Options{PIDFile: "/run/hello/hello.pid"})
//	ln, err := r.Listen("tcp", ":8080")
//	if err != nil {
//		log.Fatal(err)
//	}
//	r.Serve(ln, &http.Server{Handler: mux})
//	if err := r.Run(context.Background()); err != nil { // until a stop, or until a successor has taken over
//		log.Fatal(err)
//	}
//
// SIGHUP, or a call of [Restarter.Handover], starts the successor. SIGTERM and Ctrl-C drain and stop.
//
// # Rules
//
//   - Call Listen, ListenPacket, Serve, Go, OnDrain and OnFailure before Run. Return from main when Run returns.
//   - A process has one Restarter. All methods may be called from any goroutine.
//   - What ends in order without net/http (gRPC, queues, schedules) goes to OnDrain, mostly as [Graceful](it).
//   - Requests that last, like WebSockets and event streams, watch [DrainStarted].
//   - Whoever replaces the executable undoes that when Handover fails, or in OnFailure after a signal.
//
// # Guarantees
//
//   - Nothing is closed to make room. The new process gets the same sockets; a connection that waits to be accepted is
//     accepted by one process or the other.
//   - A new process is on probation first (ten seconds, Options.Probation). It serves new connections, and the old
//     process stands by: it keeps its listeners open without accepting, and serves the connections that it has. If the
//     new process dies, hangs, says that it is ill or ends in any way, the old one accepts again at once, under the
//     same process id, and can hand over again later. Clients of the old process never met the new one.
//   - When the new process has proved itself, idle HTTP/1 connections of plain listeners, TCP or unix, move to it. The
//     client keeps its connection and notices nothing. A request that was begun is finished where it was begun.
//   - HTTP/1 over TLS cannot move. It is answered with "Connection: close", and an idle connection is closed only
//     after a grace, because a request may be on its way to it.
//   - One hard limit bounds every drain; what it cuts is named in the log. A handover does not wait for the drain of the
//     last one: up to three processes drain at once.
//   - A successor asks before it takes over for good, and is never killed once it may.
//   - Every socket is found again: several of one name in the order of the calls, and by another spelling of the address.
//     One that the new version does not use is served by the old process until the new one has proved itself.
//   - TLS sessions resume with the new process.
//   - Workers (Go) run in one process at a time.
//   - A stop is a stop: SIGTERM or Ctrl-C while a new process is on probation stops both, the new one first.
//
// # What is not guaranteed
//
//   - A request inside a new process that dies is lost: it was that program's. So are connections that it had accepted.
//   - A TLS or HTTP/2 connection does not survive a handover, only its requests do.
//   - A client that pauses longer than Options.Grace on a TLS connection may write into one that has just been closed.
//   - State in memory is the program's own business (see HandState, HandFile, and Options.Exclusive for a lock).
//   - In a handover from a program that was not built with this package there is no probation and no way back.
//   - A program that dies after its probation is the service manager's business.
//   - Windows: Listen, Serve and Run work, Handover answers errors.ErrUnsupported.
//
// # How it works
//
// tableflip starts the successor and passes the sockets. For tableflip an upgrade is under way until the successor calls
// Ready, and here that is the end of probation, not its beginning: so every failure before it is an upgrade that failed,
// and nothing has to be rebuilt. The two processes talk over a socket pair, which also carries the connections. One
// goroutine owns the state, and a pure function decides (step.go).
package restart
