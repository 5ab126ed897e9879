package restart

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// In a container the program often is process 1, and when process 1 ends so does the container: it could never hand
// over. So process 1 starts the program once more and stays as an init for life: it forwards signals to the process in
// service, reaps whatever ends, and ends with the status of the last process that was in service.
//
// It learns which process that is from a pipe that every generation inherits: each writes its process id when it is
// proved, and once more when it ends in order. The pipe has an end when no generation is left.

const (
	initVar  = "THESEUS_INIT" // the number of the pipe, for the first generation
	initName = "theseus-init" // the name of the pipe, for the others
)

// endedBit marks the process id of a process whose Run has returned nil. Linux has process ids of at most 22 bits.
const endedBit = 1 << 31

// becomeInit turns process 1 into an init and never returns there. In any other process it does nothing.
func (r *Restarter) becomeInit() error {
	if os.Getpid() != 1 {
		return nil
	}
	caught := make(chan os.Signal, 64)
	for n := syscall.Signal(1); n < 32; n++ {
		switch n {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGPROF,
			syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGTRAP:
		default:
			signal.Notify(caught, n)
		}
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("restart: starting the program under an init: %w", err)
	}
	main, err := os.StartProcess(os.Args[0], os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), initVar+"=3"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, write},
	})
	if err != nil {
		return fmt.Errorf("restart: starting the program under an init: %w", err)
	}
	write.Close()
	pid := main.Pid
	main.Release()
	os.Exit(r.initLoop(pid, read, caught))
	return nil
}

// initLoop returns the exit status. It reads the pipe, without waiting, on each event that depends on who is in service,
// so that a signal rarely goes to a process that has been replaced. A signal to stop is meant for the service: a process
// that takes over after it gets it too.
func (r *Restarter) initLoop(main int, pipe *os.File, caught <-chan os.Signal) int {
	fd := int(pipe.Fd())
	syscall.SetNonblock(fd, true)
	type end struct {
		pid    int
		status syscall.WaitStatus
	}
	ends := make(chan end)
	go func() {
		for {
			var st syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &st, 0, nil)
			switch {
			case err == syscall.EINTR:
			case err != nil: // ECHILD: the last generation was reaped by the one before it
				ends <- end{}
				time.Sleep(100 * time.Millisecond)
			default:
				ends <- end{pid, st}
			}
		}
	}()
	const unknown = -1
	status := unknown  // of main. Its parent, which still drains, may reap it, and then nobody else learns the status
	orderly := false   // but main has said that it ends in order
	var told os.Signal // the service was told to stop
	forward := func(s os.Signal) {
		if n, ok := s.(syscall.Signal); ok {
			syscall.Kill(main, n)
		}
	}
	for {
		var s os.Signal
		var e end
		select {
		case s = <-caught:
		case e = <-ends:
		}
		if e.pid == main && e.pid != 0 {
			status = e.status.ExitStatus()
			if e.status.Signaled() {
				status = 128 + int(e.status.Signal())
			}
		}
		for left := true; left; { // four bytes each, written whole
			var b [4]byte
			n, err := syscall.Read(fd, b[:])
			switch {
			case err == syscall.EINTR:
			case n == len(b):
				word := binary.BigEndian.Uint32(b[:])
				pid := int(word &^ endedBit)
				switch {
				case word&endedBit != 0:
					orderly = orderly || pid == main
				case pid != main:
					main, status, orderly = pid, unknown, false
					forward(told)
				}
			case n == 0 && err == nil: // no generation is left, or only one built with tableflip alone, which has closed the pipe
				if next := youngestSuccessor(os.Getpid()); next != 0 {
					if left = false; next != main {
						main, status, orderly = next, unknown, false
						forward(told)
					}
					break
				}
				if status == unknown && syscall.Kill(main, 0) == nil {
					left = false // it is ending: its children become ours, and its status comes, after its end of the pipe
					break
				}
				switch {
				case status != unknown:
					return status
				case orderly:
					return 0
				}
				return 1
			default:
				left = false
			}
		}
		forward(s)
		if r.opts.Signals[s].Do == ActionStop {
			told = s
		}
	}
}

// inheritInit takes over the pipe, from the init or from the predecessor, and passes it on.
func (r *Restarter) inheritInit() error {
	switch {
	case os.Getenv(initVar) != "":
		fd, err := strconv.Atoi(os.Getenv(initVar))
		os.Unsetenv(initVar)
		if err != nil || os.Getppid() != 1 {
			return nil // leaked through some other program
		}
		syscall.CloseOnExec(fd)
		r.init = os.NewFile(uintptr(fd), initName)
	case r.upg != nil && r.upg.HasParent():
		f, err := r.upg.File(initName)
		if err != nil {
			return fmt.Errorf("restart: taking over from the process before this one: %w", err)
		}
		r.init = f
		return nil // to tableflip it is in use, and goes on to the next
	}
	if r.init == nil || r.upg == nil {
		return nil
	}
	if err := r.upg.AddFile(initName, r.init); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	return nil
}

// tellInit says that this process is in service now.
func (r *Restarter) tellInit() { r.writeInit(uint32(os.Getpid())) }

// tellInitEnd says that this process, which was in service, ends in order.
func (r *Restarter) tellInitEnd() { r.writeInit(uint32(os.Getpid()) | endedBit) }

func (r *Restarter) writeInit(word uint32) {
	if r.init != nil {
		r.init.Write(binary.BigEndian.AppendUint32(nil, word))
	}
}
