// Package blame says whose fault it is that a release failed. There is one answer for all who ask: the probe before an
// update, the handover, and whoever undoes one or counts starts.
//
// It knows errors, signals and what the system counts, and nothing of releases or processes. What it cannot tell is
// unknown: a release is called bad for what it did, never for what may have been done to it.
package blame

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
)

// Fault is whose fault a failure is.
type Fault string

const (
	Release Fault = "release" // it ended by itself, it cannot run here, or it is not what it says
	Machine Fault = "machine" // something was used up: descriptors, processes, memory, disk, processor time
	Stop    Fault = "stop"    // somebody has called it off
	Unknown Fault = "unknown" // a signal or a silence that may have come from outside
)

// A Judgement is what is remembered of a failure, besides its text.
type Judgement struct {
	Fault Fault `json:"fault"`
	// Wrong: the file is another version than it should be. No other day will change that.
	Wrong bool `json:"wrong,omitzero"`
	// Served: it had accepted connections before it failed.
	Served bool `json:"served,omitzero"`
	// Attempts is how many attempts have failed together; 0 counts as one.
	Attempts int `json:"attempts,omitzero"`
}

// ErrWrong is wrapped by the error of a file that is not the version that it should be.
var ErrWrong = errors.New("it is another version")

// Judge says whose fault err is. An error that knows says so itself, by one of the methods Blame() string,
// Served() bool and Attempts() int.
func Judge(err error) Judgement {
	j := Judgement{Fault: Of(err), Wrong: errors.Is(err, ErrWrong)}
	if s, ok := errors.AsType[interface {
		error
		Served() bool
	}](err); ok {
		j.Served = s.Served()
	}
	if a, ok := errors.AsType[interface {
		error
		Attempts() int
	}](err); ok {
		j.Attempts = a.Attempts()
	}
	return j
}

// Of says whose fault err is.
func Of(err error) Fault {
	if known, ok := errors.AsType[interface {
		error
		Blame() string
	}](err); ok {
		switch f := Fault(known.Blame()); f {
		case Release, Machine, Stop, Unknown:
			return f
		}
	}
	for _, errno := range shortages {
		if errors.Is(err, errno) {
			return Machine
		}
	}
	if errors.Is(err, context.Canceled) {
		return Stop
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Unknown
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() {
		return ofSignal(exit.String())
	}
	return Release
}

// shortages are the answers of a system of which something is used up, busy or broken.
var shortages = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.ETXTBSY, syscall.EIO,
}

// OfText is Of for those who have no error with a type, but only what it says or what a program printed before it
// ended.
func OfText(text string) Fault {
	text = strings.ToLower(text)
	for _, errno := range shortages {
		if strings.Contains(text, strings.ToLower(errno.Error())) {
			return Machine
		}
	}
	if strings.Contains(text, "signal: ") {
		return ofSignal(text)
	}
	return Release
}

// ofSignal judges an end by a signal, as os.ProcessState words it. Those that a processor or a program itself gives
// are its own doing; any other may have been sent by somebody.
func ofSignal(text string) Fault {
	for _, own := range []syscall.Signal{syscall.SIGILL, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGABRT, syscall.SIGTRAP} {
		if strings.Contains(text, "signal: "+own.String()) {
			return Release
		}
	}
	if strings.Contains(text, "signal: bad system call") {
		return Release
	}
	return Unknown
}

// As gives err a fault.
func As(f Fault, err error) error { return &judged{err, f} }

type judged struct {
	error
	fault Fault
}

func (j *judged) Unwrap() error { return j.error }
func (j *judged) Blame() string { return string(j.fault) }
