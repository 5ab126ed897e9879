// Package conn wraps what net and net/http offer so that a process can let go of it without losing a request: listeners
// that pause ([Gate], [PacketGate]), and an http.Server whose connections leave for another process, or say goodbye first
// ([Server]). It knows nothing of processes: who takes a connection away is a function that it is given ([Sink]).
package conn
