//go:build unix

// Package anchor keeps the process id of a service while its processes replace each other.
//
// Many who start a program wait for that one process: process 1 of a container, runit, s6, supervisord, tini, a shell, a
// terminal. When it ends, the service has ended for them, so it could never hand over. The process that they started
// therefore becomes an anchor: it starts the program once more and executes itself anew. The anchor passes signals on to
// the process in service, reaps, and ends as the last process in service has ended.
//
// It does so while the packages are initialised, before main and before most of the program's own packages, so that it
// takes little memory. It imports as little as it can for the same reason.
//
// The two sides share a socket, which every process of the service inherits. Each writes its process id when it is in
// service, and once more when it ends in order. The anchor writes one byte, when it is ready to pass signals on, and the
// first process waits for it. The socket has an end for the anchor when no process is left, and for the processes when the
// anchor is gone, which ends them too.
package anchor

import (
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// variable tells a process of its part: the anchor's or the program's. It is removed before main sees it.
const variable = "THESEUS_ANCHOR"

// ended marks the process id of a process that has ended in order. No system has ids of more than 30 bits.
const ended = 1 << 31

// inherited is the socket of a process that an anchor has started, or 0.
var inherited int

func init() {
	ignoreInherited()
	part, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	os.Unsetenv(variable)
	f := strings.Fields(part)
	if len(f) < 3 {
		return
	}
	fd, err := strconv.Atoi(f[1])
	pid, perr := strconv.Atoi(f[2])
	if err != nil || perr != nil || fd < 3 || !isSocket(fd) {
		return // leaked through some other program
	}
	switch f[0] {
	case "program":
		if pid != os.Getppid() {
			return
		}
		syscall.CloseOnExec(fd)
		inherited = fd
		// What was meant for the process that became the anchor is meant for this one.
		for _, name := range []string{"LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"} {
			if os.Getenv(name) == f[2] {
				os.Setenv(name, strconv.Itoa(os.Getpid()))
			}
		}
	case "anchor":
		if len(f) != 4 || !isChild(pid) {
			return
		}
		a := &anchor{fd: fd, main: pid, group: pid, nohup: signal.Ignored(syscall.SIGHUP), terminal: FindTerminal()}
		for _, s := range strings.Split(f[3], ",") {
			n, _ := strconv.Atoi(s)
			a.stops = append(a.stops, syscall.Signal(n))
		}
		a.run()
	}
}

func isSocket(fd int) bool {
	var st syscall.Stat_t
	return syscall.Fstat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFSOCK
}

// Inherited returns the socket that Start has passed to this process, once. It waits until the anchor is ready, and returns
// nil if there is none.
func Inherited() *os.File {
	fd := inherited
	if inherited = 0; fd == 0 {
		return nil
	}
	syscall.SetNonblock(fd, false)
	var b [1]byte
	for {
		if n, err := syscall.Read(fd, b[:]); err != syscall.EINTR {
			if n == 0 { // gone already
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return os.NewFile(uintptr(fd), "anchor")
		}
	}
}

// A Program is what to start, and how.
type Program struct {
	Path      string
	Args, Env []string
	Dir       string
	Stops     []os.Signal // the signals that stop it
}

// Start makes this process the anchor of p. It does not return, unless p cannot be started.
func Start(p Program) error {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	ours, theirs := pair[0], pair[1]
	syscall.CloseOnExec(ours)
	syscall.CloseOnExec(theirs)
	defer syscall.Close(ours)
	defer syscall.Close(theirs)
	// Whatever this process was given, the program gets under the same number. The socket comes last.
	files := append(open(), uintptr(theirs))
	pid := strconv.Itoa(os.Getpid())
	child, err := syscall.ForkExec(p.Path, p.Args, &syscall.ProcAttr{
		Dir: p.Dir, Env: append(p.Env[:len(p.Env):len(p.Env)], variable+"=program "+strconv.Itoa(len(files)-1)+" "+pid), Files: files,
		// In a group of its own it gets each signal once, from the anchor: a terminal and some supervisors signal
		// the whole group of the process that they started.
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return &os.PathError{Op: "fork/exec", Path: p.Path, Err: err}
	}
	stops := make([]string, 0, len(p.Stops))
	for _, s := range p.Stops {
		if n, ok := s.(syscall.Signal); ok {
			stops = append(stops, strconv.Itoa(int(n)))
		}
	}
	part := strings.Join([]string{"anchor", strconv.Itoa(ours), strconv.Itoa(child), strings.Join(stops, ",") + ","}, " ")
	hold() // signals wait until the anchor can pass them on
	if err = inherit(ours); err == nil {
		err = syscall.Exec(self(p.Path), p.Args, append(p.Env[:len(p.Env):len(p.Env)], variable+"="+part))
	}
	syscall.Kill(child, syscall.SIGKILL) // it would be a second service
	os.Stderr.WriteString("restart: becoming the anchor of the service: " + err.Error() + "\n")
	os.Exit(1)
	return err
}

func inherit(fd int) error {
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFD, 0)
	if errno != 0 {
		return os.NewSyscallError("fcntl", errno)
	}
	return nil
}

// open lists the descriptors that were inherited, each at its own index.
func open() []uintptr {
	const closed = ^uintptr(0)
	files := []uintptr{0, 1, 2}
	for _, fd := range kept() {
		for len(files) <= fd {
			files = append(files, closed)
		}
		files[fd] = uintptr(fd)
	}
	for fd := range 3 {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno != 0 {
			files[fd] = closed
		}
	}
	return files
}

// kept returns the descriptors above 2 that a program started by this process would inherit.
func kept() (fds []int) {
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd < 3 {
			continue
		}
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// An anchor is the state of an anchor process.
type anchor struct {
	fd       int // our end of the socket; -1 when it has ended
	main     int // the process in service
	group    int // the process group of all processes of the service
	stops    []syscall.Signal
	terminal *Terminal // nil: there was none at the start
	nohup    bool      // SIGHUP was ignored at the start

	settled bool // a process has come into service or ended, and nothing is to be done for a while
	dead    bool // main has ended, with status
	status  syscall.WaitStatus
	orderly bool           // main has said that it ends in order
	told    syscall.Signal // the service was told to stop
}

// run never returns.
func (a *anchor) run() {
	runtime.GOMAXPROCS(1) // memory of the runtime's that is never needed
	caught := make(chan os.Signal, 64)
	for n := syscall.Signal(1); n < 32; n++ {
		switch n {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGPROF,
			syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGTRAP:
		default:
			signal.Notify(caught, n)
		}
	}
	for _, fd := range kept() { // they are the program's
		if fd != a.fd {
			syscall.Close(fd)
		}
	}
	adopt()
	syscall.CloseOnExec(a.fd)
	syscall.SetNonblock(a.fd, true)
	syscall.Write(a.fd, []byte{'.'})
	children := make(chan child)
	go reap(children)
	for {
		var s syscall.Signal
		select {
		case sig := <-caught:
			s, _ = sig.(syscall.Signal)
		case c := <-children:
			a.changed(c)
		}
		// Who is in service is read as late as possible, so that a signal rarely goes to a process that was replaced.
		a.read()
		if s != 0 {
			a.pass(s)
		}
		if a.settled {
			a.settled = false
			shrink()
		}
	}
}

// A child is a change of a child's state; pid is 0 when there is no child at the moment.
type child struct {
	pid    int
	status syscall.WaitStatus
}

func reap(children chan<- child) {
	for {
		var c child
		pid, err := syscall.Wait4(-1, &c.status, syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil: // ECHILD: the last process is a child of the one before it
			children <- child{}
			time.Sleep(100 * time.Millisecond)
		default:
			c.pid = pid
			children <- c
		}
	}
}

// changed notes the end of main. If a terminal has stopped main, the anchor stops too, so that the shell takes over.
func (a *anchor) changed(c child) {
	a.settled = a.settled || c.pid != 0
	switch {
	case c.pid == 0 || c.pid != a.main:
	case c.status.Stopped():
		switch c.status.StopSignal() {
		case syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			if a.terminal != nil && os.Getpid() != 1 {
				syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			}
		}
	default:
		a.dead, a.status = true, c.status
	}
}

// read reads, without waiting, what the processes have said. When none is left, it ends this one.
func (a *anchor) read() {
	for a.fd >= 0 {
		var b [4]byte // written whole
		n, err := syscall.Read(a.fd, b[:])
		switch {
		case err == syscall.EINTR:
		case n == len(b):
			a.settled = true
			word := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			pid := int(word &^ ended)
			switch {
			case word&ended != 0:
				a.orderly = a.orderly || pid == a.main
			case pid != a.main:
				a.serves(pid)
			}
		case n == 0 && err == nil:
			syscall.Close(a.fd)
			a.fd = -1
		default:
			return
		}
	}
	if !a.dead && isChild(a.main) {
		return // its end will be reported, and only then its own children are ours
	}
	// A program that hands over by other means has closed the socket. Then the service lives as long as one of its
	// processes does.
	next := youngest()
	if next == 0 {
		a.end()
	}
	a.serves(next)
}

// serves notes that pid is in service. A signal to stop is meant for the service, so it gets it too.
func (a *anchor) serves(pid int) {
	a.main, a.dead, a.orderly = pid, false, false
	if a.told != 0 {
		syscall.Kill(pid, a.told)
	}
}

// pass passes a signal on to main.
func (a *anchor) pass(s syscall.Signal) {
	if s == syscall.SIGHUP && a.terminal.Gone() {
		if a.nohup {
			return
		}
		s = syscall.SIGTERM
	}
	if !a.dead {
		syscall.Kill(a.main, s)
	}
	for _, stop := range a.stops {
		if s == stop || s == syscall.SIGTERM {
			a.told = s
		}
	}
}

// end ends this process as main has ended. If another process of the service has reaped main, only main's word is known.
func (a *anchor) end() {
	switch {
	case a.dead && a.status.Signaled():
		if os.Getpid() != 1 {
			dieOf(a.status.Signal())
		}
		os.Exit(128 + int(a.status.Signal()))
	case a.dead:
		os.Exit(a.status.ExitStatus())
	case a.orderly:
		os.Exit(0)
	}
	os.Exit(1)
}

// dieOf ends this process by a signal, so that whoever waits for it sees how the service has ended.
func dieOf(s syscall.Signal) {
	syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) // the core that counts is main's
	signal.Reset(s)
	release(s)
	syscall.Kill(os.Getpid(), s)
	time.Sleep(time.Second) // it may be on its way
}
