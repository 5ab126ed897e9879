// Package restart replaces a running server by a new process without losing a request, and takes service back when
// the new process dies. It knows nothing of updates: it starts whatever executable is on disk now.
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
//   - One hard limit bounds every drain; what it cuts is named in the log.
//   - Workers (Go) run in one process at a time.
//   - A stop is a stop: SIGTERM or Ctrl-C while a new process is on probation stops both, the new one first.
//
// # What is not guaranteed
//
//   - A request inside a new process that dies is lost: it was that program's. So are connections that it had accepted.
//   - A TLS or HTTP/2 connection does not survive a handover, only its requests do.
//   - A client that pauses longer than Options.Grace on a TLS connection may write into one that has just been closed.
//   - State in memory is the program's own business.
//   - A program that dies after its probation is the service manager's business.
//   - Windows: Listen, Serve and Run work, Handover answers errors.ErrUnsupported.
//
// # How it works
//
// tableflip starts the successor and passes the sockets. To tableflip an upgrade is under way until the successor
// calls Ready, and here that is the end of probation, not its beginning: so every failure before it is an upgrade that
// failed, and nothing has to be rebuilt. The two processes talk over a socket pair, which also carries the connections.
// One goroutine owns the state and a pure function decides (machine.go).
package restart
