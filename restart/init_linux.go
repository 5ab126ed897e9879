package restart

import (
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
// proved. The pipe has an end when no generation is left.

const (
	initVar  = "THESEUS_INIT" // the number of the pipe, for the first generation
	initName = "theseus-init" // the name of the pipe, for the others
)

// becomeInit returns only in a process that serves.
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
	os.Exit(initLoop(pid, read, caught))
	return nil
}

// initLoop returns the exit status.
func initLoop(main int, pipe *os.File, caught <-chan os.Signal) int {
	proved := make(chan int)
	go func() { // process ids, four bytes each, until no generation is left
		defer close(proved)
		var b [4]byte
		for {
			if n, err := pipe.Read(b[:]); n != len(b) || err != nil {
				return
			}
			proved <- int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		}
	}()
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
			case err != nil: // no child is left, for now
				time.Sleep(10 * time.Millisecond)
			default:
				ends <- end{pid, st}
			}
		}
	}()
	status, dead, alone := 0, false, false
	var lost <-chan time.Time
	for {
		if dead && alone {
			return status
		}
		select {
		case <-lost: // it ended while its parent lived, which was told the status, and not we
			return 1
		case s := <-caught:
			if n, ok := s.(syscall.Signal); ok && !dead {
				syscall.Kill(main, n)
			}
		case pid, ok := <-proved:
			if !ok {
				proved, alone, lost = nil, true, time.After(time.Second)
				break
			}
			main, dead = pid, false
		case e := <-ends:
			if e.pid != main {
				break
			}
			// Unless another generation proves itself: the end of the pipe decides.
			dead, status = true, e.status.ExitStatus()
			if e.status.Signaled() {
				status = 128 + int(e.status.Signal())
			}
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

// tellInit: this process is in service now.
func (r *Restarter) tellInit() {
	if r.init == nil {
		return
	}
	pid := os.Getpid()
	r.init.Write([]byte{byte(pid >> 24), byte(pid >> 16), byte(pid >> 8), byte(pid)})
}
